"""A norm-bounded perturbation of the picture against a given detector (species `adversarial_pixel`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.errors import DataError
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.adversarial.attackable import attackable
from spooflab.generators.adversarial.detector import Detector
from spooflab.generators.adversarial.gradient_sign import Norm, pgd, random_sign
from spooflab.generators.adversarial.surrogate import load_surrogate
from spooflab.generators.attack import Changed
from spooflab.generators.face import Face
from spooflab.generators.instruments.ink_colour import srgb_decode, srgb_encode
from spooflab.params import Params, choice

_ITERATIONS = (1, 3, 6, 10)
_NORMS: tuple[Norm, ...] = ("linf", "l2")
_REGION = 1.25
_L2_STRENGTH = 1.6  # an L2 perturbation may be stronger where it matters: its root mean square over an L∞ one's eps


@dataclass(frozen=True)
class AdversarialPixelParams(Params):
    """One attack.

    Attributes:
        ablated: (B,) int64 bits of the effects that are off.
        detector: (B,) int64 `Detector.number` of the model that is attacked.
        eps: (B,) radius in code values of 0-1: the largest change (L∞), or the root mean square change over 1.6 (L2).
        norm: (B,) int64 0 L∞, 1 L2.
        iterations: (B,) int64 steps; 1 is FGSM.
        momentum: (B,) decay of the gradient's memory; 0 for PGD.
        whole: (B,) bool, the whole picture may change; else the face's box, enlarged by 1.25.
        random_start: (B,) bool.
        seed: (B,) int64 of the random start, and of the control without gradient.
    """

    ablated: Tensor
    detector: Tensor
    eps: Tensor
    norm: Tensor
    iterations: Tensor
    momentum: Tensor
    whole: Tensor
    random_start: Tensor
    seed: Tensor


class AdversarialPixel:
    """Raise a detector's bona fide score by changing the picture's code values within a norm ball.

    The picture is encoded as sRGB, attacked (`pgd`) and decoded to light again. The detector sees the whole picture.
    Whether the score rose is a fact of the record: a sample that failed to raise it is a sample like any other.

    Args:
        detector: attacked model; the shipped surrogate by default.
        ablate: effects to switch off: `gradient` leaves random signs of the same norm.

    Raises:
        ConfigError: an unknown effect.
    """

    species = "adversarial_pixel"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("gradient",)

    def __init__(self, detector: Detector | None = None, *, ablate: Sequence[str] = ()) -> None:
        self.detector = load_surrogate() if detector is None else detector
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    def sample(self, batch_size: int, generator: torch.Generator) -> AdversarialPixelParams:
        """Draw radius (1-10 code values of 255), norm, steps, momentum and region."""
        n, gen = batch_size, generator
        unit = torch.rand(n, 5, generator=gen)
        iterations = torch.tensor(_ITERATIONS)[choice(n, len(_ITERATIONS), gen)]
        return AdversarialPixelParams(
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
            detector=torch.full((n,), self.detector.number, dtype=torch.int64),
            eps=torch.exp(unit[:, 0] * 2.302585) / 255,
            norm=(unit[:, 1] < 0.3).to(torch.int64),
            iterations=iterations,
            momentum=torch.where((unit[:, 2] < 0.5) & (iterations > 1), 1.0, 0.0),
            whole=unit[:, 3] < 0.5,
            random_start=(unit[:, 4] < 0.5) & (iterations > 1),
            seed=torch.randint(0, 2**62, (n,), generator=gen),
        )

    def parse(self, record: dict[str, Any]) -> AdversarialPixelParams:
        """Rebuild parameters from a record's JSON."""
        return AdversarialPixelParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Attack each picture by itself; the donor is not looked at.

        Raises:
            DataError: the parameters were drawn for another detector.
        """
        assert isinstance(params, AdversarialPixelParams)
        same_detector(self.detector, params.detector, self.species)
        return Changed.stack([self._row(face.row(i), params.row(i)) for i in range(face.batch_size)])

    def _row(self, face: Face, params: AdversarialPixelParams) -> Changed:
        clean = srgb_encode(face.radiance.clamp(0, 1))
        region = _region(face, whole=bool(params.whole))
        norm = _NORMS[int(params.norm)]
        inside = float(region.sum()) * 3
        radius = float(params.eps) if norm == "linf" else float(params.eps) * _L2_STRENGTH * inside**0.5
        steps = int(params.iterations)
        step = radius if steps == 1 else radius / steps if float(params.momentum) else 2.5 * radius / steps
        if is_off(params.ablated, self.EFFECTS, "gradient"):
            perturbed = random_sign(clean, eps=radius, seeds=params.seed, norm=norm)
            perturbed = torch.where(region > 0, perturbed, clean)
        else:
            with attackable(self.detector.module):
                perturbed = pgd(
                    self.detector.score, clean, eps=radius, step=step, iters=steps, norm=norm,
                    momentum=float(params.momentum), seeds=params.seed if bool(params.random_start) else None,
                    region=region,
                )  # fmt: skip
        before, after = scores(self.detector, clean, perturbed)
        change = perturbed - clean
        touched = (change != 0).any(1, keepdim=True)
        light = face.radiance + srgb_decode(perturbed) - srgb_decode(clean)  # highlights over 1 keep their excess
        mask = touched.to(torch.float32)
        facts = {
            "score_before": before,
            "score_after": after,
            "linf": change.abs().amax((1, 2, 3)),
            "l2": change.square().sum((1, 2, 3)).sqrt(),
            "iterations": params.iterations.to(torch.float32),
        }
        changed = face.replace(
            radiance=torch.where(touched, light.clamp(min=0), face.radiance),
            spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
        )
        return Changed(changed, facts, ("",), (self.detector.model_id,))


def same_detector(detector: Detector, numbers: Tensor, species: str) -> None:
    """Refuse parameters that were drawn for another detector.

    Raises:
        DataError: one of `numbers` (B,) is not the detector's.
    """
    other = [n for n in numbers.tolist() if n != detector.number]
    if other:
        raise DataError(
            f"{species}: parameters drawn for detector {other[0]}, this one is {detector.number} ({detector.model_id})",
            wanted="the detector of the record",
            next_step=f"pass it: {species} takes detector=",
        )


def scores(detector: Detector, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (B,) bona fide scores of two batches of pictures, each by itself."""
    with attackable(detector.module), torch.no_grad():
        first, second = (
            torch.cat([detector.score(one.clone()) for one in torch.split(images.detach().clone(), 1)])
            for images in (before, after)
        )
    return first, second


def _region(face: Face, *, whole: bool) -> Tensor:
    """Return (1, 1, H, W) 1 where pixels may change."""
    height, width = face.size
    region = torch.zeros(1, 1, height, width)
    if whole:
        return region + 1
    x, y, w, h = face.box[0].tolist()
    grow_x, grow_y = (_REGION - 1) / 2 * w, (_REGION - 1) / 2 * h
    left, top = max(0, int(x - grow_x)), max(0, int(y - grow_y))
    region[..., top : max(top + 1, int(y + h + grow_y)), left : max(left + 1, int(x + w + grow_x))] = 1
    return region
