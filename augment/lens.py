"""A photograph seen through a lens: resampled at the rays of the view, then blurred."""

from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View


def through_lens(photo: Tensor, view: View) -> Tensor:
    """Return what the sensor receives of linear (B, C, H, W) that fills the view's window.

    A lens that sees past the photograph's border (barrel distortion) is moved closer until the photograph fills the
    frame: a border of repeated pixels would tell the device. Right for pictures whose detail is no finer than the
    window's pixels; finer structure must be rendered through the view's transfer function instead.
    """
    half = photo.new_tensor([view.width / 2, view.height / 2])
    offset = (view.ideal_grid() - half) / (half - 0.5)  # 1 is the centre of the photograph's outermost pixel
    reach = offset.abs().flatten(1).amax(1).clamp(min=1)[:, None, None, None]
    norm = offset / reach * (1 - 0.5 / half)
    return view.blur(F.grid_sample(photo, norm, mode="bilinear", padding_mode="border", align_corners=False))
