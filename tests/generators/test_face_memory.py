"""Faces met before are neither loaded nor read again, and no byte of any picture tells."""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import SkipSample
from spooflab.experiments.bench.attacks import READS_GEOMETRY
from spooflab.generators import run
from spooflab.generators.catalogue import build_attack, known_attacks
from spooflab.generators.face import Face, FaceRef
from spooflab.generators.face_memory import FaceMemory
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.geometry import geometry, read_geometry
from spooflab.generators.loaded_faces import LoadedFaces, size_bytes
from spooflab.generators.plan import PlannedFace, SampleSpec
from spooflab.seeds import generator

WORN = (
    *("makeup_cosmetic", "makeup_impersonation", "makeup_obfuscation", "tattoo", "wig"),
    *("partial_eye", "partial_funny_eye", "partial_mouth", "partial_paper_glasses"),
)
SENSOR = 160


@pytest.fixture(scope="module")
def people() -> tuple[Face, ...]:
    source = ProceduralFaces(n_subjects=3, sessions=1, size=160, seed=21)
    return tuple(source.load(ref) for ref in source.refs())


def render(species: str, face: Face, donor: Face, draw: int) -> tuple[Tensor, Tensor, Tensor]:
    attack = build_attack(species)
    view = View.ideal(SENSOR, SENSOR, blur_px=0.5, pitch_um=2.8)
    with torch.inference_mode():
        params = attack.sample(1, generator(draw, species))
        made = attack.render(face, view, params, donor if attack.needs_donor else None)
    return made.irradiance, made.mask, made.depth_mm


def tensors(face: Face) -> dict[str, Tensor]:
    return {name: value for name, value in vars(face).items() if isinstance(value, Tensor)}


@pytest.mark.slow
@pytest.mark.parametrize("photograph", [False, True])
def test_pictures_do_not_tell_whether_a_face_was_met_before(people: tuple[Face, ...], photograph: bool) -> None:
    """Any order of attacks on kept faces gives the bytes of attacks on faces that nobody has seen."""
    if photograph:
        people = tuple(face.replace(parsing=None, depth_mm=None, normals=None, synthetic=False) for face in people)
    jobs = [(species, k % 2, 2 - k % 2, k) for k, species in enumerate(WORN)]
    fresh = {}
    for job in jobs:
        geometry._memory.clear()
        fresh[job] = render(job[0], people[job[1]].replace(), people[job[2]].replace(), job[3])
    for job in (*jobs, *reversed(jobs)):
        again = render(job[0], people[job[1]], people[job[2]], job[3])
        assert all(torch.equal(a, b) for a, b in zip(fresh[job], again, strict=True)), job


@pytest.mark.slow
@pytest.mark.parametrize("species", ["bonafide", *known_attacks()])
def test_attacks_write_neither_into_faces_nor_into_what_was_read_of_them(
    species: str, people: tuple[Face, ...]
) -> None:
    face, donor = people[:2]
    with torch.inference_mode():
        read = [read_geometry(one) for one in (face, donor)]
    shared = [*tensors(face).values(), *tensors(donor).values()]
    for one in read:
        parts = (one, one.fit, one.maps, one.light)
        shared += [value for part in parts for value in vars(part).values() if isinstance(value, Tensor)]
    before = [value.clone() for value in shared]
    render(species, face, donor, 5)
    assert all(torch.equal(a, b) for a, b in zip(before, shared, strict=True))


def test_a_face_is_read_once_and_forgotten_with_it(people: tuple[Face, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Face] = []
    plain = geometry._read

    def counted(face: Face) -> geometry.Geometry:
        reads.append(face)
        return plain(face)

    monkeypatch.setattr(geometry, "_read", counted)
    geometry._memory.clear()
    face = people[0].replace()
    with torch.inference_mode():
        assert read_geometry(face) is read_geometry(face.row(0))
        assert len(reads) == 1
        assert read_geometry(face.replace()) is not read_geometry(face)
    # Outside of inference mode a caller may ask for gradients.
    assert read_geometry(face) is not read_geometry(face)
    reads.clear()
    gc.collect()
    kept = len(geometry._memory)
    del face
    gc.collect()
    assert len(geometry._memory) == kept - 1 == 0


@pytest.mark.slow
def test_the_benchmark_knows_which_species_read_geometry(people: tuple[Face, ...]) -> None:
    """A species that it takes for one that reads nothing would be timed on a face met before."""
    reads = set()
    for species in known_attacks():
        if "+" in species:
            continue
        geometry._memory.clear()
        face, donor = people[0].replace(), people[1].replace()  # alive until the memory has been counted
        render(species, face, donor, 0)
        if len(geometry._memory):
            reads.add(species)
    assert reads == READS_GEOMETRY


def test_memory_keeps_no_more_than_asked_and_the_latest(people: tuple[Face, ...]) -> None:
    memory: FaceMemory[object] = FaceMemory(2)
    with torch.inference_mode():
        first, second = (memory.of(face, lambda _: object()) for face in people[:2])
        assert memory.of(people[0], lambda _: object()) is first
        third = memory.of(people[2], lambda _: object())
        assert len(memory) == 2
        assert memory.of(people[0], lambda _: object()) is first
        assert memory.of(people[2], lambda _: object()) is third
        assert memory.of(people[1], lambda _: object()) is not second

    def refuse(_: Face) -> object:
        raise SkipSample("head_fit_failed", "no face")

    lone = people[0].replace()
    with torch.inference_mode():
        for _ in range(2):
            with pytest.raises(SkipSample):
                memory.of(lone, refuse)
    with pytest.raises(ValueError, match="most is 0"):
        FaceMemory(0)


class Counted:
    name = "counted"

    def __init__(self, faces: Sequence[Face]) -> None:
        self.faces, self.loads = faces, 0

    def refs(self) -> list[FaceRef]:
        return [FaceRef(str(k), f"{k}/0", "none", {"k": k}) for k in range(len(self.faces))]

    def load(self, ref: FaceRef) -> Face:
        self.loads += 1
        return self.faces[int(ref.record["k"])]

    def settings(self) -> dict[str, Any]:
        return {"kind": self.name}


def test_loaded_faces_stay_within_their_bytes(people: tuple[Face, ...]) -> None:
    source = Counted(people)
    refs, one = source.refs(), size_bytes(people[0])
    assert one == sum(value.numel() * value.element_size() for value in tensors(people[0]).values())
    loaded = LoadedFaces(2 * one)
    assert loaded.load(source, refs[0]) is loaded.load(source, refs[0]) is people[0]
    assert source.loads == 1
    for ref in (refs[1], refs[0], refs[2]):
        loaded.load(source, ref)
    assert (source.loads, loaded.bytes_kept) == (3, 2 * one)
    loaded.load(source, refs[0])
    assert source.loads == 3
    loaded.load(source, refs[1])
    assert (source.loads, loaded.bytes_kept) == (4, 2 * one)
    none = LoadedFaces(0)
    for _ in range(2):
        assert none.load(source, refs[0]) is people[0]
    assert (source.loads, none.bytes_kept) == (6, 0)


class Lab:
    """Makes strings, and skips one."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def make(self, spec: SampleSpec) -> Any:
        self.made.append(spec.face.source_id)
        if spec.index == 2:
            raise SkipSample("no_donor", "alone")
        return SimpleNamespace(key=spec.key)


def test_a_shard_is_made_face_by_face_and_kept_in_the_plan_s_order() -> None:
    faces = [PlannedFace("p", FaceRef(str(k), f"{k}/0", "none"), "g") for k in range(3)]
    specs = [SampleSpec(i, f"s{i:08d}", "bonafide", faces[(2 * i) % 3], None, "d", i) for i in range(9)]
    lab = Lab()
    samples, skips = run._make(cast(Any, lab), specs, cast(Any, SimpleNamespace(renew=lambda key: None)), {})
    assert lab.made == sorted(lab.made)
    assert [s.key for s in samples] == [s.key for s in specs if s.index != 2]
    assert [s.key for s in skips] == ["s00000002"]


class Slow(Counted):
    """Gives other threads their turn while it loads."""

    def load(self, ref: FaceRef) -> Face:
        time.sleep(0)
        return self.faces[int(ref.record["k"])]


def test_threads_share_loaded_faces(people: tuple[Face, ...]) -> None:
    source, one = Slow(people), size_bytes(people[0])
    refs = source.refs()
    loaded = LoadedFaces(one)  # each load drops what another thread may be about to move

    def work(seed: int) -> None:
        for step in range(1500):
            k = (seed + step * step) % len(refs)
            assert loaded.load(source, refs[k]) is people[k]

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
    finally:
        sys.setswitchinterval(switch)
    assert loaded.bytes_kept == one == sum(size_bytes(face) for face in loaded._kept.values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_forked_while_a_thread_holds_the_lock_does_not_hang(people: tuple[Face, ...]) -> None:
    source, memory = Counted(people), FaceMemory[object](2)
    loaded, held, done = LoadedFaces(), threading.Event(), threading.Event()
    loaded.load(source, source.refs()[0])

    def hold() -> None:
        with memory._lock, loaded._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that hangs is ended, and the status tells
        with torch.inference_mode():
            memory.of(people[0], lambda _: object())
        right = loaded.load(source, source.refs()[0]) is people[0]
        os._exit(0 if right and loaded.bytes_kept == size_bytes(people[0]) else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert loaded.bytes_kept == size_bytes(people[0])
