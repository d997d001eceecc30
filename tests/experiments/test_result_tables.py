"""Tables for papers and spreadsheets: nothing from data escapes into LaTeX, and figures are those of the summary."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from spooflab.experiments.report.tables import Rate, ResultTable, escape_latex, to_csv, to_latex

NASTY = r"\input{/etc/passwd} 50% $x_1$ {a}~b^c #1 & <i> | \\"


def unescaped(text: str) -> str:
    """What is left of LaTeX when its escapes, and the commands that the table itself uses, are taken away."""
    text = re.sub(r"^%.*$", "", text, flags=re.M)
    text = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}", "", text)
    return re.sub(r"\\[&%$#_{},]", "", text)


def balanced(text: str) -> bool:
    depth = 0
    for character in unescaped(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0 and unescaped(text).count("$") % 2 == 0


def table() -> ResultTable:
    rates = [Rate(0.125, 0.05, 0.2, best=True), Rate(0.0, 0.0, 0.31, exact=True), None]
    return ResultTable(
        name="t",
        holds="",
        head=["algorithm", "value"],
        rows=[[NASTY, 0.125], ["b,c", None]],
        caption="Rates (\\%).",
        tex_head=["Algorithm", NASTY, "x", "y"],
        tex_rows=[[NASTY, *rates], ["plain", *rates]],
    )


def test_names_cannot_leave_their_cell() -> None:
    escaped = escape_latex(NASTY)
    assert not re.search(r"[&%$#_{}~^\\<>|]", unescaped(escaped))
    assert escape_latex("swap_blend+replay_phone") == r"swap\_blend+replay\_phone"
    assert escape_latex("a\nb\x07c") == "a b c"


def test_latex_is_balanced_with_as_many_cells_as_columns() -> None:
    tex = table().files()["t.tex"]
    assert balanced(tex)
    columns = re.search(r"\\begin\{tabular\}\{([lc]+)\}", tex)
    assert columns
    assert columns[1] == "lccc"
    body = [line for line in tex.splitlines() if line.rstrip().endswith(r"\\")]
    assert len(body) == 3
    assert all(len(re.findall(r"(?<!\\)&", line)) == 3 for line in body)
    assert [tex.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_best_is_bold_and_bounds_are_indices() -> None:
    tex = to_latex("c", ["a", "b"], [["x", Rate(0.125, 0.05, 0.2, best=True)], ["y", Rate(0.5, 0.4, 0.6, exact=True)]])
    assert r"x & $\mathbf{12.5}\,^{20.0}_{5.0}$ \\" in tex
    assert r"y & $50.0\,^{60.0*}_{40.0}$ \\" in tex
    assert to_latex("c", ["a"], [[None]]).count("--") == 1


def test_csv_reads_back_whatever_the_names() -> None:
    text = to_csv(["name", "value"], [[NASTY, 0.1 + 0.2], ['a "b", c\nd', None]])
    assert list(csv.reader(text.splitlines(keepends=True))) == [
        ["name", "value"],
        [NASTY, repr(0.1 + 0.2)],
        ['a "b", c\nd', ""],
    ]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on the path: the table is not compiled")
def test_the_table_compiles(tmp_path: Path) -> None:
    document = (
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{table().files()['t.tex']}\end{{document}}"
    )
    (tmp_path / "t.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
