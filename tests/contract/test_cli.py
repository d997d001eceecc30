"""The command line as its users and scripts meet it: names, JSON on stdout, exit status, errors that help."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from small_generation import TINY

from spooflab.cli.doctor import EXTRAS
from spooflab.cli.main import COMMANDS, run
from spooflab.provenance import ALGORITHMIC_MEDIA
from spooflab.source_mark import source_mark

NAMES = {
    *("generate", "verify", "replay", "preview", "list", "train", "study", "report", "evaluate", "bench", "doctor"),
    "compare",
    "doctor-loader",
    "diffusion",
    "search",
    "fit-device",
    "ingest",
    "mine",
    "stats",
    "card",
    "export-dataset",
    "audit",
    "merge",
    "qa",
    "curate",
    "explain",
    "realism",
    "export",
    "score",
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(TINY), encoding="utf-8")
    return path


def test_the_commands_are_the_contract() -> None:
    assert set(COMMANDS) == NAMES


@pytest.mark.parametrize(
    "kind", ["attacks", "devices", "instruments", "algorithms", "protocols", "configs", "datasets"]
)
def test_list_json_is_a_list_of_named_objects(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) >= 2
    assert len({json.dumps(row) for row in rows}) == len(rows)


def test_banks_and_devices_are_as_large_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    run(["list", "instruments", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert sum(any(a.startswith("replay") for a in row["attacks"]) for row in rows) >= 6
    assert sum(any(a.startswith("print") for a in row["attacks"]) for row in rows) >= 6
    run(["list", "devices", "--json"])
    names = {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert {"front_phone", "webcam_720p", "kiosk", "dslr", "old_phone"} <= names


def test_generate_within_limits_and_by_shares(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, metrics = tmp_path / "data", tmp_path / "m.jsonl"
    assert run(["generate", str(tiny), "--out", str(out), "--dry-run", "--probe", "1"]) == 0
    assert "1 samples tried" in capsys.readouterr().err
    assert not out.exists()
    assert run(["generate", str(tiny), "--out", str(out), "--max-gb", "1e-9", "--metrics", str(metrics)]) == 1
    assert "Stopped at the limit of --max-gb" in capsys.readouterr().err
    made = len(metrics.read_text().splitlines())
    assert made == 1
    assert run(["generate", str(tiny), "--out", str(out), "--shard", "3/2"]) == 2
    assert "i/n" in capsys.readouterr().err
    for share in ("1/2", "2/2"):
        assert run(["generate", str(tiny), "--out", str(out), "--shard", share]) == 0
    assert run(["verify", str(out)]) == 0


def test_generate_verify_replay_and_refusals(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    assert run(["generate", str(tiny), "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert summary["rows"] == 4
    assert summary["complete"] is True
    assert "shard 1/2 ✓ 2 rows" in printed.err

    assert run(["verify", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 4
    assert run(["replay", str(out), "--key", "s00000001", "--out", str(tmp_path / "r.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identical"] is True
    assert source_mark((tmp_path / "r.png").read_bytes()) == ALGORITHMIC_MEDIA

    assert run(["generate", str(tiny), "--out", str(out)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(["generate", str(tiny), "--out", str(out), "--seed", "9", "--resume"]) == 2
    assert "seed" in capsys.readouterr().err
    assert run(["generate", "--out", str(out), "--resume"]) == 0
    capsys.readouterr()
    assert run(["replay", str(out), "--key", "s00000099", "--out", str(tmp_path / "x.png")]) == 2
    assert "s00000099" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()

    shard = out / "shards" / "shard-00001.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    assert run(["verify", str(out), "--json"]) == 1
    assert "shard-00001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["generate", "missing.yaml", "--out", "OUT"], "missing.yaml"),
        (["generate", "--out", "OUT", "--attacks", "swirl"], "swirl"),
        (["generate", "--out", "OUT", "--devices", "polaroid"], "polaroid"),
        (["generate", "--out", "OUT", "--n", "0"], "n:"),
        (["generate", "--out", "OUT", "--faces", "nowhere"], "nowhere"),
        (["generate", "--out", "OUT", "--resume"], "OUT"),
        (["generate", "--out", "OUT", "--workers", "0"], "workers: 0"),
        (["verify", "nowhere"], "nowhere"),
        (["stats", "nowhere"], "nowhere"),
        (["card", "nowhere"], "nowhere"),
        (["export-dataset", "nowhere", "--to", "hf", "--out", "OUT"], "nowhere"),
        (["merge", "nowhere", "--out", "OUT"], "two or more"),
        (["qa", "nowhere", "--out", "OUT"], "nowhere"),
        (["qa", "nowhere", "--out", "OUT", "--most-drift", "2"], "limit drift: 2"),
        (["curate", "nowhere", "--out", "OUT", "--n", "2"], "nowhere"),
        (["curate", "nowhere", "--out", "OUT", "--n", "0"], "n 0"),
        (["merge", "nowhere", "elsewhere", "--out", "OUT"], "nowhere"),
        (["generate", "--out", "OUT", "--faces", "."], "licence and consent unstated"),
        (["generate", "--out", "OUT", "--faces", ".", "--licence", "CC0-1.0"], "consent unstated"),
        (["generate", "--out", "OUT", "--consent", "signed forms"], "--faces FOLDER"),
        (["preview", "nobody.png", "--out", "OUT/sheet.png"], "nobody.png"),
        (["preview", "procedural", "--out", "OUT/sheet.png", "--attacks", "swirl"], "swirl"),
        (["train", "missing.yaml", "--out", "OUT"], "missing.yaml"),
        (["study", "missing.yaml", "--out", "OUT"], "missing.yaml"),
        (["report", "nowhere"], "nowhere"),
        (["evaluate", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_input_exits_2_and_names_what_was_seen(
    args: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(args) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_an_unknown_command_or_option_exits_2() -> None:
    for args in (["gnerate"], ["verify", "x", "--colour", "red"]):
        done = subprocess.run(
            [sys.executable, "-m", "spooflab.cli", *args], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 2
        assert done.stderr
        assert "Traceback" not in done.stderr


def test_preview_writes_a_sheet_with_a_tile_for_each_attack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    out = tmp_path / "sheet.png"
    assert run(["preview", "procedural", "--attacks", "print_a4", "replay_phone", "--out", str(out), "--json"]) == 0
    tiles = json.loads(capsys.readouterr().out)["tiles"]
    assert [t["species"] for t in tiles] == ["bonafide", "print_a4", "replay_phone"]
    with Image.open(out) as sheet:
        assert sheet.size[0] > 3 * 256
    assert source_mark(out.read_bytes()) == ALGORITHMIC_MEDIA


def test_doctor_finds_this_installation_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert {check["name"] for check in found["checks"]} >= {"python", "rendering", "accelerator"}


def test_doctor_looks_for_every_library_of_every_extra() -> None:
    path = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    modules = {"scikit-image": "skimage", "scikit-learn": "sklearn", "c2pa-python": "c2pa"}
    wanted = {}
    for extra in extras.keys() - {"all", "dev"}:
        names = [re.split(r"[\[<>=~]", requirement)[0] for requirement in extras[extra]]
        wanted[extra] = {modules.get(name, name.replace("-", "_")) for name in names} - {"spooflab"}
    assert {extra: set(names) for extra, names in EXTRAS.items()} == wanted


@pytest.mark.parametrize("wrong", [["--threads", "0"], ["--threads", "-2"], ["memory", "--samples", "0"]])
def test_bench_refuses_no_threads_and_no_samples(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", *wrong]) == 2
    assert f"{wrong[-2].removeprefix('--')} {wrong[-1]}" in capsys.readouterr().err
