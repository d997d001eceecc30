"""`spooflab evaluate` on score files: right figures, and errors that name columns, labels and rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from spooflab.cli.evaluate import evaluate
from spooflab.errors import ConfigError, DataError

HEAD = "score,label,species,subject,device,split\n"
ROWS = """0.9,bonafide,bonafide,s1,phone,dev
0.2,attack,print,s1,phone,dev
0.8,bonafide,,s2,phone,test
0.4,bonafide,bonafide,s3,webcam,test
0.95,attack,print,s2,phone,test
0.1,attack,print,s3,webcam,test
0.3,attack,mask,s2,phone,test
,attack,mask,s3,phone,test
"""


def told(path: Path, text: str, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    path.write_text(text)
    assert evaluate(path, json=True, bootstrap=200, **options) == 0
    out: dict[str, Any] = json.loads(capsys.readouterr().out)
    return out


def test_figures_at_the_dev_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = told(tmp_path / "s.csv", HEAD + ROWS, capsys)
    assert got["threshold"] == 0.9
    assert got["threshold_source"] == "dev"
    assert got["apcer_by_species"] == {"mask": 0.5, "print": 0.5}
    assert (got["apcer"], got["bpcer"], got["acer"], got["hter"]) == (0.5, 1.0, 0.75, 0.75)
    assert got["failures"] == ["row 9"]
    assert got["bpcer_exact"]["of"] == 2
    assert got["bpcer_by_device"]["webcam"]["errors"] == 1
    assert {"low", "high", "method"} == set(got["intervals"]["acer"])


def test_without_dev_rows_the_figures_are_oracle_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = told(tmp_path / "s.csv", "score,label,species\n0.9,bonafide,\n0.1,attack,print\n", capsys)
    assert got["threshold_source"] == "oracle"
    assert got["acer"] == 0.0
    assert any("all rates are oracle" in note for note in got["notes"])
    assert any("no subject column" in note for note in got["notes"])


def test_a_given_threshold_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = told(tmp_path / "s.csv", HEAD + ROWS, capsys, threshold=0.35)
    assert (got["threshold"], got["threshold_source"], got["bpcer"]) == (0.35, "given", 0.0)


def test_one_class_is_null_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = told(tmp_path / "s.csv", "score,label,species\n0.9,attack,print\n0.1,attack,print\n", capsys)
    assert got["acer"] is None
    assert got["auc"] is None
    assert any("one class only: 2 attacks, no bona fide" in note for note in got["notes"])


def test_clips_are_pooled_before_counting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "score,label,species,clip,device\n0.9,bonafide,,c1,a\n0.1,bonafide,,c1,a\n0.2,attack,print,c2,b\n"
    got = told(tmp_path / "s.csv", text, capsys, threshold=0.5)
    assert (got["unit"], got["counts"]["bonafide"], got["bpcer"]) == ("clip", 1, 0.0)
    assert got["bpcer_by_device"] == {"a": got["bpcer_exact"], "b": None}


def test_table_for_people_goes_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.csv").write_text(HEAD + ROWS)
    assert evaluate(tmp_path / "s.csv", bootstrap=200) == 0
    out = capsys.readouterr().out
    assert "ACER" in out
    assert "75.00 %" in out
    assert "no score: row 9" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("score,label\n0.1,attack\n", r"missing column species \(seen: score, label\)"),
        ("a,b\n1,2\n", r"missing columns score, label, species \(seen: a, b\)"),
        ("", r"missing columns .* \(seen: none\)"),
        ("score,label,species\n", "no rows"),
        ("score,label,species\n0.1,spoof,print\n0.2,1,print\n", "row 2: label 'spoof'; row 3: label '1'"),
        ("score,label,species\nhigh,attack,print\n", "row 2: score 'high' is not a number"),
        ("score,label,species\ninf,attack,print\n", "row 2: score 'inf' is infinite"),
        ("score,label,species\n0.1,attack,\n", "row 2: an attack of species ''"),
        ("score,label,species\n0.1,bonafide,print\n", "row 2: a bona fide of species 'print'"),
        ("score,label,species,split\n0.1,attack,print,val\n", "row 2: split 'val'"),
        ("score,label,species,subject\n0.1,attack,print,\n", "row 2: subject is empty"),
        ("score,label,species,split\n0.1,attack,print,dev\n", "no test rows"),
        ("score,label,species\n" + "x,attack,print\n" * 9, r"row 6: .* … and 4 more"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        evaluate(tmp_path / "s.csv")


def test_unreadable_files_and_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: No such file"):
        evaluate(tmp_path / "gone.csv")
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00score")
    with pytest.raises(DataError, match="not a CSV text file"):
        evaluate(tmp_path / "s.csv")
    with pytest.raises(ConfigError, match="--bootstrap 0"):
        evaluate(tmp_path / "s.csv", bootstrap=0)
    with pytest.raises(ConfigError, match="--threshold nan"):
        evaluate(tmp_path / "s.csv", threshold=float("nan"))
