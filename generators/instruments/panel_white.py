"""Panels with a white emitter: what a driver makes of red, green and blue for four emitters.

The neutral part of a colour moves to the white emitter, W = min(R, G, B) in its simplest form (Lee et al., "TFT-LCD
with RGBW color system", SID 2003; Elliott et al., "Development of the PenTile Matrix color AMLCD subpixel
architecture", JSID 2003; for white OLEDs with colour filters: Arnold et al., "Full-color AMOLED with RGBW pixel
pattern", JSID 2005). White passes no filter, so neutral colours are brighter than the coloured emitters alone could
make them, and a saturated colour, which gets no help, falls behind white.
"""

import torch
from torch import Tensor


def full_drive(white_rgb: Tensor, share: Tensor) -> Tensor:
    """Return (B, 4): the light of each emitter in full white; (1, 1, 1, 0) without a white emitter."""
    return torch.cat([1 - share[:, None] * white_rgb, share[:, None]], 1)


def extract_white(light: Tensor, *, white_rgb: Tensor, share: Tensor, extraction: Tensor, brightness: Tensor) -> Tensor:
    """Return (B, 4, H, W) light of red, green, blue and white emitters that shows `light` (B, 3, H, W).

    All in units of the panel's white at the drawn brightness: coloured emitter light (1, 1, 1) is that white, white
    emitter light 1 has its luminance and the colour `white_rgb`. Colours within the panel's power are shown exactly;
    what exceeds it is clipped.

    Args:
        light: linear panel red, green and blue, 0-1.
        white_rgb: (B, 3) the white emitter's colour in panel red, green and blue, luminance 1.
        share: (B,) of full white's luminance that the white emitter can give; 0 for a panel without one.
        extraction: (B,) share of the neutral part that the driver moves.
        brightness: (B,) share of full luminance that the emitters themselves are dimmed to, which leaves them power to
            spare; 1 where a backlight is dimmed behind them.
    """
    b = brightness[:, None, None]
    wanted = light * b[:, None]
    neutral = (wanted / white_rgb[:, :, None, None]).amin(1)
    white = torch.minimum(neutral * extraction[:, None, None], share[:, None, None])
    power = full_drive(white_rgb, share)[:, :3, None, None]
    rest = wanted - white[:, None] * white_rgb[:, :, None, None]
    return torch.cat([torch.minimum(rest, power), white[:, None]], 1) / b[:, None]
