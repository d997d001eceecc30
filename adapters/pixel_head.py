"""Pixel-wise supervision of any algorithm: a head on the backbone's spatial map that learns masks and relief."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from spooflab.adapters.at_rest import at_rest
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import wide
from spooflab.config import Config
from spooflab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spooflab.adapters.algorithm import Algorithm


class PixelConfig(Config):
    """Which maps are learnt beside the class, and how much they count. Weights of 0 leave the network as it is."""

    mask_weight: float = Field(default=0.0, ge=0, description="of the cross-entropy of live against attack per place")
    mask_target: Literal["mask", "uniform"] = Field(
        default="mask", description="an attack's places: attack where the mask is, or all of them"
    )
    depth_weight: float = Field(default=0.0, ge=0, description="of the squared error of relief, in units of 50 mm")
    depth_target: Literal["truth", "flat"] = Field(
        default="truth", description="an attack's relief: what is really there, or none"
    )
    stage: int = Field(default=-1, description="the backbone's stage whose map is used; negative counts from the last")
    score: Literal["class", "map", "mean"] = Field(
        default="class", description="what decides in use: the class head, the mean of the mask's map, or both halves"
    )

    @model_validator(mode="after")
    def _scored(self) -> PixelConfig:
        if self.score != "class" and not self.mask_weight:
            raise ValueError(f"score {self.score!r} with mask_weight 0; wanted a map that is learnt, or score 'class'")
        return self

    @property
    def on(self) -> bool:
        """Whether anything is learnt."""
        return self.mask_weight > 0 or self.depth_weight > 0

    @property
    def needs_maps(self) -> bool:
        """Whether the training images must come with their maps; labels are enough for `uniform`."""
        return self.depth_weight > 0 or (self.mask_weight > 0 and self.mask_target == "mask")


class PixelHead(nn.Module):
    """A 1x1 convolution on the last spatial map, whose losses are added to those of the algorithm.

    - `mask`: binary cross-entropy of each place being live (PixBiS, George and Marcel 2019). As in the paper
      (`uniform`), all places of an attack are attack. By default an attack is attack where its mask is and live
      elsewhere, by the share of the place's area that is covered: a wig is no forehead, and a room is no print.
    - `depth`: squared error of the face's relief (after Liu, Jourabloo and Liu 2018, who learn depth): how far a place
      stands out of the face's plane, in units of 50 mm (`face_relief`), inside the face's box alone. As in the paper
      (`flat`), attacks have none. By default they have what is there: a print is flat, a rigid mask is not.

    Where a mask or a depth is unknown a place is left out. A picture's loss is the mean over its places by known area,
    and a batch's the mean over pictures that have any. The sum ½ map + ½ class of PixBiS is half of `mask_weight` 1.

    The map is the stage's output in the algorithm's own pass of `batch.images` (before any change that the algorithm
    itself makes after that stage), also where target images are in the same pass. An algorithm that never passes
    them as they are (mixup, Fourier mix, MLDG) costs one more pass, whose images batch norm sees as well. Transformers'
    patch tokens are their map.

    Args:
        config: weights and targets.
        backbone: whose stage is used.
        size: side of its images in pixels.

    Raises:
        ConfigError: no such stage, or one whose output is neither a map nor patch tokens.
    """

    def __init__(self, config: PixelConfig, backbone: Backbone, size: int) -> None:
        super().__init__()
        self.config = config
        count = len(backbone.stages)
        if not -count <= config.stage < count:
            raise ConfigError(
                f"pixel: stage {config.stage} of a backbone with {count} known stages",
                wanted="a backbone with stages or blocks" if not count else f"-{count}…{count - 1}",
            )
        self.stage = config.stage % count
        patch = getattr(getattr(getattr(backbone, "model", None), "config", None), "patch_size", None)
        self.patches = size // patch if isinstance(patch, int) else 0
        weights = {"mask": config.mask_weight, "depth": config.depth_weight}
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.outputs = nn.Conv2d(self._channels(backbone, size), len(self.weights), 1)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return each learnt map (B, h, w), float32 or better, from a stage's output."""
        maps: Tensor = self.outputs(spatial_map(features, self.patches))
        return dict(zip(self.weights, wide(maps).unbind(1), strict=True))

    @contextmanager
    def watching(self, backbone: Backbone, wanted: Callable[[Tensor], bool]) -> Iterator[list[Tensor]]:
        """While open, the first pass whose images are `wanted` leaves its stage's output in the list."""
        seen: list[Tensor] = []
        armed: list[bool] = []

        def arm(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            armed[:] = [True] if not seen and wanted(inputs[0]) else []

        def note(features: Tensor) -> Tensor:
            if armed:
                armed.clear()
                seen.append(features)
            return features

        handle = backbone.register_forward_pre_hook(arm)
        try:
            with backbone.after_stages({self.stage: note}):
                yield seen
        finally:
            handle.remove()

    def added(self, model: Algorithm, batch: Batch) -> dict[str, Tensor]:
        """Run `model.update` and add the weighted pixel losses to what it learns labels by; name them in the log."""
        with self.watching(model.backbone, lambda images: _begins_with(images, batch)) as seen:
            losses = model.update(batch)
        # Data parallelism wants a gradient, if only 0, for every parameter in every pass.
        nothing = 0.0 * torch.stack([p.sum() for p in self.parameters()]).sum()
        losses = {name: value + nothing if value.requires_grad else value for name, value in losses.items()}
        if not model.learns_labels:
            return losses
        if not seen:
            with self.watching(model.backbone, lambda _images: True) as seen:
                model.backbone(batch.images)
        parts = self.losses(seen[0][: len(batch)], batch)
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        named = {f"pixel_{name}": part.detach() for name, part in parts.items()}
        return {**losses, model.labels_in: losses[model.labels_in] + total, **named}

    def losses(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the unweighted losses, scalars, of a stage's output for the labelled images of `batch`.

        Raises:
            DataError: the batch has no maps, and they are needed.
        """
        if batch.maps is None and self.config.needs_maps:
            raise DataError("pixel losses of images without maps", wanted="`ImageSet.load(..., maps=True)`")
        losses = {}
        for name, learnt in self(features).items():
            target, known = self._target(name, batch, learnt)
            wrong = F.mse_loss(learnt, target, reduction="none") if name == "depth" else _bce(learnt, target)
            losses[name] = known_mean(wrong, known)
        return losses

    def log_odds(self, features: Tensor, class_odds: Tensor) -> Tensor:
        """Return the log-odds (B,) of the likelihood that `score` names, from a stage's output and the class head's.

        `map` is the mean over the mask's places, `mean` that and the class head's likelihood, half each.
        """
        places = self(features)["mask"].flatten(1).to(class_odds)
        live, attack = (F.logsigmoid(sign * places).logsumexp(1) - math.log(places.shape[1]) for sign in (1, -1))
        if self.config.score == "mean":
            live = torch.logaddexp(live, F.logsigmoid(class_odds))
            attack = torch.logaddexp(attack, F.logsigmoid(-class_odds))
        return live - attack

    def _target(self, name: str, batch: Batch, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each place (B, h, w) should be, and the share of it that this is known of."""
        live = batch.label[:, None, None].to(like).expand_as(like)
        if name == "mask" and self.config.mask_target == "uniform":
            return live, torch.ones_like(like)
        assert batch.maps is not None  # `losses` has asked
        shares = F.adaptive_avg_pool2d(batch.maps.to(like), (like.shape[1], like.shape[2]))
        covered, mask_known, relief, relief_known, face = shares.unbind(1)
        if name == "mask":
            return 1 - _ratio(covered, mask_known), mask_known
        if self.config.depth_target == "flat":
            relief, relief_known = live * relief, torch.where(live > 0, relief_known, face)
        return _ratio(relief, relief_known), relief_known

    @torch.no_grad()
    def _channels(self, backbone: Backbone, size: int) -> int:
        like = next(iter(backbone.parameters()))
        with at_rest(backbone), self.watching(backbone, lambda _images: True) as seen:
            backbone(torch.zeros(1, 3, size, size, dtype=like.dtype, device=like.device))
        return int(spatial_map(seen[0], self.patches).shape[1])


def spatial_map(features: Tensor, patches: int) -> Tensor:
    """Return a stage's output as a map (B, C, h, w).

    Args:
        features: (B, C, h, w), or (B, N, C) tokens: those of the patches, row by row, after any others.
        patches: along a side of the image, as the first layer cuts it; 0 where that is not known.

    Raises:
        ConfigError: tokens that are no square.
    """
    if features.ndim == 4:
        return features
    count = features.shape[1] if features.ndim == 3 else 0
    # Layers that merge patches have fewer tokens than the image was cut into.
    side = patches if patches and count >= patches**2 else math.isqrt(count)
    if not side or (side != patches and side * side != count):
        raise ConfigError(f"pixel: a stage gives {tuple(features.shape)}", wanted="a map (B, C, h, w) or patch tokens")
    patch_tokens = features[:, count - side * side :]
    return patch_tokens.transpose(1, 2).reshape(features.shape[0], -1, side, side)


def known_mean(values: Tensor, known: Tensor) -> Tensor:
    """Return the mean over pictures of the mean of `values` (B, h, w) weighted by `known`; 0 where nothing is known."""
    area = known.sum((1, 2))
    means = _ratio((values * known).sum((1, 2)), area)
    return means.sum() / (area > 0).sum().clamp(min=1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp(min=1e-6), 0.0)


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target.clamp(0, 1), reduction="none")


def _begins_with(images: Tensor, batch: Batch) -> bool:
    """Whether the labelled images of the batch, as they are, come first among `images`."""
    if images is batch.images:
        return True
    count = len(batch)
    return len(images) >= count and torch.equal(images[:count], batch.images)
