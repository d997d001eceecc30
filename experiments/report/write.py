"""Write results.parquet, times.parquet, summary.json and report.html from a study's run folders."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pyarrow.parquet as pq
from markupsafe import Markup, escape

from spooflab.experiments.report.tables import ResultTable, result_tables
from spooflab.experiments.report.view import build_view
from spooflab.experiments.results import Results, load_results, results_table, times_table
from spooflab.experiments.run_folder import write_atomic
from spooflab.experiments.summary import percent, points, signed, summarise

_HERE = Path(__file__).parent


def write_report(out: Path, show: Sequence[str] = ()) -> dict[str, Any]:
    """Rebuild the result files of a study and return the summary.

    Args:
        out: folder of the study.
        show: columns that the figures of a wide study draw besides the best and the baseline.

    Raises:
        DataError: `out` holds neither a plan nor a finished run.
        ConfigError: `show` names a column that the study does not have.
    """
    results = load_results(out)
    table, times = results_table(results), times_table(results)
    summary = summarise(results)
    for name, content in (("results.parquet", table), ("times.parquet", times)):
        buffer = io.BytesIO()
        pq.write_table(content, buffer, write_page_checksum=True)
        write_atomic(out / name, buffer.getvalue())
    write_atomic(out / "summary.json", (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())
    tables = result_tables(results, summary)
    for name, text in ((name, text) for made in tables for name, text in made.files().items()):
        write_atomic(out / "tables" / name, text.encode())
    seconds = {row["run"]: row["seconds"] for row in times.to_pylist()}
    rows = [row | {"seconds": seconds.get(row["run"])} for row in table.to_pylist()]
    html = render_html(results, summary, rows, tables, show)
    write_atomic(out / "report.html", html.encode())
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


def money(value: float) -> str:
    """Format an amount with three digits that count, thousands set apart.

    >>> money(1234.5), money(0.0567), money(0.0)
    ('1,234', '0.0567', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def render_html(
    results: Results,
    summary: dict[str, Any],
    rows: list[dict[str, Any]],
    tables: Sequence[ResultTable] = (),
    show: Sequence[str] = (),
) -> str:
    """Return the report as one self-contained HTML page: no script, no network, no external font."""
    return render_page("report.html.j2", build_view(results, summary, rows, tables, show))


def render_page(template: str, view: dict[str, Any]) -> str:
    """Lay out one of this folder's templates with the shared style sheet."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "signed": signed, "count": "{:,}".format}
    environment.filters |= {"breaks": breaks, "rate": rate, "money": money}
    # Our own style sheet is the one text that goes in as it is; everything from data is escaped.
    css = Markup((_HERE / "report.css").read_text(encoding="utf-8"))  # noqa: S704  # a file of this package
    return environment.get_template(template).render(css=css, **view)
