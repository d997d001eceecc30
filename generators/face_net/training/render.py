"""Render the people that the network learns from into a cache of shards, each face another person.

Sessions are wider than those of `ProceduralFaces`: heads turn to 65 degrees, faces are nearer to the frame's edges,
every expression unit is used, and the camera stands from arm's length to a telephoto lens's distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.atomic import replace, write_aside
from spooflab.generators.face import PARSING
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.faces.procedural.params import NuisanceParams
from spooflab.generators.faces.procedural.render import render
from spooflab.generators.faces.procedural.sample import sample_identity, sample_nuisance
from spooflab.params import log_uniform, uniform
from spooflab.seeds import generator

SIZE = 160
"""Side of a rendered picture in pixels."""
SHARD = 32
"""Faces in a shard."""
HEADROOM = 2.0
"""Radiance that the cache's code 255 stands for."""
FACE_CLASSES = tuple(PARSING.index(name) for name in ("skin", "nose", "brows", "eyes", "lips", "mouth"))
"""Classes over which the mean depth of a face is taken."""

_GRIN = (
    ("mouth-corner-puller", 0.5, 1.0),
    ("mouth-part-later", 0.0, 1.0),
    ("mouth-upward-retraction", 0.0, 0.8),
    ("mouth-retraction", 0.0, 0.6),
    ("mouth-open", 0.0, 0.2),
    ("eye-*-slit", 0.0, 0.5),
)
_Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Rendered:
    """Faces as the cache holds them.

    Attributes:
        image: (N, 3, S, S) uint8 codes of the radiance, see `encode`.
        parsing: (N, S, S) uint8 classes of `PARSING`.
        depth_mm: (N, S, S) float16, distance less the face's mean distance, nan for background.
        landmarks: (N, 68, 2) float32 pixels.
        pose_deg: (N, 2) float32 yaw and pitch of the head.
    """

    image: NDArray[np.uint8]
    parsing: NDArray[np.uint8]
    depth_mm: NDArray[np.float16]
    landmarks: NDArray[np.float32]
    pose_deg: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.image)


def encode(radiance: Tensor) -> _Bytes:
    """Return uint8 codes of radiance up to `HEADROOM`, with a gamma that keeps the shadows' steps small."""
    codes = (radiance / HEADROOM).clamp(0, 1) ** (1 / 2.2) * 255
    return np.asarray(codes.round().to(torch.uint8).numpy())


def decode(codes: Tensor) -> Tensor:
    """Return the radiance that `encode` coded."""
    return (codes.to(torch.float32) / 255) ** 2.2 * HEADROOM


def wide_session(gen: torch.Generator) -> NuisanceParams:
    """Draw one session, wider in pose, framing, distance, expression and light than those of `ProceduralFaces`."""
    base = sample_nuisance(1, gen)
    how = float(torch.rand(1, generator=gen))
    reach = 0.0 if how < 0.45 else 40.0 if how < 0.8 else 65.0
    yaw = base.yaw_deg if reach == 0 else uniform(1, -reach, reach, gen)
    pitch = base.pitch_deg if how < 0.3 else uniform(1, -24, 24, gen)
    hard = float(torch.rand(1, generator=gen)) < 0.25
    return NuisanceParams(
        **{
            **{name: getattr(base, name) for name in base.__dataclass_fields__},
            "yaw_deg": yaw,
            "pitch_deg": pitch,
            "body_yaw_deg": yaw * uniform(1, 0.2, 0.9, gen),
            "gaze_yaw_deg": (uniform(1, -22, 22, gen) - 0.3 * yaw).clamp(-24, 24),
            "expression": wide_expression(base.expression, gen),
            "distance_mm": log_uniform(1, 380, 2500, gen),
            "share": uniform(1, 0.34, 0.58, gen),
            "offset": uniform(2, -0.05, 0.05, gen)[None],
            "ambient_level": base.ambient_level * (0.3 if hard else 1.0),
            "key_softness": base.key_softness * (0.3 if hard else 1.0),
        }
    )


def wide_expression(base: Tensor, gen: torch.Generator) -> Tensor:
    """Return (1, units): `base`, or with more of some units, or the grin and the blink that photographs are full of."""
    units = len(EXPRESSIONS)
    more = torch.rand(1, units, generator=gen) ** 4 * (torch.rand(1, units, generator=gen) < 0.25)
    grin, blink = (torch.zeros(1, units) for _ in range(2))
    for name, low, high in _GRIN:
        grin[0, EXPRESSIONS.index(name)] = float(uniform(1, low, high, gen))
    blink[0, EXPRESSIONS.index("eye-*-closure")] = float(uniform(1, 0.6, 1, gen))
    how = float(torch.rand(1, generator=gen))
    if how < 0.3:
        return base
    if how < 0.58:
        return (base * 0.3 + grin).clamp(0, 1.1)
    if how < 0.64:
        return (base + blink).clamp(0, 1.1)
    return (base + more).clamp(0, 1.1)


def render_shard(seed: int, index: int, size: int = SIZE) -> Rendered:
    """Render shard `index` of the cache that `seed` names."""
    rows = []
    for k in range(SHARD):
        gen = generator(seed, "face-net", index * SHARD + k)
        identity, session = sample_identity(1, gen), wide_session(gen)
        with torch.inference_mode():
            rows.append((render(identity, session, size), session))
    pose = [[float(s.yaw_deg[0]), float(s.pitch_deg[0])] for _, s in rows]
    return Rendered(
        image=np.stack([encode(face.radiance[0]) for face, _ in rows]),
        parsing=np.stack([_parsing(face.parsing) for face, _ in rows]),
        depth_mm=np.stack([_relief(face.depth_mm, face.parsing) for face, _ in rows]),
        landmarks=np.stack([face.landmarks[0].numpy() for face, _ in rows]),
        pose_deg=np.array(pose, dtype=np.float32),
    )


def _parsing(parsing: Tensor | None) -> _Bytes:
    assert parsing is not None
    return np.asarray(parsing[0, 0].numpy())


def _relief(depth: Tensor | None, parsing: Tensor | None) -> NDArray[np.float16]:
    assert depth is not None
    assert parsing is not None
    flat, on = depth[0, 0], torch.isin(parsing[0, 0], torch.tensor(FACE_CLASSES, dtype=torch.uint8))
    mean = flat[on & flat.isfinite()].mean()
    return np.asarray(torch.where(flat.isfinite(), flat - mean, torch.nan).to(torch.float16).numpy())


def shard_path(folder: Path, index: int) -> Path:
    """Return where a shard lies."""
    return folder / f"faces-{index:05d}.npz"


def fill_cache(folder: Path, shards: range, seed: int) -> None:
    """Render the shards that are missing; a shard appears whole or not at all, so a stopped run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in shards:
        path = shard_path(folder, index)
        if path.exists():
            continue
        held = BytesIO()
        np.savez(held, **vars(render_shard(seed, index)))
        aside = path.with_suffix(".part")
        aside.unlink(missing_ok=True)
        write_aside(aside, held.getvalue())
        replace(aside, path)
        print(f"{path.name}: {(index - shards.start + 1) * SHARD} of {len(shards) * SHARD} faces", flush=True)


class Cache:
    """The shards of a range as far as they are rendered; `grow` takes in those that have come since.

    Raises:
        FileNotFoundError: none is there.
    """

    def __init__(self, folder: Path, shards: range) -> None:
        self.folder, self._waiting, self._held = folder, list(shards), list[Rendered]()
        self.grow()
        if not self._held:
            raise FileNotFoundError(f"{folder}: no shard {shards.start}…{shards.stop - 1}; render them first")

    def __len__(self) -> int:
        return len(self._held) * SHARD

    def grow(self) -> None:
        """Read the shards that have appeared, in order, up to the first that has not."""
        while self._waiting and shard_path(self.folder, self._waiting[0]).exists():
            with np.load(shard_path(self.folder, self._waiting.pop(0)), allow_pickle=False) as data:
                self._held.append(Rendered(**{name: data[name] for name in Rendered.__dataclass_fields__}))

    def take(self, rows: Sequence[int]) -> Rendered:
        """Return some faces by their numbers."""
        at = [divmod(row, SHARD) for row in rows]
        return Rendered(
            **{
                name: np.stack([getattr(self._held[i], name)[k] for i, k in at])
                for name in Rendered.__dataclass_fields__
            }
        )
