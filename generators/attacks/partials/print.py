"""The donor's face part as print on a worn sheet: the printer's own colours, at the size that the sheet needs."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.prints.content import encode_photograph, exposure_gain
from spooflab.generators.face import Face
from spooflab.generators.instruments.ink_colour import srgb_decode
from spooflab.generators.instruments.ink_model import InkModel, grow_dots, neugebauer_planes
from spooflab.generators.instruments.ink_separation import apply_table
from spooflab.generators.instruments.paper import Paper, separation_of
from spooflab.generators.instruments.paper_texture import ink_unevenness
from spooflab.params import Params, uniform

_BLOCK = 16
_LOG10 = 2.302585093


@dataclass(frozen=True)
class LocalPrintParams(Params):
    """What is drawn for the print on a worn sheet; names as in `PrintParams`.

    Attributes:
        paper: (B,) int64 which of the instrument's papers.
        face_level: (B,) mean luminance of the face in the printed photograph.
        quality: (B,) int64 JPEG quality of the photograph.
        tone_drift, density_drift: (B, 4) of the inks.
        misregistration: (B, 4, 2) displacement of each ink plane, standard deviations of the printer's.
        fibre_shift: (B, 2) where the fibre tile begins, 0-1.
        seed: (B,) int64, names banding and mottle.
        scale: (B,) printed size over life size.
        shift_mm: (B, 2) misplacement of the print.
        turn_deg: (B,) its turn.
    """

    paper: Tensor
    face_level: Tensor
    quality: Tensor
    tone_drift: Tensor
    density_drift: Tensor
    misregistration: Tensor
    fibre_shift: Tensor
    seed: Tensor
    scale: Tensor
    shift_mm: Tensor
    turn_deg: Tensor


def sample_local_print(batch_size: int, generator: torch.Generator) -> LocalPrintParams:
    """Draw prints as `sample_print` does, and how well each is fitted to its wearer."""
    n = batch_size
    return LocalPrintParams(
        paper=torch.randint(0, 1 << 20, (n,), generator=generator),
        face_level=uniform(n, 0.2, 0.4, generator),
        quality=torch.randint(70, 97, (n,), generator=generator),
        tone_drift=0.025 * torch.randn(n, 4, generator=generator) + 0.03 * torch.randn(n, 1, generator=generator),
        density_drift=0.05 * torch.randn(n, 4, generator=generator),
        misregistration=torch.randn(n, 4, 2, generator=generator),
        fibre_shift=torch.rand(n, 2, generator=generator),
        seed=torch.randint(0, 2**62, (n,), generator=generator),
        scale=torch.exp(0.07 * torch.randn(n, generator=generator)).clamp(0.82, 1.2),
        shift_mm=(1.6 * torch.randn(n, 2, generator=generator)).clamp(-4, 4),
        turn_deg=(2.5 * torch.randn(n, generator=generator)).clamp(-7, 7),
    )


@dataclass(frozen=True)
class Similarity:
    """Where a photograph lies on a sheet.

    Attributes:
        anchor_px: (2,) a point of the photograph,
        anchor_mm: (2,) and where it is printed, (u, v).
        mm_per_px: size of its pixels on the sheet.
        turn_rad: clockwise turn of the print on the sheet.
    """

    anchor_px: Tensor
    anchor_mm: Tensor
    mm_per_px: float
    turn_rad: float

    def to_photo(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return x and y of the photograph at sheet places."""
        c, s = math.cos(self.turn_rad) / self.mm_per_px, math.sin(self.turn_rad) / self.mm_per_px
        du, dv = u - float(self.anchor_mm[0]), v - float(self.anchor_mm[1])
        return c * du + s * dv + float(self.anchor_px[0]), c * dv - s * du + float(self.anchor_px[1])

    def to_sheet(self, points: Tensor) -> Tensor:
        """Return (u, v) (..., 2) of points of the photograph (..., 2)."""
        c, s = math.cos(self.turn_rad) * self.mm_per_px, math.sin(self.turn_rad) * self.mm_per_px
        x, y = (points - self.anchor_px).unbind(-1)
        return torch.stack([c * x - s * y, s * x + c * y], -1) + self.anchor_mm


def life_size(
    donor: Face, anchor_px: Tensor, anchor_mm: Tensor, eyes_mm: float, params: LocalPrintParams
) -> Similarity:
    """Lay the donor's photograph upright on a sheet at about the wearer's size.

    Args:
        donor: a batch of one.
        anchor_px: (2,) point of the photograph that comes to lie at
        anchor_mm: (2,) this place of the sheet, but for the drawn misplacement.
        eyes_mm: distance between the wearer's eyes.
        params: of a batch of one.
    """
    left, right = donor.landmarks5[0, 0], donor.landmarks5[0, 1]
    across = right - left
    tilt = math.atan2(float(across[1]), float(across[0]))
    size = eyes_mm / max(float(across.norm()), 1.0) * float(params.scale)
    turn = math.radians(float(params.turn_deg)) - tilt
    return Similarity(anchor_px, anchor_mm + params.shift_mm[0], size, turn)


def printed(
    donor: Face, params: LocalPrintParams, paper: Paper, place: Similarity, u: Tensor, v: Tensor, *, ink: bool
) -> Tensor:
    """Return (3, P) reflectance of the print at sheet places: the photograph, exposed, encoded and inked.

    Args:
        donor: the photographed face, a batch of one.
        params: of a batch of one.
        paper: with its printer.
        place: where the photograph lies.
        u: (P,) sheet places, mm.
        v: (P,).
        ink: False for ideal colours: the encoded file's own, on paper of reflectance 1.
    """
    x, y = place.to_photo(u, v)
    height, width = donor.size
    left, right = _blocks(float(x.min()), float(x.max()), width)
    top, bottom = _blocks(float(y.min()), float(y.max()), height)
    radiance = donor.radiance[0]
    gain = exposure_gain(radiance, donor.box[0], float(params.face_level))
    encoded = encode_photograph(radiance[:, top:bottom, left:right], gain, int(params.quality))
    if ink:
        window = (left, top, right, bottom)
        mean = inked(encoded, params, paper, place.mm_per_px, window, donor.size)
    else:
        mean = srgb_decode(encoded)
    grid = torch.stack([(x - left) * (2 / (right - left)) - 1, (y - top) * (2 / (bottom - top)) - 1], -1)
    grid = grid.reshape(1, 1, -1, 2)
    seen = F.grid_sample(mean[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return seen.reshape(3, -1)


def inked(
    encoded: Tensor, params: LocalPrintParams, paper: Paper, mm_per_px: float, window: tuple[int, int, int, int],
    size: tuple[int, int],
) -> Tensor:  # fmt: skip
    """Return the mean reflectance (3, h, w) that the printer lays down for encoded colours (3, h, w).

    Args:
        encoded: sRGB codes in [0, 1].
        params: of a batch of one.
        paper: with its printer.
        mm_per_px: size of a pixel on the sheet.
        window: left, top, right, bottom of the part, in pixels of
        size: the whole picture, height and width.
    """
    nominal = apply_table(separation_of(paper), encoded[None])[0]
    model, faults = ink_model_of(paper), paper.faults
    uneven = ink_unevenness(
        window, size, mm_per_px,
        banding=faults.banding, band_mm=faults.band_mm, mottle=faults.mottle, seed=int(params.seed),
    )  # fmt: skip
    laid = (uneven + 1 + params.density_drift[0, :, None, None]) * nominal
    offset = params.misregistration[0] * (faults.misregistration_um / 1000 / mm_per_px)
    laid = _shift(laid, offset).clamp_(0, 1)
    if model.density is not None:
        exponent = (-_LOG10 * model.density).T @ laid.reshape(4, -1)
        return exponent.exp_().reshape(3, *laid.shape[1:]) * model.white[:, None, None]
    dots = grow_dots(laid, model.dot_gain + params.tone_drift[0, :, None, None])
    return neugebauer_planes(dots, model.primaries, model.n)


@lru_cache(maxsize=32)
def ink_model_of(paper: Paper) -> InkModel:
    """Return the paper's ink model, made once."""
    with torch.inference_mode(False):
        return paper.ink_model()


def _shift(planes: Tensor, offset_px: Tensor) -> Tensor:
    """Displace each plane (4, h, w) by its offset (4, 2), of less than a pixel, bilinearly; edges replicate."""
    out = []
    for plane, (dx, dy) in zip(planes, offset_px.clamp(-0.99, 0.99).tolist(), strict=True):
        padded = F.pad(plane[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
        way_x, way_y = (0 if dx > 0 else 2), (0 if dy > 0 else 2)
        across = torch.lerp(padded[:, 1:-1], padded[:, way_x : padded.shape[1] - 2 + way_x], abs(dx))
        out.append(torch.lerp(across[1:-1], across[way_y : across.shape[0] - 2 + way_y], abs(dy)))
    return torch.stack(out)


def _blocks(low: float, high: float, size: int) -> tuple[int, int]:
    """Widen a range of pixels by 2 and to whole JPEG blocks, within the picture and never empty."""
    last_block = (size - 1) // _BLOCK * _BLOCK
    first = int(min(max(0.0, (low - 2) // _BLOCK * _BLOCK), last_block))
    last = int(min(size, -(-(max(high, 0.0) + 3) // _BLOCK) * _BLOCK))
    return first, max(last, min(size, first + _BLOCK))
