"""The report of a study: one HTML file that answers first and shows everything that the answer rests on."""

from spooflab.experiments.report.write import render_html, write_report

__all__ = ["render_html", "write_report"]
