"""Write results.parquet, times.parquet, summary.json and report.html from a study's run folders."""

import io
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pyarrow.parquet as pq
from markupsafe import Markup, escape

from spooflab.experiments.report.view import build_view
from spooflab.experiments.results import Results, load_results, results_table, times_table
from spooflab.experiments.run_folder import write_atomic
from spooflab.experiments.summary import percent, points, signed, summarise

_HERE = Path(__file__).parent


def write_report(out: Path) -> dict[str, Any]:
    """Rebuild the four result files of a study and return the summary.

    Raises:
        DataError: `out` holds neither a plan nor a finished run.
    """
    results = load_results(out)
    table, times = results_table(results), times_table(results)
    summary = summarise(results)
    for name, content in (("results.parquet", table), ("times.parquet", times)):
        buffer = io.BytesIO()
        pq.write_table(content, buffer, write_page_checksum=True)
        write_atomic(out / name, buffer.getvalue())
    write_atomic(out / "summary.json", (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())
    seconds = {row["run"]: row["seconds"] for row in times.to_pylist()}
    rows = [row | {"seconds": seconds.get(row["run"])} for row in table.to_pylist()]
    write_atomic(out / "report.html", render_html(results, summary, rows).encode())
    return summary


def breaks(name: str) -> Markup:
    """Escape a name and let it break after `_` and `+`, so that long species fit narrow columns."""
    return Markup("").join(
        Markup("{}<wbr>").format(part) if part[-1] in "_+" else escape(part)
        for part in re.findall(r"[^_+]*[_+]|[^_+]+", name)
    )


def rate(value: float | None) -> str:
    """Format a rate in per cent without the sign, for tables whose head names it."""
    return percent(value).removesuffix(" %")


def render_html(results: Results, summary: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the report as one self-contained HTML page: no script, no network, no external font."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "signed": signed, "count": "{:,}".format}
    environment.filters |= {"breaks": breaks, "rate": rate}
    # Our own style sheet is the one text that goes in as it is; everything from data is escaped.
    css = Markup((_HERE / "report.css").read_text(encoding="utf-8"))  # noqa: S704  # a file of this package
    return environment.get_template("report.html.j2").render(css=css, **build_view(results, summary, rows))
