"""Measure how patterns of simulated instruments differ from those of simulations in common use, and draw it.

Usage: python examples/docs_spectra.py OUT.png

Every figure is measured on pairs of pictures of one face that differ by the pattern alone. Of each species' draws that
are of comparable strength the one is shown whose pattern is clearest: most tiles have one dominant component.
"""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spooflab.augment import CaptureDevice, load_profile
from spooflab.errors import SkipSample
from spooflab.experiments.pattern_spectra import (
    LOWEST,
    Peaks,
    channel_correlation,
    contrast_by_brightness,
    peaks,
    power_spectrum,
    wander,
    without_shading,
)
from spooflab.generators.catalogue import build_attack
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.lab import Picture, photograph
from spooflab.params import Params
from spooflab.seeds import generator

SIDE, DRAWS, TILES, BINS = 448, 16, 7, 8
WEAKEST, STRONGEST = 2 / 255, 10 / 255
"""Bounds of the root mean square of patterns that are compared, in code values of 0-1."""
SURE = 0.35
"""Share of a tile's power from which a component is called dominant; noise stays below."""
LUMA = np.array([0.2126, 0.7152, 0.0722])
ROWS: tuple[tuple[str, str, str], ...] = (
    ("replay_monitor", "dslr", "lattice"),
    ("replay_monitor", "front_phone", "lattice"),
    ("print_a4", "front_phone", "halftone"),
    ("baseline_sine_moire", "front_phone", "amplitude"),
    ("baseline_swirl_moire", "front_phone", "twist"),
    ("baseline_dots", "front_phone", "opacity"),
)
"""Species, device, and what the twin lacks: an effect, or for a baseline the parameter that is set to 0."""


@dataclass(frozen=True)
class Measured:
    """One row: the face's part of the picture, its difference from the twin, and what was measured on that."""

    name: str
    picture: NDArray[np.float64]
    difference: NDArray[np.float64]
    found: Peaks
    level: NDArray[np.float64]
    contrast: NDArray[np.float64]

    clear: int
    drawn: int

    @property
    def sure(self) -> NDArray[np.bool_]:
        """(N,) tiles with a dominant component."""
        return self.found.share >= SURE

    @property
    def strength(self) -> float:
        """Root mean square of the difference."""
        return float(np.sqrt((self.difference**2).mean()))

    @property
    def rise(self) -> float:
        """Contrast in the brightest eighth over that in the darkest."""
        return float(self.contrast[-1] / max(self.contrast[0], 1e-9))


def measure(species: str, profile: str, lacks: str, face: Face) -> Measured:
    """Return the clearest of the draws of comparable strength; the strongest where none is strong enough."""
    made = [one for k in range(DRAWS) if (one := _draw(species, profile, lacks, face, k)) is not None]
    alike = [one for one in made if WEAKEST <= one.strength <= STRONGEST]
    best = max(alike, key=lambda one: int(one.sure.sum())) if alike else max(made, key=lambda one: one.strength)
    clear = sum(one.sure.mean() >= 0.2 and one.strength >= WEAKEST for one in made)
    return dataclasses.replace(best, clear=int(clear), drawn=len(made))


def _draw(species: str, profile: str, lacks: str, face: Face, number: int) -> Measured | None:
    attack = build_attack(species)
    params = attack.sample(1, generator(31, species, number))
    if species.startswith("baseline"):
        twin, other = attack, _neutral(params, lacks)
    else:
        twin = build_attack(species, ablate=(lacks,))
        other = twin.sample(1, generator(31, species, number))
    device = CaptureDevice(load_profile(profile))
    shot = device.sample(1, generator(31, "device", profile, number), size=(SIDE, SIDE))
    try:
        one, two = photograph(attack, face, None, params, shot, SIDE), photograph(twin, face, None, other, shot, SIDE)
    except SkipSample:
        return None
    rows, columns = _face_window(one)
    a, b = (p.image[rows, columns].astype(np.float64) / 255 for p in (one, two))
    if min(a.shape[:2]) < 96:
        return None
    difference = without_shading(a - b)
    level, contrast = contrast_by_brightness(difference @ LUMA, b @ LUMA, BINS)
    found = peaks(difference @ LUMA, TILES)
    return Measured(f"{species}\n{profile}", a, difference, found, level, contrast, 0, 0)


def _neutral(params: Params, name: str) -> Params:
    """Return a baseline's parameters with one of them 0: the same shot without the pattern."""
    inner: Any = params.manipulation  # type: ignore[attr-defined]
    calm = dataclasses.replace(inner, **{name: torch.zeros_like(getattr(inner, name))})
    if name == "amplitude":
        calm = dataclasses.replace(calm, kind=torch.zeros_like(inner.kind))
    changed: Params = dataclasses.replace(params, manipulation=calm)  # type: ignore[call-arg]
    return changed


def _face_window(picture: Picture) -> tuple[slice, slice]:
    """Return the square about the face's middle that lies within the picture."""
    x, y, w, h = picture.box.tolist()
    side = int(min(max(w, h), SIDE))
    left, top = (int(np.clip(m - side / 2, 0, SIDE - side)) for m in (x + w / 2, y + h / 2))
    return slice(top, top + side), slice(left, left + side)


def table(rows: list[Measured]) -> list[str]:
    """Return a line of figures for each row."""
    lines = []
    for row in rows:
        rg, gb, rb = channel_correlation(row.difference)
        lines.append(
            f"{row.name.replace(chr(10), ' / '):36s} rms {row.strength * 255:4.1f}/255"
            f"  frequency wanders {wander(row.found, SURE) * 100:5.1f} %  sure tiles {row.sure.sum():2d}"
            f"/{TILES**2}  bright/dark {row.rise:4.2f}  r(RG) {rg:+.2f} r(GB) {gb:+.2f} r(RB) {rb:+.2f}"
            f"  clear in {row.clear} of {row.drawn} draws"
        )
    return lines


def draw(rows: list[Measured], out: Path) -> None:
    """Write the figure."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(rows), 7, figsize=(15, 2.15 * len(rows)), constrained_layout=True)
    titles = ("picture", "difference, amplified", "spectrum R", "spectrum G", "spectrum B")
    for k, title in enumerate((*titles, "dominant frequency by place\n(cycles / pixel)", "contrast by brightness")):
        axes[0, k].set_title(title, fontsize=9)
    for row, line in zip(rows, axes, strict=True):
        _draw_row(row, line)
    figure.savefig(out, dpi=72, metadata={"Software": None})
    plt.close(figure)


def _draw_row(row: Measured, axes: Any) -> None:
    gain = 0.16 / max(row.strength, 1e-6)
    axes[0].imshow(row.picture)
    axes[0].set_ylabel(row.name, fontsize=8)
    axes[0].set_xlabel(f"clear in {row.clear} of {row.drawn} draws", fontsize=8)
    axes[1].imshow(np.clip(0.5 + gain * row.difference, 0, 1))
    axes[1].set_xlabel(f"rms {row.strength * 255:.1f} / 255, shown × {gain:.0f}", fontsize=8)
    for channel in range(3):
        power = np.log10(power_spectrum(row.difference[..., channel]) + 1e-14)
        top = float(power.max())
        axes[2 + channel].imshow(power, cmap="magma", vmin=top - 5, vmax=top, extent=(-0.5, 0.5, 0.5, -0.5))
    rg, gb, rb = channel_correlation(row.difference)
    axes[3].set_xlabel(f"correlation RG {rg:+.2f}, GB {gb:+.2f}, RB {rb:+.2f}", fontsize=8)
    for axis in axes[:5]:
        axis.set_xticks([])
        axis.set_yticks([])
    sure = row.sure
    x, y = row.found.frequency[sure].T if sure.any() else (np.zeros(0), np.zeros(0))
    axes[5].scatter(x, y, c=row.found.place[sure, 0], s=14, cmap="viridis", vmin=0, vmax=1)
    axes[5].set(xlim=(0, 0.5), ylim=(0.5, -0.5))
    moves = wander(row.found, SURE)
    said = "no dominant component" if np.isnan(moves) else f"wanders {moves * 100:.1f} %"
    axes[5].set_xlabel(f"{said} ({sure.sum()} of {len(sure)} tiles)", fontsize=8)
    axes[6].plot(row.level, row.contrast * 255, "o-", ms=3, color="black")
    axes[6].set(xlim=(0, 1), ylim=(0, None))
    axes[6].set_xlabel(f"brightest / darkest {row.rise:.2f}", fontsize=8)
    for axis in axes[5:]:
        axis.tick_params(labelsize=7)


def main(out: Path, say: Callable[[str], Any] = sys.stderr.write) -> None:
    """Measure every row and write figure and numbers."""
    torch.set_num_threads(1)
    source = ProceduralFaces(n_subjects=64, sessions=1, size=384, seed=7)
    face = source.load(source.refs()[2])
    rows = [measure(*row, face) for row in ROWS]
    for line in table(rows):
        say(line + "\n")
    draw(rows, out)
    say(f"wrote {out}; components below {LOWEST} cycles per pixel are left out\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
