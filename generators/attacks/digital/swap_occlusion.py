"""What a careful swap leaves alone: hair and glasses before either face, and teeth that the donor does not show."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.digital.morph_retouch import blur
from spooflab.generators.attacks.digital.poisson import fill
from spooflab.generators.attacks.digital.swap_mask import depth_inside
from spooflab.generators.face import PARSING, Face

_BEFORE = tuple(PARSING.index(name) for name in ("hair", "glasses"))
_NO_FACE = tuple(PARSING.index(name) for name in ("hair", "background", "clothes"))
_GLASSES = (PARSING.index("glasses"),)
_MULTIPLE = 32
_GAP = (0.06, 0.14)
"""By how many nose lengths the target's inner lips must be further apart than the donor's, from none to all kept."""


def occluded(face: Face, donor: Face, at: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return (1, 1, h, w) in [0, 1] within a window: hair or glasses on the target, or no face on the donor.

    Args:
        face, donor: batches of one; one without a parsing is taken to be uncovered.
        at: (1, h, w, 2) where each pixel of the window looks in the donor.
        rows, columns: of the window in the target.
    """
    covered = torch.zeros(1, 1, *at.shape[1:3])
    if face.parsing is not None:
        covered = torch.maximum(covered, _is(face.parsing[:, :, rows, columns], _BEFORE))
    if donor.parsing is not None:
        covered = torch.maximum(covered, _seen(_is(donor.parsing, _NO_FACE), at))
    return _grown(covered)


def before_face(face: Face) -> Tensor:
    """Return (1, 1, H, W) in [0, 1]: hair or glasses before one face; 0 for one without a parsing."""
    if face.parsing is None:
        return torch.zeros_like(face.radiance[:, :1])
    return _grown(_is(face.parsing, _BEFORE))


def without_glasses(over: Tensor, donor: Face, at: Tensor) -> Tensor:
    """Return the warped donor (1, C, h, w) with parsed frames filled from beside them, smoothly.

    Args:
        over: the donor, looked up at `at`.
        donor: a batch of one.
        at: (1, h, w, 2) pixels of the donor.
    """
    if donor.parsing is None:
        return over
    frames = _grown(_seen(_is(donor.parsing, _GLASSES), at))
    if not bool(frames.any()):
        return over
    height, width = over.shape[-2:]
    pad = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
    known = F.pad((frames < 0.1).float(), pad)[0, 0]
    filled = fill(F.pad(over[0], pad) * known, known)[None, :, :height, :width]
    return torch.lerp(over, filled, frames)


def _seen(hit: Tensor, at: Tensor) -> Tensor:
    size = torch.tensor([hit.shape[-1], hit.shape[-2]])
    return F.grid_sample(hit, at / size * 2 - 1, mode="nearest", padding_mode="border", align_corners=False)


def _grown(hit: Tensor) -> Tensor:
    """Return a mask softened, and a pixel more than was parsed."""
    return (blur(hit, 1.0) * 2).clamp_(0, 1) if bool(hit.any()) else hit


def kept_mouth(target: Tensor, donor: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return (1, 1, h, w) in [0, 1]: the target's opening between the lips, where the donor's mouth is more closed.

    Args:
        target, donor: (1, 68, 2) landmarks, each in its own picture.
        rows, columns: of the window in the target.
    """
    wider = float((_gap(target) - _gap(donor))[0])
    share = min(max((wider - _GAP[0]) / (_GAP[1] - _GAP[0]), 0.0), 1.0)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    out = torch.zeros(1, 1, height, width)
    outline = target[:, 60:68]
    low, high = outline[0].amin(0).floor() - 2, outline[0].amax(0).ceil() + 2
    top, bottom = max(int(low[1]), rows.start), min(int(high[1]), rows.stop)
    left, right = max(int(low[0]), columns.start), min(int(high[0]), columns.stop)
    if share == 0 or top >= bottom or left >= right:
        return out
    y, x = torch.meshgrid(torch.arange(top, bottom) + 0.5, torch.arange(left, right) + 0.5, indexing="ij")
    depth = depth_inside(outline, torch.stack([x, y], -1).reshape(1, -1, 2)).reshape(y.shape)
    part = out[0, 0, top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
    part.copy_((depth / 2 + 0.5).clamp(0, 1) * share)
    return out


def _gap(landmarks: Tensor) -> Tensor:
    """Return (1,) the mean distance between the inner lips in nose lengths."""
    gap = (landmarks[:, [61, 62, 63]] - landmarks[:, [67, 66, 65]]).norm(dim=-1).mean(1)
    shares: Tensor = gap / (landmarks[:, 33] - landmarks[:, 27]).norm(dim=-1).clamp(min=1e-3)
    return shares


def _is(parsing: Tensor, classes: tuple[int, ...]) -> Tensor:
    """Return (1, 1, H, W) 1 where the class is one of these."""
    hit = torch.zeros_like(parsing, dtype=torch.bool)
    for value in classes:
        hit |= parsing == value
    return hit.float()
