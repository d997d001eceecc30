"""The genuine presentation: the live face through the same lens and sensor as every attack."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spooflab.augment.lens import resample, window_rays
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
        rays, zoom = window_rays(view)
        seen = resample(_lit(face, params.gain), rays)
        through = view.blur(seen[:, :3])
        mask = torch.zeros_like(through[:, :1]) if face.spoof_mask is None else seen[:, 3:]
        if face.depth_mm is None:
            depth = torch.full_like(through[:, :1], torch.inf)
        else:
            depth = resample(face.depth_mm, rays, mode="nearest")
        box = torch.stack([face.box[:, :2], face.box[:, :2] + face.box[:, 2:]], 1)
        points = _seen(torch.cat([face.landmarks, box], 1), face, view, zoom)
        landmarks, corners = points[:, :-2], points[:, -2:]
        return Rendered(
            irradiance=through,
            mask=mask,
            depth_mm=depth,
            landmarks=landmarks,
            box=torch.cat([corners[:, 0], corners[:, 1] - corners[:, 0]], -1),
            facts={"face_px": corners[:, 1, 0] - corners[:, 0, 0], "zoom": zoom},
            instrument_id=("",) * face.batch_size,
        )


def _lit(face: Face, gain: Tensor) -> Tensor:
    """Return (B, 3 or 4, H, W): the radiance under the scene's gain, then the mask where there is one.

    Planes that are resampled together share the arithmetic of the grid.
    """
    light, gain = face.radiance, gain[:, None, None, None]
    if face.spoof_mask is None:
        return light * gain
    planes = light.new_empty(len(light), 4, *face.size)
    torch.mul(light, gain, out=planes[:, :3])
    planes[:, 3:] = face.spoof_mask
    return planes


def _seen(points: Tensor, face: Face, view: View, zoom: Tensor) -> Tensor:
    """Map the face image's pixels (B, N, 2) to sensor pixels."""
    window = torch.tensor([view.width, view.height], device=points.device)
    image = torch.tensor([face.size[1], face.size[0]], device=points.device)
    return view.distort(((points / image - 0.5) * zoom[:, None, None] + 0.5) * window)
