"""What `spooflab generate` says, and how it ends: every partial failure has a status of its own and a next command."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from small_samples import sample_fields

from spooflab.cli.interrupts import sigterm_as_interrupt
from spooflab.cli.main import run
from spooflab.cli.shard_lines import ShardLines
from spooflab.lease import Lease
from spooflab.sample import Sample, Skip
from spooflab.shard_runs import GivenUp, ShardDone, commit_shard

ROWS = 5
CONFIG = {"shard_size": ROWS, "faces": [{"kind": "procedural", "subjects": 4, "sessions": 1}]}

MakeShard = Callable[[str, Path, int, GivenUp], ShardDone | None]


def maker(
    skipped: int = 0, reason: str = "qc_moire", interrupted_at: int | None = None, after: int | None = None
) -> MakeShard:
    """Shards of noise instead of pictures; the first `skipped` samples of each are skipped.

    SIGTERM comes before the shard `interrupted_at`, or in the moment in which `after` was committed.
    """

    def make_shard(config_json: str, out: Path, shard: int, given_up: GivenUp) -> ShardDone | None:
        if shard == interrupted_at:
            signal.raise_signal(signal.SIGTERM)

        def make(lease: Lease) -> tuple[list[Sample], list[Skip]]:
            fields = [sample_fields(shard * ROWS + row) for row in range(ROWS)]
            skips = [Skip(f["key"], f["species"], reason, "why") for f in fields[:skipped]]
            return [Sample.create(**f) for f in fields[skipped:]], skips

        done = commit_shard(out, shard, make)
        if shard == after:
            signal.raise_signal(signal.SIGTERM)
        return done

    return make_shard


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")

    def ask(made_by: MakeShard, *options: str) -> int:
        monkeypatch.setattr("spooflab.generators.run.make_shard", made_by)
        resumes = "--resume" in options and "small.yaml" not in options
        words = ["generate", "--out", "data"] if resumes else ["generate", "small.yaml", "--out", "data", "--n", "20"]
        return run([*words, *(o for o in options if o != "small.yaml")])

    return ask


def test_the_plan_each_shard_and_the_next_command_are_told(
    asked: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(maker()) == 0
    told = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"plan [0-9a-f]{6}: 6 bona fide \+ 7 attacks × 2, 4 shards", told[0])
    assert re.fullmatch(r"shard 2/4 ✓ 5 rows  sha256 [0-9a-f]{12}  [\d.e+]+ rows/s, \d+ s left", told[2])
    assert re.fullmatch(r"20 rows, 0 skipped, 4/4 shards after \d+ s. Check: spooflab verify data", told[-1])
    assert run(["verify", "data"]) == 0
    assert "20 rows, 0 skipped, 4/4 shards: 0 missing, 0 duplicate, 0 corrupt" in capsys.readouterr().out


def test_an_interrupted_run_says_how_far_it_came_and_goes_on(
    asked: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert asked(maker(interrupted_at=2)) == 130  # by SIGTERM, as a scheduler does it
    assert signal.getsignal(signal.SIGTERM) is before
    assert "stopped safely: 2/4 committed. Continue: spooflab generate --out data --resume\n" in capsys.readouterr().err
    assert asked(maker(), "--resume") == 0
    told = capsys.readouterr().err
    assert "4 shards, 2 committed" in told
    assert "shard 3/4 ✓" in told
    assert "shard 1/4" not in told


def test_a_shard_committed_in_the_moment_of_the_interruption_counts(
    asked: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(maker(after=1)) == 130
    told = capsys.readouterr().err
    assert "shard 2/4" not in told
    assert "stopped safely: 2/4 committed." in told
    assert asked(maker(), "--resume") == 0
    assert "4 shards, 2 committed" in capsys.readouterr().err


def test_the_next_command_repeats_how_the_work_was_shared(
    asked: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(maker(interrupted_at=2), "--shard", "1/2") == 130
    assert "1/2 committed. Continue: spooflab generate --out data --shard 1/2 --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("made_by", "status", "told"),
    [
        (maker(skipped=2), 0, "12 rows, 8 skipped (8 qc_moire), 4/4 shards"),
        (maker(skipped=1, reason="hung"), 3, "4 sample(s) given up, hung: it gave no sign of life"),
        (maker(skipped=ROWS), 3, "Not one sample could be made."),
    ],
)
def test_what_could_not_be_made_is_counted_by_reason(
    made_by: MakeShard, status: int, told: str, asked: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(made_by, "--metrics", "m.jsonl") == status
    assert told in capsys.readouterr().err
    lines = [json.loads(line) for line in Path("m.jsonl").read_text().splitlines()]
    assert lines[-1]["skips_total"] == sum(sum(line["reasons"].values()) for line in lines) > 0


def test_a_run_that_another_holds_shards_of_is_not_done(
    asked: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(config_json: str, out: Path, shard: int, given_up: GivenUp) -> ShardDone | None:
        return None if shard else maker()(config_json, out, shard, given_up)

    assert asked(nothing) == 1
    told = capsys.readouterr().err
    assert re.search(r"1/4 shards after \d+ s. Continue: spooflab generate --out data --resume\n", told)


def test_a_terminal_gets_a_bar_with_rate_and_remaining_time_above_which_lines_stay() -> None:
    console = Console(force_terminal=True, width=100, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with console.file, ShardLines(console) as lines:
        lines.begin("plan", shards=4, committed=2)
        lines.count(ShardDone(2, 50, 0, "a" * 64), {"rows_per_s": 12.34, "eta_s": 90.0})
        lines._bar.refresh()
    shown = console.export_text()
    assert "shard 3/4 ✓ 50 rows  sha256 aaaaaaaaaaaa  12.3 rows/s, 2 min left" in shown
    assert re.search(r"shards .*3/4 .*12\.3 rows/s, 2 min left", shown.replace("shard 3/4 ✓", ""))


def test_sigterm_is_left_alone_outside_of_a_run() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_as_interrupt(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_two_workers_without_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    tiny = {"n": 40, "attacks": ["replay_phone"], "devices": ["front_phone"], "shard_size": 4}
    tiny |= {"faces": CONFIG["faces"], "sensor_px": 192, "face_px": 96, "output_px": 64}
    config.write_text(json.dumps(tiny), encoding="utf-8")
    words = [sys.executable, "-m", "spooflab.cli", "generate", str(config), "--out", "data", "--workers", "2"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background has it ignored
        os.execv(sys.executable, words)
    shown, sent, deadline = b"", False, time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            shown += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not sent and "✓".encode() in shown:
            sent = os.write(terminal, b"\x03") == 1
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert status == 130, text
    assert re.search(
        r"stopped safely: \d/10 committed. Continue: spooflab generate --out data --workers 2 --resume", text
    )
    assert "Traceback" not in text
    done = subprocess.run([*words[:4], "--out", "data", "--resume"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
