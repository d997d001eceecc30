"""What an editor knows about one picture: head, skin, hair and scale; and how carelessly it masks."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from spooflab.generators.attacks.digital.attribute_hair_mask import hair_by_colour
from spooflab.generators.attacks.digital.morph_retouch import blur
from spooflab.generators.face import PARSING, Face
from spooflab.generators.geometry.head_fit import HeadFit, fit_head
from spooflab.generators.geometry.head_maps import HeadMaps, head_maps
from spooflab.generators.geometry.skin_prior import skin_albedo
from spooflab.generators.geometry.skin_weight import skin_weight

_FEWEST = 60
_LUMINANCE = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, eq=False)
class EditScene:
    """One face to be edited.

    Attributes:
        face: a batch of one.
        fit, maps: its head.
        halo_px: softness of every mask's edge.
        shift_px: (2,) how far masks lie off.
    """

    face: Face
    fit: HeadFit
    maps: HeadMaps
    halo_px: float
    shift_px: Tensor

    @classmethod
    def of(cls, face: Face, halo_px: float, shift_px: Tensor) -> "EditScene":
        """Fit the head of a batch of one.

        Raises:
            SkipSample: `head_fit_failed` or `profile_face`.
        """
        fit = fit_head(face.landmarks[0], face.size)
        return cls(face, fit, head_maps(fit), halo_px, shift_px)

    @property
    def landmarks(self) -> Tensor:
        """(68, 2) pixels."""
        return self.face.landmarks[0]

    @property
    def parsing(self) -> Tensor | None:
        """(H, W) classes, or None."""
        return None if self.face.parsing is None else self.face.parsing[0, 0]

    @cached_property
    def skin(self) -> Tensor:
        """(H, W) bare skin of the face."""
        return skin_weight(self.face.radiance[0], self.landmarks, self.maps, self.parsing)

    @cached_property
    def skin_colour(self) -> Tensor:
        """(3,) mean radiance of the skin, in full light rather than in shadow."""
        weight = self.skin / self.skin.sum().clamp(min=1.0)
        mean = (self.face.radiance[0] * weight).sum((1, 2)).clamp(min=2e-3)
        return mean if float(self.skin.sum()) > _FEWEST else torch.full((3,), 0.3)

    @cached_property
    def skin_albedo(self) -> Tensor:
        """(3,) the likeliest albedo of that skin."""
        return skin_albedo(self.skin_colour)

    @property
    def light(self) -> Tensor:
        """(3,) mean irradiance on the face."""
        return self.skin_colour / self.skin_albedo

    @cached_property
    def shade(self) -> Tensor:
        """(1, H, W) smooth brightness of the picture, 1 where it is as bright as the skin."""
        weigh = torch.tensor(_LUMINANCE)[:, None, None]
        bright = (self.face.radiance[0] * weigh).sum(0, keepdim=True) / (self.skin_colour[:, None, None] * weigh).sum()
        return blur(bright[None], max(2.0, 4 / self.fit.mm_per_px))[0].clamp(0.1, 2.0)

    def classes(self, *names: str) -> Tensor:
        """Return (H, W) 1 where the parsing, which must be known, is one of these classes."""
        assert self.parsing is not None
        hit = torch.zeros(self.face.size, dtype=torch.bool)
        for name in names:
            hit |= self.parsing == PARSING.index(name)
        return hit.float()

    def careless(self, mask: Tensor) -> Tensor:
        """Return a mask (H, W) as the editor has it: moved and with a soft edge."""
        if self.halo_px == 0:
            return mask
        soft = blur(mask[None, None], self.halo_px)[0, 0]
        return shifted(soft, *(round(v) for v in self.shift_px.tolist()))

    @cached_property
    def hair(self) -> Tensor | None:
        """(H, W) hair of the head: the parsing's, or what above the face looks like it; None where there is none."""
        if self.parsing is not None:
            mask = self.classes("hair")
            return mask if float(mask.sum()) > _FEWEST else None
        return hair_by_colour(self.face, self.skin, self.maps, self.fit.mm_per_px)


def shifted(mask: Tensor, dx: int, dy: int) -> Tensor:
    """Return a mask (H, W) moved by whole pixels; what comes in from outside is 0."""
    height, width = mask.shape
    out = torch.zeros_like(mask)
    rows, columns = (slice(max(d, 0), n + min(d, 0)) for d, n in ((dy, height), (dx, width)))
    from_rows, from_columns = (slice(max(-d, 0), n + min(-d, 0)) for d, n in ((dy, height), (dx, width)))
    out[rows, columns] = mask[from_rows, from_columns]
    return out
