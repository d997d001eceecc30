"""Trained detectors as files for other programs, with a card, and scoring with them."""

from spooflab.experiments.export.export import ExportConfig, export_run
from spooflab.experiments.export.trained_run import Choice, TrainedRun, find_run

__all__ = ["Choice", "ExportConfig", "TrainedRun", "export_run", "find_run"]
