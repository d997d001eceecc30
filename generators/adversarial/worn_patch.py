"""Optimise the pattern of a printed, worn patch against a detector: expectation over transformation, print in the loop.

Sources: Brown et al. 2017, "Adversarial patch"; Athalye et al. 2018, "Synthesizing robust adversarial examples" (EOT);
Sharif et al. 2016, "Accessorize to a crime" (printability). Instead of a penalty on unprintable colours, each forward
pass prints the pattern with the printer's own model; the gradient passes straight through to the pattern's codes
(Bengio et al. 2013), so that colours beyond the gamut gain nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.adversarial.attackable import Score
from spooflab.seeds import generator as seeded

Printer = Callable[[Tensor], Tensor]
"""Maps a pattern's sRGB codes (3, h, w) to reflectance (3, h, w)."""
_DARK = 0.0031308


@dataclass(frozen=True)
class WornScene:
    """What a camera sees but for the pattern: radiance = fixed + gain · reflectance at (u, v); one row.

    Attributes:
        fixed: (3, H, W) radiance of everything else, the patch's gloss included.
        gain: (3, H, W) light on the patch times its cover.
        grid: (H, W, 2) where each pixel looks on the pattern, −1…1 over its width and height.
    """

    fixed: Tensor
    gain: Tensor
    grid: Tensor

    def at(self, size: tuple[int, int]) -> "WornScene":
        """Return the scene as a picture of another size sees it; places are averaged where the patch is seen."""
        weight = self.gain.mean(0, keepdim=True)
        places = self.grid.permute(2, 0, 1) * weight
        stack = torch.cat([self.fixed, self.gain, places, weight])[None]
        small = F.interpolate(stack, size, mode="bilinear", antialias=True, align_corners=False)[0]
        grid = small[6:8] / small[8:9].clamp(min=1e-5)
        return WornScene(small[:3], small[3:6], grid.permute(1, 2, 0))

    def picture(self, reflectance: Tensor) -> Tensor:
        """Return (3, H, W) radiance with a pattern of this reflectance (3, h, w)."""
        seen = F.grid_sample(
            reflectance[None], self.grid[None], mode="bilinear", padding_mode="border", align_corners=False
        )
        return self.fixed + self.gain * seen[0]


@dataclass(frozen=True)
class Transforms:
    """What the attacker expects between the patch and the detector.

    Attributes:
        shift: largest displacement, share of the picture.
        scale: largest relative change of size.
        light: largest relative change of brightness.
        noise: standard deviation of noise on the codes.
    """

    shift: float
    scale: float
    light: float
    noise: float


def optimise_pattern(
    score: Score,
    scene: WornScene,
    printer: Printer,
    start: Tensor,
    *,
    iters: int,
    step: float,
    momentum: float,
    expected: Transforms,
    seed: int,
) -> Tensor:
    """Return the pattern's codes (3, h, w) in [0, 1] after sign ascent on the score, one fresh transformation a step.

    Args:
        score: maps pictures (1, 3, H, W) of sRGB codes to (1,). Call under `attackable`.
        scene: at the size at which the detector looks.
        printer: what becomes of the codes on paper.
        start: (3, h, w) codes.
        iters: number of steps.
        step: change of a code at each.
        momentum: decay of the gradient's memory (MI-FGSM).
        expected: transformations.
        seed: names them.
    """
    with torch.inference_mode(False), torch.enable_grad():
        scene = WornScene(scene.fixed.clone(), scene.gain.clone(), scene.grid.clone())
        pattern, memory = start.detach().clone(), torch.zeros_like(start)
        gen = seeded(seed, "transforms")
        for _ in range(iters):
            leaf = pattern.requires_grad_()
            with torch.no_grad():
                real = printer(leaf).clone()
            passed = real + (decoded(leaf) - decoded(leaf).detach())  # printed forwards, the codes' own backwards
            codes = encoded(transformed(scene.picture(passed), expected, gen))
            noisy = codes + expected.noise * torch.randn(codes.shape, generator=gen)
            (gradient,) = torch.autograd.grad(score(noisy[None]).sum(), leaf)
            memory = momentum * memory + gradient / gradient.abs().sum().clamp(min=1e-12)
            pattern = (pattern.detach() + step * memory.sign()).clamp(0, 1)
        return pattern


def transformed(light: Tensor, expected: Transforms, gen: torch.Generator) -> Tensor:
    """Return a picture (3, H, W) moved, scaled and lit differently; four draws."""
    dx, dy, size, gain = (2 * torch.rand(4, generator=gen) - 1).tolist()
    zoom = 1 + expected.scale * size
    theta = light.new_tensor([[zoom, 0, 2 * expected.shift * dx], [0, zoom, 2 * expected.shift * dy]])
    grid = F.affine_grid(theta[None], [1, *light.shape], align_corners=False)
    moved: Tensor = F.grid_sample(light[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    return moved * float(1 + expected.light * gain)


def encoded(light: Tensor) -> Tensor:
    """Return sRGB codes of linear light, cut to [0, 1]; differentiable everywhere."""
    held = light.clamp(0, 1)
    return torch.where(held <= _DARK, 12.92 * held, 1.055 * held.clamp(min=_DARK) ** (1 / 2.4) - 0.055)


def decoded(codes: Tensor) -> Tensor:
    """Return the linear light of sRGB codes; differentiable everywhere."""
    return torch.where(codes <= 0.04045, codes / 12.92, ((codes.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
