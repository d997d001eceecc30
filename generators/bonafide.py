"""The genuine presentation: the live face through the same lens and sensor as every attack."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.generators.attack import Rendered
from spooflab.generators.face import Face
from spooflab.params import Params


@dataclass(frozen=True)
class BonafideParams(Params):
    """Little is drawn beyond the face and the device.

    Attributes:
        gain: (B,) illumination of the scene relative to the source's exposure.
    """

    gain: Tensor


class Bonafide:
    """A live person before the camera (species `bonafide`)."""

    species = "bonafide"
    needs_donor = False

    def sample(self, batch_size: int, generator: torch.Generator) -> BonafideParams:
        """Draw the scene's gain."""
        return BonafideParams(gain=0.85 + 0.3 * torch.rand(batch_size, generator=generator))

    def parse(self, record: dict[str, Any]) -> BonafideParams:
        """Rebuild parameters from a record's JSON."""
        return BonafideParams.from_json(record)

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Image the face's radiance, which fills the sensor window, through the lens."""
        assert isinstance(params, BonafideParams)
        rays = window_rays(view)
        through = view.blur(resample(face.radiance, rays)).mul_(params.gain[:, None, None, None])
        zeros = torch.zeros_like(through[:, :1])
        mask = zeros if face.spoof_mask is None else resample(face.spoof_mask, rays)
        depth = zeros + torch.inf if face.depth_mm is None else resample(face.depth_mm, rays, mode="nearest")
        scale = torch.tensor([view.width / face.size[1], view.height / face.size[0]])
        corners = torch.stack([face.box[:, :2], face.box[:, :2] + face.box[:, 2:]], 1) * scale
        corners = view.distort(corners)
        return Rendered(
            irradiance=through,
            mask=mask,
            depth_mm=depth,
            landmarks=view.distort(face.landmarks * scale),
            box=torch.cat([corners[:, 0], corners[:, 1] - corners[:, 0]], -1),
            facts={"face_px": corners[:, 1, 0] - corners[:, 0, 0]},
            instrument_id=("",) * face.batch_size,
        )


def window_rays(view: View) -> Tensor:
    """Return (B, H, W, 2): the view's rays in the unit of `grid_sample`, where [-1, 1] spans the window."""
    rays = view.ideal_grid()
    for axis, extent in enumerate((view.width, view.height)):  # one by one: an inner loop of two is slow
        rays[..., axis].mul_(2 / extent).sub_(1)
    return rays


def resample(image: Tensor, rays: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Sample (B, C, H, W), taken to fill the window, at `window_rays`; edges replicate."""
    return F.grid_sample(image, rays, mode=mode, padding_mode="border", align_corners=False)
