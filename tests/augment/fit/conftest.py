"""Scenes and cameras whose truth is known: light drawn here, photographed by `CaptureDevice`, written as files."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import CaptureDevice, DeviceParams, DeviceProfile, develop, load_profile
from spooflab.augment.lens import through_lens

SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


class Scenes:
    """Linear light (3, H, W) that no face network and no data set is needed for; the seed decides everything."""

    @staticmethod
    def leaves(seed: int, side: int = 512, *, lines: bool = False, texture: float = 0.2, shapes: int = 60) -> Tensor:
        """Overlapping discs and rectangles, flat, shaded or textured: a "dead leaves" model (Lee et al. 2001)."""
        rng = np.random.default_rng(seed)
        big = side * 2
        light = np.full((3, big, big), 0.2, np.float32) * Scenes._colour(rng)[:, None, None]
        for _ in range(shapes):
            Scenes._leaf(light, rng, lines=lines, texture=texture)
        return F.avg_pool2d(torch.from_numpy(light)[None], 2)[0]

    @staticmethod
    def _leaf(light: np.ndarray, rng: np.random.Generator, *, lines: bool, texture: float) -> None:
        big = light.shape[-1]
        cx, cy = rng.uniform(0, big, 2)
        size = big * min(0.45, 0.04 * rng.pareto(1.2) + 0.05)
        angle, aspect, box = rng.uniform(0, math.pi), rng.uniform(0.3, 1.0), lines or rng.random() < 0.5
        long = size * (6 if lines else 1)
        reach = math.hypot(long, size) if box else size
        x0, x1 = max(0, int(cx - reach)), min(big, int(cx + reach) + 1)
        y0, y1 = max(0, int(cy - reach)), min(big, int(cy + reach) + 1)
        x, y = np.arange(x0, x1, dtype=np.float32)[None] - cx, np.arange(y0, y1, dtype=np.float32)[:, None] - cy
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        outside = np.maximum(np.abs(u) - long, np.abs(v) - size * aspect) if box else np.hypot(u, v) - size
        cover = np.clip(0.5 - outside, 0, 1)  # a mask of whole pixels would bend straight edges by a quarter pixel
        level = math.exp(rng.uniform(math.log(0.0015), math.log(0.9)))
        gain = np.ones(cover.shape, np.float32)
        kind = rng.random()
        if kind < 0.3:
            gain = 1 + rng.uniform(-0.3, 0.3) * u / size
        elif kind < 0.3 + texture:
            gain = 1 + rng.uniform(0.05, 0.3) * rng.standard_normal(cover.shape).astype(np.float32)
        window = light[:, y0:y1, x0:x1]
        window += cover * (np.clip((level * Scenes._colour(rng))[:, None, None] * gain, 0, 1) - window)

    @staticmethod
    def _colour(rng: np.random.Generator) -> np.ndarray:
        hue = 1 + 0.3 * rng.standard_normal(3).clip(-2, 2)
        return (hue / hue.max()).astype(np.float32)

    @staticmethod
    def plain(seed: int, side: int = 512, *, dark: bool = False) -> Tensor:
        """Nine sheets of paper under a lamp from one side; `dark`: in near darkness, so that exposure cannot help."""
        rng = np.random.default_rng(2000 + seed)
        light = np.zeros((3, 3, 3), np.float32)
        for cell in range(9):
            colour = 1 + 0.1 * rng.standard_normal(3)
            light[:, cell // 3, cell % 3] = math.exp(rng.uniform(math.log(0.01), math.log(0.9))) * colour / colour.max()
        angle = rng.uniform(0, 2 * math.pi)
        across = (np.arange(2 * side, dtype=np.float32) + 0.5) / (2 * side) - 0.5
        x, y = across[None], across[:, None]
        lamp = np.exp(0.3 * (x * math.cos(angle) + y * math.sin(angle)))
        column, row = (np.clip((3 * (0.5 + along)).astype(int), 0, 2) for along in (x + 0.08 * y, y - 0.08 * x))
        sheets = light[:, row, column] * lamp
        if dark:
            sheets *= rng.uniform(2e-4, 1.2e-3) / sheets.mean()
        return F.avg_pool2d(torch.from_numpy(sheets.clip(0, 1).astype(np.float32))[None], 2)[0]

    @staticmethod
    def flat(level: float, side: int = 512) -> Tensor:
        return torch.full((3, side, side), level)


class Camera:
    """A unit of a profile and what it makes of scenes, with the parameters that it drew."""

    def __init__(self, profile: DeviceProfile, unit: int = 0) -> None:
        self.device = CaptureDevice(profile, unit=unit)

    def shoot(self, light: Tensor, seed: int) -> tuple[Tensor, DeviceParams]:
        params = self.device.sample(1, torch.Generator().manual_seed(seed), size=(light.shape[-2], light.shape[-1]))
        return develop(through_lens(light[None], params.view), params)[0], params

    def folder(self, scenes: list[Tensor], out: Path, seed: int = 0) -> list[DeviceParams]:
        """Write one JPEG a scene: coded once, by the codec of the shot."""
        out.mkdir(parents=True, exist_ok=True)
        drawn = []
        for place, light in enumerate(scenes):
            params = self.device.sample(
                1, torch.Generator().manual_seed(seed + place), size=(light.shape[-2], light.shape[-1])
            )
            (out / f"{place:03d}.jpg").write_bytes(encode(light, params))
            drawn.append(params)
        return drawn


def encode(light: Tensor, params: DeviceParams) -> bytes:
    """The file that a camera would write: developed without codec, coded with the shot's own tables."""
    import dataclasses

    bare = dataclasses.replace(params, quality=params.quality * 0)
    photo = develop(through_lens(light[None], params.view), bare)[0]
    pixels = (photo * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=int(params.quality[0]), subsampling=SUBSAMPLING[int(params.subsampling[0])]
    )
    return buffer.getvalue()


def profile(base: str = "front_phone", name: str = "held_out", **groups: dict[str, Any]) -> DeviceProfile:
    """A shipped profile with some ranges replaced."""
    shipped = load_profile(base).model_dump()
    for group, changes in groups.items():
        shipped[group].update(changes)
    return DeviceProfile.model_validate(shipped | {"name": name})


@pytest.fixture(scope="session")
def scenes() -> type[Scenes]:
    return Scenes


@pytest.fixture(scope="session")
def camera() -> type[Camera]:
    return Camera


@pytest.fixture(scope="session")
def held_out() -> Callable[..., DeviceProfile]:
    return profile
