"""Photographs per second through one chain of ten operations: ours, Albumentations, Kornia and torchvision."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from spooflab.augment import CaptureDevice
from spooflab.experiments.bench.same_output import TOLERANCES, agrees, output_figures
from spooflab.experiments.bench.ten_operations import (
    Chain,
    albumentations_chain,
    kornia_chain,
    spooflab_chain,
    torchvision_chain,
)
from spooflab.experiments.bench.timing import paired
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.seeds import generator

BATCH, SIDE, SUBJECTS = 32, 224, 8
GPU_BATCHES = (32, 256)
ROUNDS = 5
_MATCHED = "albumentations, ShotNoise"


def augment_cases(threads: int) -> list[dict[str, Any]]:
    """Pass 32 x 3 x 224 x 224 through all chains, in turn: eager on 1 and 2 threads, compiled on 1, on a GPU if any.

    On one thread processor time counts, on two the clock. First a table says how alike the chains' outputs are:
    of the three noises of Albumentations, ShotNoise alone follows the light as ours does. `threads` is not used: the
    suite sets its own.
    """
    faces = bench_faces()
    rows: list[dict[str, Any]] = []
    with torch.inference_mode(), _threads(1):
        _tell_outputs({"ours": spooflab_chain(), **_peers(1)}, faces)
        rows += [_row("eager, 1 thread", spooflab_chain(), faces, *peer) for peer in _peers(1).items()]
        rows += _full_chain(faces)
        for name, chain in _compiled_peers().items():
            rows += _compiled(name, chain, faces)
    with torch.inference_mode(), _threads(2):
        clock = time.perf_counter
        rows += [_row("eager, 2 threads", spooflab_chain(), faces, *peer, clock) for peer in _peers(2).items()]
    return rows + gpu_cases(faces)


def gpu_cases(faces: Tensor) -> list[dict[str, Any]]:
    """Time the compiled chain and eager Kornia on a GPU; without one, say that it was not run.

    The share of bandwidth is that of reading and writing the pictures alone, as a copy on the same device does it.
    """
    if not torch.cuda.is_available():
        Console(stderr=True).print("GPU: not run, no CUDA device")
        return []
    rows = []
    with torch.inference_mode():
        for batch in GPU_BATCHES:
            images = faces.cuda().repeat(batch // len(faces), 1, 1, 1)
            ours, peer = _synchronised(spooflab_chain(compiled=True), images), _synchronised(kornia_chain(), images)
            copy = _synchronised(lambda x: x.clone(), images)
            name = f"GPU, batch {batch}"
            rows.append(paired(name, ours, items=batch, peer_name="kornia", peer=peer, rounds=ROUNDS))
            rows.append(
                paired(f"{name}, share of bandwidth", ours, items=batch, peer_name="copy", peer=copy, rounds=ROUNDS)
            )
    return rows


def bench_faces() -> Tensor:
    """Return uint8 (32, 3, 224, 224): procedural faces with a little noise, as photographs have."""
    source = ProceduralFaces(n_subjects=SUBJECTS, sessions=1, size=SIDE, seed=3)
    encoded = torch.cat([source.load(ref).radiance for ref in source.refs()]).clamp(0, 1) ** (1 / 2.2)
    grain = 3 / 255 * torch.randn(encoded.shape, generator=generator(3, "grain"))
    codes = ((encoded + grain).clamp(0, 1) * 255).round().to(torch.uint8)
    return codes.repeat(BATCH // SUBJECTS, 1, 1, 1)


def _peers(threads: int) -> dict[str, Chain]:
    found = {f"albumentations, {x}": albumentations_chain(x, threads) for x in ("ShotNoise", "ISONoise", "GaussNoise")}
    found |= {"kornia": kornia_chain(), "torchvision v2, 8 of 10": torchvision_chain()}
    return {name: chain for name, chain in found.items() if chain is not None}


def _compiled_peers() -> dict[str, Chain]:
    found = {"kornia": kornia_chain(compiled=True), "torchvision v2, 8 of 10": torchvision_chain(compiled=True)}
    return {name: chain for name, chain in found.items() if chain is not None}


def _row(
    name: str, ours: Chain, faces: Tensor, peer_name: str, peer: Chain, clock: Callable[[], float] = time.process_time
) -> dict[str, Any]:
    return paired(
        name,
        lambda: ours(faces),
        items=len(faces),
        peer_name=peer_name,
        peer=lambda: peer(faces),
        rounds=ROUNDS,
        clock=clock,
    )


def _compiled(name: str, chain: Chain, faces: Tensor) -> list[dict[str, Any]]:
    """Time compiled chains; where one does not compile, say so."""
    try:
        return [_row("compiled, 1 thread", spooflab_chain(compiled=True), faces, f"{name}, compiled", chain)]
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
        Console(stderr=True).print(f"compiled {name}: not run, {type(error).__name__}")
        return []


def _full_chain(faces: Tensor) -> list[dict[str, Any]]:
    """Time the devices themselves: the full chain against the quick one, mosaic, smear and all."""
    full, quick = (CaptureDevice("front_phone", fidelity=f) for f in ("full", "quick"))
    seeds = iter(range(10**9))
    return [
        paired(
            "front_phone, quick",
            lambda: quick(faces, generator=generator(5, next(seeds))),
            items=len(faces),
            peer_name="front_phone, full",
            peer=lambda: full(faces, generator=generator(5, next(seeds))),
            rounds=ROUNDS,
            clock=time.process_time,
        )
    ]


def _tell_outputs(chains: dict[str, Chain], faces: Tensor) -> None:
    """Print each chain's figures, marked where they leave the tolerance around ours."""
    figures = {name: output_figures(chain, faces) for name, chain in chains.items()}
    table = Table("same output?", *figures, "tolerance", box=None, pad_edge=False)
    for figure, tolerance in TOLERANCES.items():
        ours = figures["ours"][figure]
        cells = [f"{f[figure]:.2f}{'' if agrees(figure, ours, f[figure]) else ' *'}" for f in figures.values()]
        table.add_row(figure, *cells, f"{tolerance:.0%}")
    console = Console(stderr=True)
    console.print(table)
    console.print("* outside the tolerance around ours")


def _synchronised(chain: Chain, images: Tensor) -> Callable[[], None]:
    def run() -> None:
        chain(images)
        torch.cuda.synchronize()

    return run


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
