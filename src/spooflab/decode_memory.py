"""What Pillow takes of memory to decode a picture, judged by its header: how much depends on the format."""

from PIL import Image

_NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2, "LA": 4, "PA": 4}
"""Bytes that Pillow holds for a pixel; every other mode takes four."""


def decoding_bytes(image: Image.Image, file_bytes: int) -> int:
    """Return about how many bytes it takes to decode an opened picture, its own pixels included.

    A JPEG whose picture comes in several scans is held twice: as pixels, and as coefficients of two bytes. libwebp
    keeps two canvases of four bytes a pixel and the file beside what Pillow holds, twice.

    Args:
        image: opened, not loaded.
        file_bytes: length of the file.
    """
    pixels = image.width * image.height
    own = pixels * _NARROW.get(image.mode, 4)
    if image.format == "WEBP":
        return 4 * pixels * 4 + 2 * file_bytes
    if image.format in ("JPEG", "MPO") and image.info.get("progressive"):
        return own + 2 * round(pixels * _samples(image))
    if image.format == "BMP" and image.info.get("compression"):
        return own + 2 * pixels  # run lengths are undone in Python, into two copies
    return own


def _samples(image: Image.Image) -> float:
    """Return how many samples a JPEG has for a pixel: 3 for colour at full size, 1.5 at half."""
    layers = [(int(across), int(down)) for _, across, down, *_ in getattr(image, "layer", ())]
    if not layers:
        return 4.0
    widest = max(across for across, _ in layers) * max(down for _, down in layers)
    return sum(across * down for across, down in layers) / max(1, widest)
