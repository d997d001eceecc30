"""The study's figures as CSV for scripts and as LaTeX for papers."""

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spooflab.experiments.results import Results

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Rate:
    """A rate as LaTeX prints it: per cent, its bounds as indices, the best in bold."""

    value: float
    low: float | None = None
    high: float | None = None
    exact: bool = False
    best: bool = False


@dataclass(frozen=True)
class ResultTable:
    """One table in both forms.

    Attributes:
        name: stem of its files.
        holds: what it holds, for the page.
        head, rows: of the CSV, in long form.
        caption, tex_head, tex_rows: of the LaTeX table, laid out for reading. Without a head there is none.
    """

    name: str
    holds: str
    head: list[str]
    rows: list[list[Value]]
    caption: str = ""
    tex_head: Sequence[str] = ()
    tex_rows: Sequence[Sequence[str | Rate | None]] = ()

    def files(self) -> dict[str, str]:
        """Return file name → content."""
        out = {f"{self.name}.csv": to_csv(self.head, self.rows)}
        if self.tex_head:
            out[f"{self.name}.tex"] = to_latex(self.caption, self.tex_head, self.tex_rows, label=self.name)
        return out

    def view(self) -> dict[str, Any]:
        """Return what the page lists: the files as links that hold them."""
        links = []
        for name, text in self.files().items():
            kind = "text/csv" if name.endswith(".csv") else "application/x-tex"
            links.append((name, f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"))
        return {"name": self.name, "holds": self.holds, "links": links}


def result_tables(results: Results, summary: dict[str, Any]) -> list[ResultTable]:
    """Return ranking, matrix, differences from the best, and pairs over folds, as far as each exists."""
    found = [_ranking(results, summary), _matrix(results, summary), _differences(results, summary), _pairs(summary)]
    return [table for table in found if table.rows]


def _ranking(results: Results, summary: dict[str, Any]) -> ResultTable:
    rows, metric = summary["ranking"], results.metric.upper()
    names = ("algorithm", "setting", "mean", "low", "high", "seed_spread", "oracle", "auc")
    lines = [
        [r["algorithm"], r["setting"], Rate(r["mean"], r["low"], r["high"], best=i == 0), Rate(r["oracle"])]
        for i, r in enumerate(rows)
    ]
    folds = len(summary["folds_compared"])
    return ResultTable(
        "ranking",
        f"mean {metric} of each algorithm over the folds compared",
        list(names),
        [[row[name] for name in names] for row in rows],
        f"Mean {metric} (\\%) over {folds} held-out folds with 95\\,\\% intervals, and at the oracle threshold.",
        ["Algorithm", "Setting", metric, "Oracle"],
        lines,
    )


_ENTRY = (
    *("value", "low", "high", "interval", "spread", "oracle", "gap", "threshold", "apcer", "bpcer", "acer", "hter"),
    *("eer", "auc", "bpcer10", "bpcer20", "bpcer100", "tpr_at_fpr1", "bonafide", "attack", "subjects"),
)


def _matrix(results: Results, summary: dict[str, Any]) -> ResultTable:
    matrix, metric = summary["matrix"], results.metric.upper()
    rows: list[list[Value]] = []
    for fold, entries in matrix.items():
        for label, e in entries.items():
            if e:
                rows.append([fold, label, results.settings[label], *(e[name] for name in _ENTRY), len(e["seeds"])])
    lowest = {fold: min((e["value"] for e in entries.values() if e), default=None) for fold, entries in matrix.items()}
    lines: list[list[str | Rate | None]] = []
    for label in results.algorithms:
        line: list[str | Rate | None] = [label]
        for fold, entries in matrix.items():
            e = entries[label]
            exact = bool(e) and e["interval"] == "clopper-pearson"
            line.append(Rate(e["value"], e["low"], e["high"], exact, e["value"] == lowest[fold]) if e else None)
        lines.append(line)
    return ResultTable(
        "matrix",
        f"{metric} of each held-out fold and algorithm, with every other figure",
        ["fold", "algorithm", "setting", *_ENTRY, "seeds"],
        rows,
        f"{metric} (\\%) on what was held out, with 95\\,\\% intervals (* exact binomial). "
        "Thresholds are fixed on development rows of the sources.",
        ["Algorithm", *matrix],
        lines,
    )


def _differences(results: Results, summary: dict[str, Any]) -> ResultTable:
    rows = summary["differences"]
    names = ("algorithm", "minus", "difference", "low", "high", "level", "sure", "same_setting")
    level = f"{100 * rows[0]['level']:.4g}\\,\\%" if rows else ""
    return ResultTable(
        "differences",
        "paired differences to the algorithm with the lowest mean",
        list(names),
        [[row[name] for name in names] for row in rows],
        f"Difference of mean {results.metric.upper()} (points) to the lowest, with {level} intervals "
        "(paired bootstrap of subjects, level adjusted for their number).",
        ["Algorithm", "Minus", "Difference"],
        [[r["algorithm"], r["minus"], Rate(r["difference"], r["low"], r["high"], best=r["sure"])] for r in rows],
    )


def _pairs(summary: dict[str, Any]) -> ResultTable:
    names = ("first", "second", "difference", "p", "p_holm")
    pairs = summary["over_folds"].get("pairs", [])
    return ResultTable(
        "pairs",
        "every pair over folds: mean difference, exact signed-rank p, after Holm",
        list(names),
        [[pair[name] for name in names] for pair in pairs],
    )


def to_csv(head: Sequence[str], rows: Sequence[Sequence[Value]]) -> str:
    """Return CSV with a heading; figures in full precision, absent ones empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def to_latex(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str | Rate | None]], *, label: str = "results"
) -> str:
    """Return a booktabs table: text to the left, figures centred.

    Args:
        caption: LaTeX already.
        head: headings, escaped here.
        rows: text (escaped here), rates, or nothing.
        label: after `tab:`.
    """
    body = [" & ".join(_cell(value) for value in row) + r" \\" for row in rows]
    text = [all(isinstance(row[i], str) for row in rows) for i in range(len(head))]
    kinds = "".join("l" if is_text else "c" for is_text in text)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \label{{tab:{label}}}",
            rf"  \begin{{tabular}}{{{kinds}}}",
            r"    \toprule",
            "    " + " & ".join(escape_latex(name) for name in head) + r" \\",
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _cell(value: str | Rate | None) -> str:
    if value is None:
        return "--"
    if isinstance(value, str):
        return escape_latex(value)
    figure = f"{100 * value.value:.1f}"
    bold = rf"\mathbf{{{figure}}}" if value.best else figure
    if value.low is None or value.high is None:
        return f"${bold}$"
    star = "*" if value.exact else ""
    return rf"${bold}\,^{{{100 * value.high:.1f}{star}}}_{{{100 * value.low:.1f}}}$"


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escape_latex(text: str) -> str:
    r"""Return `text` as LaTeX prints it, control characters as blanks.

    >>> escape_latex("swap_blend+replay & 50 %")
    'swap\\_blend+replay \\& 50 \\%'
    """
    return "".join(_SPECIAL.get(c, c if c.isprintable() else " ") for c in text)
