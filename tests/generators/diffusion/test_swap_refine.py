"""A blended swap resynthesised: off it is the blend, on it is what the refiner makes of the blend, within its mask."""

import dataclasses
from typing import Any

import pytest
import torch

from spooflab.errors import SkipSample
from spooflab.generators.attacks.digital.swap_blend import SwapBlend
from spooflab.generators.attacks.digital.swap_refine import SwapRefine, SwapRefineParams
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.studio import encoded, open_studio
from spooflab.generators.face import Face

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers


def _params(attack: SwapRefine, seed: int = 1) -> SwapRefineParams:
    return attack.sample(2, torch.Generator().manual_seed(seed))


def test_without_resynthesis_it_is_the_blend(people: tuple[Face, Face]) -> None:
    """And no model is loaded: the configured one does not exist."""
    attack = SwapRefine(diffusion=DiffusionConfig(model="/nowhere"), ablate=["resynthesis"])
    params = _params(attack)
    made, wanted = attack.apply(*people, params), SwapBlend().apply(*people, params.blend)
    assert torch.equal(made.face.radiance, wanted.face.radiance)
    assert made.models == ()


@pytest.mark.parametrize("effects", [(), ("seam",), ("colour_transfer", "misalignment")])
def test_effects_of_the_blend_are_the_blends(effects: tuple[str, ...], people: tuple[Face, Face]) -> None:
    bare = SwapRefine(diffusion=DiffusionConfig(model="/nowhere"), ablate=[*effects, "resynthesis"])
    plain = SwapBlend(ablate=effects)
    wanted = plain.apply(*people, plain.sample(2, torch.Generator().manual_seed(1)))
    assert torch.equal(bare.apply(*people, _params(bare)).face.radiance, wanted.face.radiance)


def test_mask_and_geometry_are_those_of_the_blend(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack = SwapRefine(diffusion=quick)
    params = _params(attack)
    made, blend = attack.apply(*people, params).face, SwapBlend().apply(*people, params.blend).face
    assert made.spoof_mask is not None
    assert blend.spoof_mask is not None
    assert torch.equal(made.spoof_mask, blend.spoof_mask)
    whole = (blend.spoof_mask == 1).expand_as(blend.radiance)
    assert float((made.radiance - blend.radiance)[whole].abs().mean()) > 0.01


def test_what_the_model_is_given(
    quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blend, its source's identity (its own face's where that is altered), the configured strength."""
    attack, opened = SwapRefine(diffusion=quick), open_studio(quick)
    given: list[tuple[Any, dict[str, Any]]] = []
    refine = opened.refiner.refine

    def watched(images: Any, masks: Any, **more: Any) -> Any:
        given.append((images, more))
        return refine(images, masks, **more)

    monkeypatch.setattr(opened.refiner, "refine", watched)
    params = _params(attack).row(0)
    face, donor = people[0].row(0), people[1].row(0)
    for itself, who in ((False, donor), (True, face)):
        blend = dataclasses.replace(params.blend, self_swap=torch.tensor([itself]))
        attack.apply(face, donor, dataclasses.replace(params, blend=blend))
        _, more = given[-1]
        assert torch.equal(more["identities"], opened.identity.embed(encoded(who), who.landmarks))
        assert (more["strength"], more["steps"], more["guidance"]) == (0.5, 2, 2.0)
        assert more["seeds"] == [int(params.seed[0])]
        assert len(more["conditions"]) == 1
    assert not torch.equal(given[0][0], given[1][0])


def test_a_face_outside_the_picture_is_skipped(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack = SwapRefine(diffusion=quick)
    away = people[0].replace(landmarks=people[0].landmarks + 1000)
    with pytest.raises(SkipSample) as caught:
        attack.apply(away, people[1], _params(attack))
    assert caught.value.reason == "swap_outside"
