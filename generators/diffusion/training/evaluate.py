"""How good a model is at what its attacks want of it, measured on rendered people that it never saw."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.errors import DataError, SkipSample
from spooflab.generators.attacks.digital.swap_diffusion import SwapDiffusion
from spooflab.generators.attacks.masks.mask_controlnet import MARGIN, MaskControlNet
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.face_frame import crop
from spooflab.generators.diffusion.identity import IdentityEncoder
from spooflab.generators.diffusion.identity_net import IDENTITY_JUDGE, NetIdentity
from spooflab.generators.diffusion.mask_frame import mask_frame
from spooflab.generators.diffusion.materials import MATERIALS, MaskGeometry
from spooflab.generators.diffusion.model_source import locate
from spooflab.generators.diffusion.studio import encoded, model_source, open_studio
from spooflab.generators.diffusion.training.material import load_material
from spooflab.generators.face import Face
from spooflab.generators.face_net.find import find_face
from spooflab.generators.face_net.predict import FaceNet
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.seeds import generator

HELD_OUT = 90_210
"""Root of people that are measured on; training has another."""


@dataclass(frozen=True)
class Figures:
    """What was measured; shares in [0, 1].

    Attributes:
        swaps: face swaps made.
        found: share of them in which the landmark network finds a face.
        landmark_error: mean distance of the 68 points that it finds to the target's, in distances of the eyes.
        landmark_error_untouched: the same for the targets before the swap: what the network itself is off by.
        nearer_to_source: share whose embedding is nearer to another picture of the source than to one of the target, by
            the encoder that told whom to show; faces are cut out by the landmarks that the network finds.
        nearer_without_identity: the same where nobody's identity was told.
        nearer_untouched: the same for the targets before the swap: the encoder's own errors.
        judged_nearer: as `nearer_to_source`, by a second encoder that no painter learnt from.
        judged_without_identity, judged_untouched: likewise.
        changed_outside: largest change of an 8-bit code where the mask is 0.
        masks: painted masks.
        named: share of them that the judge of materials names as prompted.
        named_rendered: the same for the rendered masks of the same faces: the judge's own errors.
        named_of: share named, by material.
    """

    swaps: int
    found: float
    landmark_error: float
    landmark_error_untouched: float
    nearer_to_source: float
    nearer_without_identity: float
    nearer_untouched: float
    judged_nearer: float
    judged_without_identity: float
    judged_untouched: float
    changed_outside: int
    masks: int
    named: float
    named_rendered: float
    named_of: dict[str, float]

    def as_json(self) -> dict[str, object]:
        """Return the figures, rounded."""
        return {
            key: {k: round(v, 4) for k, v in value.items()} if isinstance(value, dict) else round(value, 4)
            for key, value in asdict(self).items()
        }


def own_settings(model: str) -> DiffusionConfig:
    """Return the settings of a model that training wrote, or of `embedded`: painted at the size that it learned.

    Raises:
        DataError: the folder is none of a model.
    """
    config = DiffusionConfig(model=model)
    path = locate(model_source(config)) / "vae" / "config.json"
    try:
        size = json.loads(path.read_text(encoding="utf-8"))["sample_size"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no size: {error}", wanted="a folder that diffusion training wrote") from error
    return config.model_copy(update={"size": size})


def evaluate(config: DiffusionConfig, *, people: int, size: int = 256, seed: int = HELD_OUT) -> Figures:
    """Swap faces of held-out people in a ring, and put a mask of each material on every one of them in turn.

    Args:
        config: models and sampling.
        people: two or more.
        size: side of the rendered faces in pixels.
        seed: root of the people and of all draws.
    """
    source = ProceduralFaces(n_subjects=people, sessions=2, size=size, seed=seed)
    loaded = [source.load(ref) for ref in source.refs()]
    given, others = loaded[::2], loaded[1::2]
    figures: dict[str, Any] = {**_swaps(config, given, others, seed), **_masks(config, given, seed)}
    return Figures(**figures)


def _swaps(config: DiffusionConfig, given: list[Face], others: list[Face], seed: int) -> dict[str, float]:
    studio, net = open_studio(config), FaceNet.load()
    judge = NetIdentity.load(locate(model_source(config)) / IDENTITY_JUDGE, name=IDENTITY_JUDGE)
    encoders: tuple[IdentityEncoder, ...] = (studio.identity, judge)
    likeness = [_embedded(encoders, face, _found(net, face)) for face in others]
    error, untouched, outside = list[float](), list[float](), 0
    nearer: dict[str, list[list[bool]]] = {"swap": [], "nobody": [], "untouched": []}
    for k, target in enumerate(given):
        j = (k + 1) % len(given)
        made = {"untouched": target}
        for name, off in (("swap", ()), ("nobody", ("identity",))):
            attack = SwapDiffusion(diffusion=config, ablate=off)
            made[name] = attack.apply(target, given[j], attack.sample(1, generator(seed, "swap", k))).face
        found = {name: _found(net, face) for name, face in made.items()}
        error += _landmark_error(found["swap"], target)
        untouched += _landmark_error(found["untouched"], target)
        for name, face in made.items():
            who = _embedded(encoders, face, found[name])
            nearer[name].append(
                [bool((w @ s.T) > (w @ t.T)) for w, s, t in zip(who, likeness[j], likeness[k], strict=True)]
            )
        swapped = made["swap"]
        assert swapped.spoof_mask is not None
        moved = np.abs(_codes(swapped).astype(int) - _codes(target).astype(int))
        outside = max(outside, int(moved[swapped.spoof_mask[0, 0].numpy() == 0].max(initial=0)))
    shares = {name: np.mean(rows, axis=0).tolist() for name, rows in nearer.items()}
    return {
        "swaps": len(given),
        "found": len(error) / len(given),
        "landmark_error": float(np.mean(error)) if error else float("nan"),
        "landmark_error_untouched": float(np.mean(untouched)),
        "nearer_to_source": shares["swap"][0],
        "nearer_without_identity": shares["nobody"][0],
        "nearer_untouched": shares["untouched"][0],
        "judged_nearer": shares["swap"][1],
        "judged_without_identity": shares["nobody"][1],
        "judged_untouched": shares["untouched"][1],
        "changed_outside": outside,
    }


def _masks(config: DiffusionConfig, given: list[Face], seed: int) -> dict[str, object]:
    judge, _ = load_material(locate(model_source(config)))
    names, hits, rendered = list(MATERIALS), {name: list[bool]() for name in MATERIALS}, []
    for k, face in enumerate(given):
        name, donor = names[k % len(names)], given[(k + 1) % len(given)]
        attack = MaskControlNet(instruments=(f"generated_{name}",), diffusion=config)
        params = attack.sample(1, generator(seed, "mask", k))
        try:
            made = attack.apply(face, donor, params).face
        except SkipSample:
            continue
        geometry = MaskGeometry(name)
        drawn = geometry.sample(generator(int(params.mask_seed[0]), "mask"))
        worn = geometry.worn(face, donor if geometry.needs_donor else None, drawn).face
        hits[name].append(_named(judge, made, worn, config.size) == name)
        rendered.append(_named(judge, worn, worn, config.size) == name)
    every = [hit for found in hits.values() for hit in found]
    return {
        "masks": len(every),
        "named": float(np.mean(every)),
        "named_rendered": float(np.mean(rendered)),
        "named_of": {name: float(np.mean(found)) for name, found in hits.items() if found},
    }


def _named(judge: torch.nn.Module, shown: Face, worn: Face, size: int) -> str:
    picture = crop(encoded(shown), mask_frame(worn, MARGIN), size)
    with torch.inference_mode():
        return list(MATERIALS)[int(judge(picture).argmax())]


def _found(net: FaceNet, shown: Face) -> Tensor | None:
    """Return the landmarks (1, 68, 2) that the network finds, or None."""
    try:
        return find_face(net, _codes(shown)).reading.points[None]
    except SkipSample:
        return None


def _embedded(encoders: Sequence[IdentityEncoder], shown: Face, found: Tensor | None) -> list[Tensor]:
    points = shown.landmarks if found is None else found
    return [encoder.embed(encoded(shown), points) for encoder in encoders]


def _landmark_error(found: Tensor | None, true: Face) -> list[float]:
    """Return the mean distance in distances of the eyes; nothing where nothing was found."""
    if found is None:
        return []
    wanted = true.landmarks[0]
    eyes = (wanted[36:42].mean(0) - wanted[42:48].mean(0)).norm()
    return [float((found[0] - wanted).norm(dim=-1).mean() / eyes)]


def _codes(face: Face) -> NDArray[np.uint8]:
    return np.asarray((encoded(face)[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
