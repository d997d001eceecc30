"""The part of a backbone that is frozen: where it ends, what it gives, and how the rest runs on that alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from spooflab.adapters.at_rest import at_rest
from spooflab.errors import ConfigError

if TYPE_CHECKING:
    from spooflab.adapters.backbones import Backbone

_EMBEDDERS = ("embedder", "embeddings")
"""What transformers calls the layers before the first stage."""


class _Reached(Exception):
    """The end of the frozen part."""


def freeze_stages(backbone: Backbone, count: int) -> None:
    """Let everything up to the end of stage `count` (from 1) rest: no gradients, and computed as in use.

    What comes before the cut is not looked up but measured: what a gradient from the features does not reach, when the
    network starts from the map at the cut, is frozen. And that this start gives the same features is checked here.

    Raises:
        ConfigError: fewer stages, or an architecture that cannot be started in the middle.
    """
    if not 1 <= count <= len(backbone.stages):
        raise ConfigError(f"frozen_stages {count}", wanted=f"0…{len(backbone.stages)}, the backbone's stages")
    kind = type(backbone.model).__name__
    if embedder(backbone.model) is None:
        raise ConfigError(f"frozen_stages {count}: no embedding layer in {kind}", wanted=f"one of {_EMBEDDERS}")
    backbone.frozen_stages = count
    backbone.train(backbone.training)
    try:
        with at_rest(backbone):
            _check_start(backbone)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"frozen_stages {count}: {kind} does not start in the middle: {reason}",
            wanted="a network whose stages pass one tensor on; or tuning 'frozen', which needs no cut",
        ) from error


def _check_start(backbone: Backbone) -> None:
    gen = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, backbone.size, backbone.size, generator=gen).to(backbone.mean)
    with torch.enable_grad():
        with torch.no_grad():
            whole, maps = backbone(images), lower(backbone, images)
        features = upper(backbone, maps.requires_grad_())
        if not torch.allclose(features, whole, rtol=1e-3, atol=1e-4):
            raise ValueError("its features are not those of the whole network")
        parameters = [p for p in backbone.parameters() if p.requires_grad]
        reached: Any = torch.autograd.grad(features.sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, reached, strict=True):
        if gradient is None:
            parameter.requires_grad_(False)


def embedder(model: nn.Module) -> nn.Module | None:
    """Return the layers before the first stage, None where they are not known."""
    found = [getattr(model, name) for name in _EMBEDDERS if isinstance(getattr(model, name, None), nn.Module)]
    return found[0] if found else None


def resting(backbone: Backbone) -> list[nn.Module]:
    """Return the modules of the frozen part, where a number of stages is frozen."""
    before = embedder(backbone.model)
    return [before, *backbone.stages[: backbone.frozen_stages]] if backbone.frozen_stages and before else []


def has_frozen_part(backbone: Backbone) -> bool:
    """Whether some or all of it is frozen, so that what this gives can be kept."""
    return backbone.frozen or bool(backbone.frozen_stages)


def lower(backbone: Backbone, images: Tensor) -> Tensor:
    """Return what the frozen part makes of images (B, 3, H, W).

    The output of the last frozen stage, (B, C, h, w) or (B, N, C), as it is before any `after_stages` changes it; the
    features (B, dim) where all is frozen.
    """
    if backbone.frozen:
        return backbone(images)  # type: ignore[no-any-return]
    caught: list[Tensor] = []

    def stop(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise TypeError(f"a stage returns a {type(output).__name__}, not one tensor")
        caught.append(output)
        raise _Reached

    handle = backbone.stages[backbone.frozen_stages - 1].register_forward_hook(stop, prepend=True)
    try:
        backbone(images)
    except _Reached:
        return caught[0]
    finally:
        handle.remove()
    raise ValueError("the network never calls its own stages")


def upper(backbone: Backbone, maps: Tensor) -> Tensor:
    """Return the features (B, dim) that the rest of the network makes of the frozen part's output.

    The embedding layers and all frozen stages are, for this call, functions that return `maps`: the architecture's own
    `forward` does the rest, whatever it does between and after the stages.
    """
    if backbone.frozen:
        return maps
    blank = backbone.mean.new_zeros(1).expand(len(maps), 3, backbone.size, backbone.size)
    with ExitStack() as stack:
        for module in resting(backbone):
            stack.enter_context(_returning(module, maps))
        return backbone.pooled(blank)


@contextmanager
def _returning(module: Any, maps: Tensor) -> Iterator[None]:
    # An attribute of the instance goes before the method of its class; hooks of the module still run.
    module.forward = lambda *_args, **_named: maps
    try:
        yield
    finally:
        del module.forward


@contextmanager
def fed_with_maps(model: nn.Module) -> Iterator[None]:
    """While open, every backbone in `model` takes the frozen part's output where it took images."""
    from spooflab.adapters.backbones import Backbone

    backbones = [module for module in model.modules() if isinstance(module, Backbone)]
    before = [backbone.takes_maps for backbone in backbones]
    for backbone in backbones:
        backbone.takes_maps = True
    try:
        yield
    finally:
        for backbone, was in zip(backbones, before, strict=True):
            backbone.takes_maps = was


def frozen_digest(backbone: Backbone) -> str:
    """Return the SHA-256 of all that the frozen part's output is a function of, images apart."""
    from spooflab.adapters.backbones import describe_backbone

    facts = {
        "backbone": describe_backbone(backbone),
        "size": backbone.size,
        "stages": None if backbone.frozen else backbone.frozen_stages,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for number, module in enumerate([backbone.model] if backbone.frozen else _before_cut(backbone)):
        for name, tensor in module.state_dict().items():
            digest.update(f"{number}/{name}/{tensor.dtype}/{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _before_cut(backbone: Backbone) -> list[nn.Module]:
    """Return the modules of the frozen part and, with them, every other that only frozen weights are in."""
    held = {id(p) for module in resting(backbone) for p in module.parameters()}
    others = [
        module
        for _, module in backbone.model.named_children()
        if any(True for _ in module.parameters())
        and all(not p.requires_grad and id(p) not in held for p in module.parameters())
    ]
    return [*resting(backbone), *others]
