"""A picture that fills the sensor's window, seen through a lens: resampled at the rays of the view, then blurred."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View


def window_rays(view: View) -> tuple[Tensor, Tensor]:
    """Return rays (B, H, W, 2) in `grid_sample`'s unit, all within [-1, 1], and the zoom (B,) >= 1 that it took.

    A barrel lens sees past the window's edge, where a picture that fills the window has no light to give. The picture
    is enlarged just so far that every ray meets it: a smeared border would tell which pictures came this way.
    """
    rays = view.ideal_grid()
    # An inner loop over x and y is slow: take whole rows.
    rows = rays.flatten(2)
    rows.mul_((2 / torch.tensor([view.width, view.height], device=rows.device)).repeat(view.width)).sub_(1)
    zoom = rays.abs().amax(dim=(1, 2, 3)).clamp(min=1.0)
    return rays.div_(zoom[:, None, None, None]), zoom


def resample(image: Tensor, rays: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Sample (B, C, H, W), taken to fill the window, at `window_rays`; edges replicate."""
    return F.grid_sample(image, rays, mode=mode, padding_mode="border", align_corners=False)


def through_lens(photo: Tensor, view: View) -> Tensor:
    """Return what the sensor receives of linear (B, C, H, W) that fills the view's window.

    Right for pictures whose detail is no finer than the window's pixels; finer structure must be rendered through the
    view's transfer function instead.
    """
    with torch.autocast(photo.device.type, enabled=False):
        rays, _ = window_rays(view)
        return view.blur(resample(photo, rays))
