"""Pictures without faces: the renderer's places, noise, and photographs of things that two libraries bring along."""

from importlib.resources import files

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.tone import srgb_decode
from spooflab.generators.faces.procedural.background import background
from spooflab.params import log_uniform
from spooflab.seeds import generator

SIZE = 192
PLACES = 6
_SKIMAGE = ("brick.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png", "color.png",
            "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "logo.png", "moon.png",
            "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png")  # fmt: skip
_SKLEARN = ("china.jpg", "flower.jpg")


def read_textures(seed: int, rooms: int = 96, noises: int = 24) -> Tensor:
    """Return (T, 3, `SIZE`, `SIZE`) radiance of pictures that show no face."""
    made = [_room(seed, k) for k in range(rooms)] + [_noise(seed, k) for k in range(noises)]
    return torch.cat([*made, *_photographs()])


def _room(seed: int, index: int) -> Tensor:
    gen = generator(seed, "room", index)
    return background(index % PLACES, generator_seed(gen), 1.0, torch.ones(3), SIZE)[None]


def generator_seed(gen: torch.Generator) -> int:
    """Draw a seed."""
    return int(torch.randint(0, 1 << 62, (1,), generator=gen))


def _noise(seed: int, index: int) -> Tensor:
    """Return coloured noise whose power falls with frequency, as that of natural pictures does (Field 1987)."""
    gen = generator(seed, "noise", index)
    slope = float(log_uniform(1, 0.6, 2.2, gen))
    y, x = torch.meshgrid(torch.fft.fftfreq(SIZE), torch.fft.rfftfreq(SIZE), indexing="ij")
    fall = torch.hypot(x, y).clamp(min=1 / SIZE) ** -slope
    noise = torch.fft.irfft2(torch.fft.rfft2(torch.randn(3, SIZE, SIZE, generator=gen)) * fall, s=(SIZE, SIZE))
    mixed = torch.lerp(noise.mean(0, keepdim=True).expand_as(noise), noise, 0.5)
    flat = (mixed - mixed.mean()) / mixed.std()
    return (0.25 * torch.exp(0.7 * flat)).clamp(max=2)[None]


def _photographs() -> list[Tensor]:
    out = []
    for package, names in (("skimage.data", _SKIMAGE), ("sklearn.datasets.images", _SKLEARN)):
        for name in names:
            with (files(package) / name).open("rb") as file, Image.open(file) as picture:
                pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
            light = srgb_decode(torch.from_numpy(pixels).permute(2, 0, 1)[None])
            out.extend(_squares(light))
    return out


def _squares(light: Tensor) -> list[Tensor]:
    """Return the whole picture's middle square, and its four quarters, each at `SIZE`."""
    height, width = light.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    half = side // 2
    boxes = [(top, left, side), *((y, x, half) for y in (0, height - half) for x in (0, width - half))]
    return [
        F.interpolate(light[..., y : y + s, x : x + s], size=(SIZE, SIZE), mode="bilinear", antialias=True)
        for y, x, s in boxes
        if s >= SIZE // 2
    ]
