"""Outlines of spectacle fronts, in millimetres on the sheet, with the eyes' line near v = 0."""

from torch import Tensor

from spooflab.generators.attacks.partials.outline import Outline, box, ellipse, join, without


def front_outline(cut: str, size_mm: tuple[float, float], eyes_mm: Tensor, notch_mm: float) -> Outline:
    """Return the outline of a front.

    Args:
        cut: `cinema`, `strip`, `wayfarer`, `goggles` or `domino`.
        size_mm: width and height.
        eyes_mm: (2, 2) where the eyes are behind it, the image's left one first.
        notch_mm: half width of the notch for the nose.
    """
    half_w, half_h = size_mm[0] / 2, size_mm[1] / 2
    middle = (float(eyes_mm[:, 0].mean()), float(eyes_mm[:, 1].mean()) - 1.0)
    notch = ellipse((middle[0], middle[1] + half_h * 1.05), (notch_mm, half_h * 1.1), 2.4)
    if cut == "strip":
        return box(middle, (half_w, half_h), 1.0)
    if cut == "cinema":
        return without(box(middle, (half_w, half_h), 5.0), notch)
    if cut == "goggles":
        return without(box(middle, (half_w, half_h), 0.55 * half_h), notch)
    if cut == "domino":
        dip = ellipse((middle[0], middle[1] - half_h * 1.25), (0.35 * half_w, 0.55 * half_h))
        return without(ellipse(middle, (half_w, half_h), 2.7), notch, dip)
    inner = 0.75 * notch_mm  # where a lens begins, beside the bridge
    reach = (half_w - inner) / 2
    lens = [
        ellipse((middle[0] + side * (inner + reach), middle[1] + 2.0), (reach, half_h), 3.2) for side in (-1.0, 1.0)
    ]
    bridge = box((middle[0], middle[1] - 0.35 * half_h), (inner + 5.0, 0.2 * half_h), 2.0)
    return without(join(*lens, bridge), ellipse((middle[0], middle[1] + half_h), (0.9 * notch_mm, half_h * 1.1), 2.4))
