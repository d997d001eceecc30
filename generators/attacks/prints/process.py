"""What a printer does to a photograph, apart from how the sheet is then held: from scene light to reflectance.

Whatever is printed goes through here: flat prints, worn paper, paper glasses. `sample_printing` draws the state of a
printer; `printed_reflectance` gives the whole picture's mean reflectance on its paper; `print_photograph` also the
dots, for who looks at them through a lens.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import DataError
from spooflab.generators.attacks.prints.content import encode_photograph, exposure_gain
from spooflab.generators.instruments.ink_colour import luminance, srgb_decode
from spooflab.generators.instruments.ink_model import grow_dots, neugebauer_planes
from spooflab.generators.instruments.ink_separation import apply_table, print_target
from spooflab.generators.instruments.paper import Paper, load_papers, separation_of
from spooflab.generators.instruments.paper_texture import ink_unevenness
from spooflab.params import Params, uniform

Window = tuple[int, int, int, int]
"""Left, top, right, bottom of a part of the photograph, pixels."""
PROCESS_EFFECTS = ("gamut", "black_lift", "drift", "banding", "misregistration")
"""What `print_photograph` can leave out."""
_CARELESS, _LOW_INK = 0.35, 0.10
_DARKEST = 0.002


@dataclass(frozen=True)
class Printing(Params):
    """One photograph's way through one printer; every field is batched.

    Attributes:
        paper: (B,) int64 `Paper.number` of the instrument.
        face_level: (B,) mean luminance of the face in the printed photograph.
        quality: (B,) int64 JPEG quality of the photograph.
        tone_drift: (B, 4) change of the mechanical dot gain since the printer was characterised, each ink.
        density_drift: (B, 4) relative change of the ink laid down.
        misregistration_mm: (B, 4, 2) displacement of each ink plane.
        screen_phase: (B, 4, 2) cycles.
        screen_turn_deg: (B,) turn of all screens on the sheet (skewed feed).
        screen_scale: (B,) lpi relative to the nominal.
        fibre_shift: (B, 2) where the fibre tile begins, 0-1.
        seed: (B,) int64, names banding, mottle and the sheet's waves.
    """

    paper: Tensor
    face_level: Tensor
    quality: Tensor
    tone_drift: Tensor
    density_drift: Tensor
    misregistration_mm: Tensor
    screen_phase: Tensor
    screen_turn_deg: Tensor
    screen_scale: Tensor
    fibre_shift: Tensor
    seed: Tensor


def sample_printing(
    papers: Sequence[Paper], batch_size: int, generator: torch.Generator
) -> tuple[Printing, tuple[Paper, ...]]:
    """Draw prints and return them with each one's paper.

    A third of the printers drift three times as far as the careful ones, and one in ten runs out of an ink.

    Args:
        papers: instruments to choose from, in proportion to their weights.
        batch_size: how many.
        generator: the only source of randomness.
    """
    n = batch_size
    shares = torch.tensor([paper.weight for paper in papers]).cumsum(0)
    which = torch.searchsorted(shares, shares[-1] * torch.rand(n, generator=generator), right=True)
    chosen = tuple(papers[i] for i in which.clamp(max=len(papers) - 1).tolist())
    slip = torch.tensor([paper.faults.misregistration_um / 1000 for paper in chosen])
    careless = torch.where(torch.rand(n, generator=generator) < _CARELESS, 1.0, 0.35)[:, None]
    common = 0.04 * careless * torch.randn(n, 1, generator=generator)
    low = (torch.rand(n, generator=generator) < _LOW_INK) * uniform(n, 0.1, 0.35, generator)
    empty = torch.nn.functional.one_hot(torch.randint(0, 4, (n,), generator=generator), 4)
    printing = Printing(
        paper=torch.tensor([paper.number for paper in chosen]),
        face_level=uniform(n, 0.2, 0.4, generator),
        quality=torch.randint(70, 97, (n,), generator=generator),
        tone_drift=0.045 * careless * torch.randn(n, 4, generator=generator) + common,
        density_drift=0.08 * careless * torch.randn(n, 4, generator=generator) - low[:, None] * empty,
        misregistration_mm=slip[:, None, None] * torch.randn(n, 4, 2, generator=generator),
        screen_phase=torch.rand(n, 4, 2, generator=generator),
        screen_turn_deg=0.4 * torch.randn(n, generator=generator),
        screen_scale=1 + 0.005 * torch.randn(n, generator=generator),
        fibre_shift=torch.rand(n, 2, generator=generator),
        seed=torch.randint(0, 2**62, (n,), generator=generator),
    )
    return printing, chosen


def paper_of(printing: Printing) -> Paper:
    """Return the instrument of a batch of one.

    Raises:
        DataError: the bank has no such paper (any more).
    """
    number = int(printing.paper[0])
    for paper in load_papers().values():
        if paper.number == number:
            return paper
    raise DataError(f"print: paper number {number} is not in the bank", wanted="the bank that the record was made with")


def printed_reflectance(
    radiance: Tensor, box: Tensor, printing: Printing, mm_per_px: float, *, off: Collection[str] = ()
) -> Tensor:
    """Return the mean linear reflectance (3, H, W) of a whole printed photograph, paper white included, without dots.

    Args:
        radiance: (3, H, W) linear sRGB scene light.
        box: (4,) the face's box in its pixels, which sets the exposure.
        printing: one row.
        mm_per_px: size of the photograph's pixels on the paper.
        off: names of `PROCESS_EFFECTS` to leave out.
    """
    whole = (0, 0, radiance.shape[2], radiance.shape[1])
    return print_photograph(radiance, box, printing, paper_of(printing), mm_per_px, whole, off=off)[1]


def print_photograph(
    radiance: Tensor, box: Tensor, printing: Printing, paper: Paper, mm_per_px: float, window: Window, *,
    off: Collection[str] = (),
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the physical dot areas (4, h, w) and the mean reflectance (3, h, w) that the printer lays down.

    Args:
        radiance: (3, H, W) linear sRGB scene light.
        box: (4,) the face's box in its pixels, which sets the exposure.
        printing: one row.
        paper: its instrument.
        mm_per_px: size of the photograph's pixels on the paper.
        window: the part that is wanted; on multiples of 16 pixels it equals the whole's.
        off: names of `PROCESS_EFFECTS` to leave out.
    """
    left, top, right, bottom = window
    gain = exposure_gain(radiance, box, float(printing.face_level))
    encoded = encode_photograph(radiance[:, top:bottom, left:right], gain, int(printing.quality))
    nominal = apply_table(separation_of(paper), encoded[None])[0]
    size = (int(radiance.shape[1]), int(radiance.shape[2]))
    dots, mean = _lay(_uneven(nominal, printing, paper, mm_per_px, window, size, off), printing, paper, off)
    if "gamut" in off:
        _, planned = _lay(nominal.clamp(0, 1), printing, paper, ("drift",))
        wanted = print_target(paper.ink_model(), paper.black_generation(), srgb_decode(encoded).permute(1, 2, 0))
        mean = mean.div_(planned).clamp_(0.25, 4).mul_(wanted.permute(2, 0, 1))
    if "black_lift" in off:
        mean = _drop_black(mean, paper)
    return dots, mean


def ground_reflectance(encoded: Tensor, paper: Paper) -> Tensor:
    """Return the reflectance (3,) of an even, sRGB-encoded colour (3,), as the paper's printer prints it."""
    nominal = apply_table(separation_of(paper), encoded[None, :, None, None])[0, :, 0, 0]
    return paper.ink_model().reflectance(nominal.clamp(0, 1))


def _uneven(
    nominal: Tensor, printing: Printing, paper: Paper, mm_per_px: float, window: Window, size: tuple[int, int],
    off: Collection[str],
) -> Tensor:  # fmt: skip
    """Return the ink laid down for nominal coverages (4, h, w): drifted, banded, mottled and displaced."""
    faults, drift = paper.faults, printing.density_drift[0, :, None, None]
    if "drift" in off:
        drift = torch.zeros_like(drift)
    if "banding" in off:
        laid = (1 + drift) * nominal
    else:
        uneven = ink_unevenness(
            window, size, mm_per_px,
            banding=faults.banding, band_mm=faults.band_mm, mottle=faults.mottle, seed=int(printing.seed),
        )  # fmt: skip
        laid = uneven.add_(1 + drift).mul_(nominal)
    if "misregistration" not in off:
        laid = _shift(laid, printing.misregistration_mm[0] / mm_per_px)
    return laid.clamp_(0, 1)


def _lay(laid: Tensor, printing: Printing, paper: Paper, off: Collection[str]) -> tuple[Tensor, Tensor]:
    """Return dot areas and mean reflectance of the ink laid down (4, h, w)."""
    model = paper.ink_model()
    if model.density is not None:
        exponent = (-2.302585093 * model.density).T @ laid.reshape(4, -1)
        return laid, exponent.exp_().reshape(3, *laid.shape[1:]).mul_(model.white[:, None, None])
    drift = 0.0 if "drift" in off else printing.tone_drift[0, :, None, None]
    dots = grow_dots(laid, model.dot_gain + drift)
    return dots, neugebauer_planes(dots, model.primaries, model.n)


def _drop_black(mean: Tensor, paper: Paper) -> Tensor:
    """Stretch reflectances so that the printer's darkest neutral becomes black and its paper stays."""
    model = paper.ink_model()
    floor = black_point(paper)
    relative = mean / model.white[:, None, None]
    return relative.sub_(floor).div_(1 - floor).clamp_(min=_DARKEST).mul_(model.white[:, None, None])


def black_point(paper: Paper) -> float:
    """Return the luminance of the printer's darkest neutral relative to its paper: what black is lifted to."""
    target = print_target(paper.ink_model(), paper.black_generation(), torch.zeros(1, 3))[0]
    return float(luminance(target) / luminance(paper.ink_model().white))


def _shift(planes: Tensor, offset_px: Tensor) -> Tensor:
    """Return planes (4, h, w) displaced by (4, 2) pixels (x, y), less than one; edges replicate."""
    moved = []
    for plane, (dx, dy) in zip(planes, offset_px.clamp(-0.99, 0.99).tolist(), strict=True):
        padded = F.pad(plane[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
        near = padded[1:-1]
        rows = torch.lerp(near, padded[:-2] if dy > 0 else padded[2:], abs(dy))
        other = rows[:, :-2] if dx > 0 else rows[:, 2:]
        moved.append(torch.lerp(rows[:, 1:-1], other, abs(dx)))
    return torch.stack(moved)
