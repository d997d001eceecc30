"""States of trainings and mining loops: killed while they are saved, and damaged where they lie."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged_states import checkpoints_damaged, renders_damaged
from faults import Fault, Outcome
from interrupted import final_state, log_rows, weights

Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow


def killed(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Kill a training from outside and inside of the writing of its checkpoints; it must end with the same bytes."""
    whole, cut = folder / "whole", folder / "cut"
    script = Path(__file__).parents[1] / "kits" / "killed.py"
    command = [sys.executable, str(script), str(whole), str(cut), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lives = json.loads(done.stdout)
    steps = [int(life["kept"][0][5:]) for life in lives if life["kept"]]
    assert len(set(steps)) > count // 4, "too few checkpoints lay between the kills to test anything"
    forward = steps == sorted(steps)  # no kill takes a step back
    same = (
        weights(cut) == weights(whole)
        and final_state(cut) == final_state(whole)
        and (cut / "model.json").read_bytes() == (whole / "model.json").read_bytes()
        and [row for row in log_rows(cut) if row["event"] != "torn_checkpoint"] == log_rows(whole)
    )
    kills = sum(life["signal"] == signal.SIGKILL for life in lives)
    inside = sum(bool(life["place"]) for life in lives)
    return Outcome(
        count, kills if same and forward else 0, silently_wrong=int(not same), also=f"{inside} inside of the writing"
    )


def test_a_training_is_killed(endure: Endure) -> None:
    endure(Fault("checkpoint", "a training is killed, from outside and while it saves", killed, trimmed=5, full=20))


def test_checkpoints_are_damaged(endure: Endure) -> None:
    how = "one bit or a cut, in the newest checkpoint of a training"
    endure(Fault("checkpoint", how, checkpoints_damaged, trimmed=60, full=300))


def test_renders_of_a_mining_loop_are_damaged(endure: Endure) -> None:
    how = "one bit or a cut, in a mining loop's list of renders and its pictures"
    endure(Fault("checkpoint", how, renders_damaged, trimmed=30, full=300))
