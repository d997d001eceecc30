"""Damaged and forged files that are read back: the same data comes of them, or an error that names the file.

Where a digest promises it, other data is a failure as well.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from damaged_states import asked, saved
from flips import finished
from hypothesis import given
from hypothesis import strategies as st
from mutations import WHOLE_JSON, changed, damaged, examples

from spooflab.adapters.checkpoints import load_checkpoint
from spooflab.adapters.model_files import read_model_files
from spooflab.errors import SpooflabError
from spooflab.experiments.mining_records import read_records, read_results
from spooflab.experiments.readers import manifest, synthaspoof
from spooflab.experiments.results import load_results
from spooflab.experiments.run_folder import CONTENT, RunFolder
from spooflab.experiments.score_file import read_score_file
from spooflab.generators.diffusion.model_folder import DIFFUSERS_JSON
from spooflab.generators.faces.folder import _read_subjects
from spooflab.generators.faces.landmarks import FIVE, read_landmarks
from spooflab.json_text import read_json
from spooflab.lease import live_shards
from spooflab.plain_model import check_plain_model
from spooflab.records import CommitRecord, PlanFile, canonical_json
from spooflab.store import Store, read_index
from spooflab.store_files import files_at

Read = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A valid file and what reads it.

    Attributes:
        path: the file.
        read: returns what it says, in values that compare.
        sealed: whether a digest promises that damage is found.
        told: what an error must name; the file, where it is empty.
    """

    path: Path
    read: Read
    sealed: bool = False
    told: str = ""

    def hold(self, content: bytes) -> None:
        """Read the file with other content."""
        good = self.path.read_bytes()
        wanted = self.read() if self.sealed else None
        self.path.write_bytes(content)
        message, seen = None, None
        try:
            seen = self.read()
        except SpooflabError as error:
            message = str(error)
        finally:
            self.path.write_bytes(good)
        if message is None:
            assert not self.sealed or seen == wanted
        else:
            assert (self.told or self.path.name) in message


def store(folder: Path) -> dict[str, Case]:
    root = finished(folder / "data").root
    record, plan = root / "shards" / "shard-00001.json", root / "plan.json"
    return {
        "commit record": Case(record, lambda: CommitRecord.read(record), sealed=True),
        "record of an index": Case(record, lambda: read_index(root).to_pylist(), sealed=True),
        "plan": Case(plan, lambda: PlanFile.read(plan), sealed=True),
        "plan of a store": Case(plan, lambda: Store.open(root).plan, sealed=True),
    }


def lease(folder: Path) -> dict[str, Case]:
    made = Store.create(folder / "begun", {"seed": 1}, shards=2)
    assert made.claim(0) is not None
    return {"lease": Case(next((made.root / "leases").iterdir()), lambda: live_shards(files_at(made.root)))}


def states(folder: Path) -> dict[str, Case]:
    saved(folder / "checkpoints")
    renders = folder / "ledger"
    asked(renders)

    def newest() -> object:
        found, torn = load_checkpoint(folder / "checkpoints")
        assert found is not None
        assert len(torn) < 2
        # One of the two that were kept: never other data, never nothing.
        return found.state["best_step"] in (9, 14) and found.state["best_step"] == found.state["step"] - 1

    state = folder / "checkpoints" / "step-00000015" / "state.json"
    return {
        "checkpoint": Case(state, newest, sealed=True),
        "ledger": Case(renders / "renders.jsonl", lambda: asked(renders)[0], sealed=True),
    }


def study(folder: Path) -> dict[str, Case]:
    out = folder / "study"
    done, failed = RunFolder(out / "runs" / "0a"), RunFolder(out / "runs" / "0b")
    done.path.mkdir(parents=True)
    entry = {"label": "erm", "fold": "print_a4", "seed": 0}
    done.write_json("run.json", {"run": "0a", "label": "erm", "identity": {"fold": "print_a4", "seed": 0}})
    for name in CONTENT[1:]:
        done.write_table(name, pa.table({"key": ["a"], "score": [0.5]}))
    done.finish()
    failed.fail({"reason": "out of memory", "retry": "spooflab study"})
    plan = {"grid": [{**entry, "run": "0a"}, {**entry, "run": "0b", "seed": 1}], "config": {"bootstrap": 100}}
    (out / "study.json").write_text(json.dumps(plan))

    def read() -> object:
        found = load_results(out)
        first = found.cells[0]
        if found.damaged:  # a cell that cannot be read is told of and shown as failed
            raise SpooflabError("; ".join(found.damaged))
        return first.status, first.record, [cell.run for cell in found.cells]

    return {
        "study plan": Case(out / "study.json", read),
        "run": Case(done.path / "run.json", lambda: done.read()[0], sealed=True),
        "run of a study": Case(done.path / "run.json", read, sealed=True),
        "run's tables": Case(done.path / "scores.parquet", lambda: done.read()[1].to_pylist(), sealed=True),
        "run's marker": Case(done.path / "done", read, told="runs/0a"),
        "failure": Case(failed.path / "failed.json", read),
    }


def mining(folder: Path) -> dict[str, Case]:
    out = folder / "mined"
    results = {"config": {"seeds": [3], "rounds": 1}}
    trial = json.dumps({"key": "s-00000", "species": "print_a4", "refused": ""}) + "\n"
    for arm in ("random", "mined"):
        place = out / "seed-3" / arm / "round-1"
        asked(place / "search")
        (place / "trials.jsonl").write_text(trial)
    (out / "results.json").write_text(json.dumps(results))

    def read() -> object:
        return [(r.round, r.trial, r.line, r.picture) for r in read_records(out, read_results(out))]

    return {
        # A list that names a file or render that is not there is told by that one's name.
        "mining results": Case(out / "results.json", read, told=str(out)),
        "mining trials": Case(out / "seed-3" / "mined" / "round-1" / "trials.jsonl", read),
        "mining renders": Case(out / "seed-3" / "mined" / "round-1" / "search" / "renders.jsonl", read, told=str(out)),
    }


def models(folder: Path) -> dict[str, Case]:
    model = folder / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    card = {"config": {"size": 32}, "num_domains": 2, "sha256": hashlib.sha256(b"weights").hexdigest()}
    (model / "model.json").write_text(json.dumps(card))
    (model / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 8}))
    return {
        "model card": Case(model / "model.json", lambda: read_model_files(model)[1]),
        "weights": Case(model / "model.safetensors", lambda: read_model_files(model)[1], sealed=True),
        "transformers config": Case(model / "config.json", lambda: check_plain_model(model)),
        "diffusers config": Case(
            model / "config.json", lambda: read_json(model / "config.json", wanted=DIFFUSERS_JSON)
        ),
    }


def tables(folder: Path) -> dict[str, Case]:
    root = folder / "tables"
    root.mkdir()
    names = [f"{name}_{axis}" for name in FIVE for axis in "xy"]
    points = ["40", "50", "80", "50", "60", "70", "45", "90", "75", "90"]
    sixty_eight = {"points": [[40, 50]] * 68, "box": [1, 2, 99, 99]}
    contents = {
        "landmarks.csv": [
            f"file,{','.join(names)},box_x,box_y,box_w,box_h",
            f"a.png,{','.join(points)},1,2,99,99",
        ],
        "landmarks.json": [json.dumps({"a.png": sixty_eight, "b.png": {"points": [[1, 2]] * 5}})],
        "subjects.csv": ["file,subject", "a.png,p1", '"b, c.png",p2'],
        "manifest.csv": [
            "path,species,subject,split,x,y,w,h",
            "a.png,bonafide,p1,train,1,2,30,40",
            "b.png,print_a4,p2,test,,,,",
        ],
        "labels.csv": ["image_path,label", "img1.png,bonafide", "img2.png,attack"],
        "scores.csv": [
            "score,label,species,subject,device,split,clip",
            "0.9,bonafide,,p1,d,dev,a",
            "0.2,attack,print_a4,p2,d,dev,b",
            "0.8,bonafide,,p3,d,test,c",
            ",attack,print_a4,p4,e,test,d",
        ],
    }
    for name, lines in contents.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return {
        "landmarks.csv": Case(root / "landmarks.csv", lambda: read_landmarks(root / "landmarks.csv")),
        "landmarks.json": Case(root / "landmarks.json", lambda: read_landmarks(root / "landmarks.json")),
        "subjects.csv": Case(root / "subjects.csv", lambda: _read_subjects(root / "subjects.csv")),
        "manifest.csv": Case(root / "manifest.csv", lambda: list(manifest.read(root))),
        "labels.csv": Case(root / "labels.csv", lambda: list(synthaspoof.read(root))),
        "scores.csv": Case(root / "scores.csv", lambda: read_score_file(root / "scores.csv")),
    }


MAKERS = (store, lease, states, study, mining, models, tables)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("valid")
    return {name: case for make in MAKERS for name, case in make(folder).items()}


NAMES = (
    "commit record", "record of an index", "plan", "plan of a store", "lease", "checkpoint", "ledger", "study plan",
    "run", "run of a study", "run's tables", "run's marker", "failure", "mining results", "mining trials",
    "mining renders", "model card", "weights", "transformers config", "diffusers config", "landmarks.csv",
    "landmarks.json", "subjects.csv", "manifest.csv", "labels.csv", "scores.csv",
)  # fmt: skip
STRUCTURED = tuple(n for n in NAMES if not n.endswith(".csv") and n not in ("run's tables", "weights"))
SLOW_TO_READ = {"ledger": 4, "checkpoint": 10, "record of an index": 10}
"""How many examples are tried of these; of all others `FEW`."""
FEW = 30


def test_every_case_is_named_and_reads_what_is_valid(cases: dict[str, Case]) -> None:
    assert tuple(cases) == NAMES
    for case in cases.values():
        case.read()


@pytest.mark.parametrize("name", NAMES)
def test_damaged_bytes(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    good = case.path.read_bytes()

    @examples(SLOW_TO_READ.get(name, FEW))
    @given(damaged(good))
    def hold(content: bytes) -> None:
        case.hold(content)

    hold()


@pytest.mark.parametrize("name", STRUCTURED)
def test_damaged_structures(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    text = case.path.read_text()
    lines = text.splitlines() if case.path.suffix == ".jsonl" else [text]

    @examples(SLOW_TO_READ.get(name, FEW))
    @given(changed(json.loads(lines[0])))
    def hold(value: Any) -> None:
        case.hold("\n".join([json.dumps(value), *lines[1:]]).encode())

    hold()
    for content in WHOLE_JSON:
        case.hold(content)


@pytest.mark.parametrize("name", ["commit record", "plan"])
def test_forged_structures_with_right_digests(name: str, cases: dict[str, Case]) -> None:
    """Whoever writes a record can write its digest: what it says may be wrong then, and still no traceback."""
    case = cases[name]
    valid = json.loads(case.path.read_text())
    seal = "record_sha256" if name == "commit record" else "fingerprint"
    del valid[seal]
    forged = Case(case.path, case.read)

    @examples(3 * FEW)
    @given(changed(valid))
    def hold(value: Any) -> None:
        try:
            digest = hashlib.sha256(canonical_json(value)).hexdigest()
        except ValueError:  # NaN has no digest
            digest = ""
        told = {**value, seal: digest} if isinstance(value, dict) else value
        forged.hold(json.dumps(told).encode())

    hold()


@pytest.mark.parametrize("sha256", ["../../../../etc/passwd", "0" * 63, "A" * 64, ""])
def test_a_forged_hash_never_becomes_a_path(sha256: str, cases: dict[str, Case]) -> None:
    case = cases["commit record"]
    told = json.loads(case.path.read_text()) | {"sha256": sha256}
    del told["record_sha256"]
    told["record_sha256"] = hashlib.sha256(canonical_json(told)).hexdigest()
    with pytest.raises(SpooflabError, match=r"shard-00001\.json.*a hash that is none"):
        CommitRecord.parse(json.dumps(told).encode(), case.path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("landmarks.json", b'{"a.png": {"points": []}, "a.png": {"points": []}}', "comes twice"),
        ("landmarks.json", b"[" * 20_000, "nested too deeply"),
        ("scores.csv", b"score,label,species\n0.5,attack," + b"x" * 200_000 + b"\n", "field larger"),
        ("scores.csv", b'score,label,species\n0.5,attack,"x\n0.5,bonafide,\n', "unexpected end of data"),
        ("scores.csv", b"score,label,species,score\n0.5,attack,x,0.9\n", "'score' comes twice"),
        ("scores.csv", b"score,label,species,subject\n0.5,attack,x\n", "row 2 has 3 cells, the header 4"),
        ("manifest.csv", b"path,species\na.png,bonafide,p1\n", "row 2 has 3 cells, the header 2"),
        ("subjects.csv", b"file,subject\na.png,p1,p2\n", "row 2 has 3 cells, the header 2"),
    ],
)
def test_what_a_plain_reader_would_drop_in_silence(
    name: str, content: bytes, told: str, cases: dict[str, Case]
) -> None:
    case = cases[name]
    good = case.path.read_bytes()
    case.path.write_bytes(content)
    try:
        with pytest.raises(SpooflabError, match=told):
            case.read()
    finally:
        case.path.write_bytes(good)


@examples(200)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_record(content: bytes) -> None:
    for parse in (CommitRecord.parse, PlanFile.parse):
        with pytest.raises(SpooflabError, match=r"record\.json"):
            parse(content, Path("record.json"))
