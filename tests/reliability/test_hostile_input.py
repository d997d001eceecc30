"""Data of strangers: odd pictures, paths that lead out, and files that would run code."""

import hashlib
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canary import (
    fires,
    own_code_repository,
    parquet_with_pickled_type,
    pickled,
    tagged_yaml,
    torch_saved,
)
from canonical_images import cases as picture_cases
from faults import Fault, Outcome, in_own_process
from flips import finished
from hostile_files import write_pictures
from path_tricks import TRICKS, tricked

from spooflab.adapters.checkpoints import load_checkpoint, save_checkpoint
from spooflab.adapters.model_files import load_model
from spooflab.cli.main import run
from spooflab.errors import SpooflabError
from spooflab.store import Store, read_index

Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow


def test_odd_pictures(endure: Endure) -> None:
    how = "palette, 1-bit, alpha, CMYK, 16-bit, EXIF, animated, empty, half, bombs, GIF, SVG, TIFF"
    assert picture_cases
    endure(Fault("images", how, in_own_process("canonical_images", "decoded"), trimmed=1, full=20))


def test_a_folder_of_hostile_files(endure: Endure) -> None:
    how = "a folder of damaged, lying and oddly named files, through ingest and generate's faces"
    assert write_pictures
    endure(Fault("images", how, in_own_process("hostile_runs", "endured"), trimmed=60, full=10_000))


def test_paths_that_lead_out(endure: Endure) -> None:
    how = "links, `..`, absolute paths, and path-only cells: store, reader, merge, export, ingest, faces"
    endure(Fault("paths", how, tricked, trimmed=len(TRICKS), full=20 * len(TRICKS)))


def refused(read: Callable[[], object]) -> bool:
    try:
        return read() in (1, 2)  # a command's status
    except SpooflabError:
        return True
    except SystemExit as ended:
        return ended.code not in (0, None)


def read_yaml(folder: Path, canary: Path) -> bool:
    survived = True
    for number, text in enumerate(tagged_yaml(canary)):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        for command in (
            ["generate", str(path), "--out", str(folder / "out")],
            ["train", str(path), "--data", str(folder), "--out", str(folder / "out")],
            ["study", str(path), "--data", str(folder), "--out", str(folder / "out")],
        ):
            survived &= refused(lambda command=command: run(command))  # type: ignore[misc]  # bound at once
    return survived


def read_checkpoint(folder: Path, canary: Path) -> bool:
    """A pickle in place of the tensors, under a right digest."""
    import torch

    save_checkpoint(folder / "c", 5, {"w": torch.ones(2)}, {"note": 1})
    place, data = folder / "c" / "step-00000005", pickled(canary)
    (place / "state.safetensors").write_bytes(data)
    (place / "state.pkl").write_bytes(data)
    (place / "random_states_0.pkl").write_bytes(data)
    state = json.loads((place / "state.json").read_text()) | {"sha256": hashlib.sha256(data).hexdigest()}
    del state["state_sha256"]
    state["state_sha256"] = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    (place / "state.json").write_text(json.dumps(state))
    return load_checkpoint(folder / "c") == (None, ["step-00000005"])


def read_model(folder: Path, canary: Path) -> bool:
    """A pickle in place of a model's weights, under a right digest."""
    survived = True
    for data in (pickled(canary), torch_saved(canary)):
        (folder / "model.safetensors").write_bytes(data)
        card = {"config": {}, "num_domains": 2, "backbone": {}, "sha256": hashlib.sha256(data).hexdigest()}
        (folder / "model.json").write_text(json.dumps(card))
        survived &= refused(lambda: load_model(folder))
    return survived


def read_repository(folder: Path, canary: Path) -> bool:
    """A model folder with code of its own, and one whose weights are a pickle alone."""
    from spooflab.adapters.backbones import build_backbone
    from spooflab.adapters.train_config import BackboneConfig

    own = own_code_repository(folder / "own", canary)
    plain = own_code_repository(folder / "plain", canary)
    (plain / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 8, "image_size": 32}))
    return all(refused(lambda path=path: build_backbone(BackboneConfig(name=str(path)), 32)) for path in (own, plain))  # type: ignore[misc]  # bound at once


def read_parquet(folder: Path, canary: Path) -> bool:
    """A shard whose column claims a type that is a pickle."""
    store = finished(folder / "data")
    parquet_with_pickled_type(store.root / "shards" / "shard-00002.parquet", canary)
    found = [problem.shard for problem in Store.open(store.root).verify().problems]
    read: Any = None
    try:
        read = read_index(store.root)
    except SpooflabError:
        read = None
    return found == [2] and (read is None or read.num_rows == 37)


def read_onnx(folder: Path, canary: Path) -> bool:
    pytest.importorskip("onnxruntime")
    from spooflab.generators.onnx_model import open_session

    path = folder / "model.onnx"
    path.write_bytes(torch_saved(canary))
    return refused(lambda: open_session(str(path), name="m", missing="", wanted="a model"))


READERS = (read_yaml, read_checkpoint, read_model, read_repository, read_parquet, read_onnx)


def set_free(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Have every reader open a file that runs code where a careless one opens it."""
    folder_of, outcome = iter(range(count)), Outcome()
    for number in folder_of:
        read, place = READERS[number % len(READERS)], folder / str(number)
        place.mkdir()
        canary = place / "the-code-ran"
        assert fires(lambda canary=canary: pickle.loads(pickled(canary)), canary)  # type: ignore[misc]  # bound at once
        survived, ran = read(place, canary), canary.exists()
        if not survived or ran:
            print(read.__name__)  # for whoever looks why
        outcome += Outcome(1, int(survived and not ran), silently_wrong=int(ran))
    return outcome


@pytest.mark.filterwarnings("ignore")  # libraries complain of these files, each in its own way
def test_files_that_would_run_code(endure: Endure, capfd: pytest.CaptureFixture[str]) -> None:
    how = "pickles, YAML tags, `.pkl` states, pickled Arrow types, a model folder that asks for `trust_remote_code`"
    endure(Fault("code", how, set_free, trimmed=len(READERS), full=5 * len(READERS)))
