"""Draw each stage of a camera from weak to strong.

Usage: python examples/docs_stages.py OUT.jpg
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from spooflab.augment import Jpeg
from spooflab.augment.stages import (
    Beautify,
    ColourBalance,
    ColourFilter,
    DigitalZoom,
    LateralColour,
    LensDistortion,
    PhotoResponse,
    PointSpread,
    SensorNoise,
    Sharpen,
    Smear,
    Tone,
    Vignette,
)
from spooflab.augment.tone import srgb_decode, srgb_encode
from spooflab.generators.sheet import contact_sheet
from spooflab.seeds import generator

SIDE, CROP, SHOWN = 256, 96, 144
NONE = (0.0, 0.0)
Make = Callable[[Tensor], Tensor]


def main(out: Path) -> None:
    """Write the sheet: a row for each stage, strength growing to the right."""
    photo = portrait()
    tiles = []
    for name, levels in stages().items():
        for caption, make, close in levels:
            seen = make(photo)[0]
            if close:  # what happens to single pixels is shown enlarged
                seen = seen[:, 88 : 88 + CROP, 72 : 72 + CROP]
            tiles.append((f"{name}, {caption}", picture(seen)))
    Image.fromarray(contact_sheet(tiles, columns=8)).save(out, quality=90)
    sys.stderr.write(f"wrote {out}\n")


def stages() -> dict[str, list[tuple[str, Make, bool]]]:
    """Return four strengths of every stage: caption, the stage, and whether it is shown enlarged."""

    def row(
        label: str, values: list[float], stage: Callable[[float], Make], close: bool
    ) -> list[tuple[str, Make, bool]]:
        return [(f"{label} {value:g}", stage(value), close) for value in values]

    def at(value: float) -> tuple[float, float]:
        return (value, value)

    lens = {"tangential": NONE, "skew": NONE}
    sharp = {"motion_px": NONE, "corner_blur_px": NONE}
    still = {"balance_ev": 0.0, "saturation": (1.0, 1.0)}
    return {
        "distortion": row(
            "edge", [-0.05, -0.12, -0.25, 0.08], lambda v: light(LensDistortion(edge=at(v), **lens)), False
        ),
        "rolling shutter": row(
            "skew",
            [0.01, 0.03, 0.08, 0.15],
            lambda v: light(LensDistortion(edge=NONE, tangential=NONE, skew=at(v))),
            False,
        ),
        "blur": row("px", [0.4, 0.8, 1.4, 2.2], lambda v: light(PointSpread(blur_px=at(v), **sharp)), True),
        "motion": row(
            "px", [1, 2, 3, 4], lambda v: light(PointSpread(blur_px=NONE, motion_px=at(v), corner_blur_px=NONE)), True
        ),
        "lateral colour": row("scale", [5e-4, 1e-3, 2e-3, 4e-3], lambda v: light(LateralColour(scale=at(v))), False),
        "vignetting": row("corner", [0.9, 0.7, 0.5, 0.35], lambda v: light(Vignette(corner_gain=at(v))), False),
        "noise": row(
            "a",
            [2e-4, 2e-3, 8e-3, 0.02],
            lambda v: light(SensorNoise(a=at(v), b=at(v / 200), row_share=(0.05, 0.05))),
            True,
        ),
        "pattern": row("std", [0.003, 0.005, 0.007, 0.009], lambda v: light(PhotoResponse(std=at(v))), True),
        "colour filters": row("bits", [14, 10, 9, 8], lambda v: light(ColourFilter(bits=int(v))), True),
        "balance": row("ev", [-0.8, -0.3, 0.4, 0.9], lambda v: light(ColourBalance(error_ev=at(v), **still)), False),
        "noise reduction": row("smear", [0.2, 0.4, 0.7, 1.0], lambda v: light(noisy_then(Smear(strength=at(v)))), True),
        "tone": row("curve", [0.2, 0.5, 0.8, 1.0], lambda v: encoded(Tone(tone=at(v), gamma=(1.0, 1.0))), False),
        "beautification": row("strength", [0.2, 0.4, 0.7, 1.0], lambda v: encoded(Beautify(strength=at(v))), True),
        "sharpening": row(
            "gain", [0.3, 0.8, 1.5, 3.0], lambda v: encoded(Sharpen(gain=at(v), radius_px=(1.2, 1.2))), True
        ),
        "digital zoom": row("zoom", [1.0, 1.3, 1.7, 2.5], lambda v: encoded(DigitalZoom(zoom=at(v))), False),
        "JPEG": row("quality", [90, 60, 30, 10], lambda v: coded(int(v)), True),
    }


def light(stage: torch.nn.Module) -> Make:
    """Return the stage at work on linear light."""
    return lambda photo: srgb_encode(drawn(stage, srgb_decode(photo).clamp(0, 1)))


def encoded(stage: torch.nn.Module) -> Make:
    """Return the stage at work on code values."""
    return lambda photo: drawn(stage, photo)


def coded(quality: int) -> Make:
    """Return JPEG of one quality."""
    stage = Jpeg(quality=(quality, quality), subsampling=("4:2:0",))
    return lambda photo: drawn(stage, (photo * 255).round().to(torch.uint8)).float() / 255


def noisy_then(stage: torch.nn.Module) -> torch.nn.Module:
    """Return the stage after the sensor's noise."""
    return torch.nn.ModuleList([SensorNoise(a=(1e-3, 1e-3), b=(1e-5, 1e-5), row_share=NONE), stage])


def drawn(stage: torch.nn.Module, x: Tensor) -> Tensor:
    """Pass pictures through a stage, or several in turn, with one fixed draw."""
    for each in stage if isinstance(stage, torch.nn.ModuleList) else [stage]:
        x = each(x, generator=generator(9, "stages"))
    return x


def portrait() -> Tensor:
    """Return (1, 3, SIDE, SIDE) of the photograph that scikit-image ships (NASA, public domain)."""
    from skimage.data import astronaut

    whole = torch.from_numpy(astronaut()).permute(2, 0, 1)[None].float() / 255
    face = whole[..., :300, 75:375]
    return torch.nn.functional.interpolate(face, (SIDE, SIDE), mode="bilinear", antialias=True).clamp(0, 1)


def picture(seen: Tensor) -> NDArray[np.uint8]:
    """Return uint8 (SHOWN, SHOWN, 3)."""
    codes = (seen.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return np.asarray(
        Image.fromarray(codes).resize(
            (SHOWN, SHOWN), Image.Resampling.NEAREST if len(codes) == CROP else Image.Resampling.LANCZOS
        )
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
