"""A swap by inpainting: who is painted is told by the donor, what covers the face stays, a face outside is skipped."""

import dataclasses
from typing import Any

import pytest
import torch

from spooflab.errors import SkipSample
from spooflab.generators.attacks.digital.swap_diffusion import SwapDiffusion, SwapDiffusionParams, swap_mask
from spooflab.generators.diffusion import studio
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.lent_shape import lent_shape
from spooflab.generators.diffusion.studio import encoded, open_studio
from spooflab.generators.face import PARSING, Face

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers


def _params(attack: SwapDiffusion) -> SwapDiffusionParams:
    return attack.sample(1, torch.Generator().manual_seed(1))


def test_the_donor_decides_who_is_painted(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack, nobody = SwapDiffusion(diffusion=quick), SwapDiffusion(diffusion=quick, ablate=["identity"])
    face = people[0].row(0)
    first, second = (attack.apply(face, people[1].row(k), _params(attack)).face.radiance for k in range(2))
    assert float((first - second).abs().max()) > 1e-3
    first, second = (nobody.apply(face, people[1].row(k), _params(nobody)).face.radiance for k in range(2))
    assert torch.equal(first, second)


def test_what_the_model_is_given(
    quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    opened = open_studio(quick)
    paint = type(opened).paint

    def watched(self: Any, crops: Any, regions: Any, **more: Any) -> Any:
        given.append({"crops": crops, "regions": regions, **more})
        return paint(self, crops, regions, **more)

    monkeypatch.setattr(studio.Studio, "paint", watched)
    attack, donor = SwapDiffusion(diffusion=quick), people[1].row(0)
    params = _params(attack)
    attack.apply(people[0].row(0), donor, params)
    assert given[0]["seeds"] == [int(params.seed[0])]
    assert given[0]["prompts"] == ["a photo of a face"]
    assert torch.equal(given[0]["identities"], opened.identity.embed(encoded(donor), donor.landmarks))
    assert given[0]["regions"].shape == (1, 1, 48, 48)
    assert set(given[0]["regions"].unique().tolist()) == {0.0, 1.0}


def test_the_sources_shape_is_held_in_the_targets_pose(
    quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the ControlNet is shown moves as far as drawn; the face's own landmarks stay in the record."""
    held: list[torch.Tensor] = []
    paint = studio.Studio.paint

    def watched(self: Any, crops: Any, regions: Any, **more: Any) -> Any:
        held.append(crops[0].frame.to_picture(crops[0].face.landmarks / crops[0].size))
        return paint(self, crops, regions, **more)

    monkeypatch.setattr(studio.Studio, "paint", watched)
    face, donor = people[0].row(0), people[1].row(0)
    for off in ([], ["shape"], ["identity"]):
        attack = SwapDiffusion(diffusion=quick, ablate=off)
        params = _params(attack)
        made = attack.apply(face, donor, params).face
        assert torch.equal(made.landmarks, face.landmarks)
    assert 0.2 <= float(params.shape) <= 0.7
    torch.testing.assert_close(held[0], lent_shape(face, donor, float(params.shape)), atol=1e-3, rtol=0)
    assert float((held[0] - face.landmarks).abs().max()) > 0.5
    for own in held[1:]:
        torch.testing.assert_close(own, face.landmarks, atol=1e-3, rtol=0)


def test_hair_and_glasses_before_the_face_stay(people: tuple[Face, Face]) -> None:
    attack, face = SwapDiffusion(), people[0].row(0)
    assert face.parsing is not None
    parsing = face.parsing.clone()
    left, right = (int(v) for v in (face.landmarks[0, 36, 0], face.landmarks[0, 39, 0]))
    row = int(face.landmarks[0, 36:42, 1].mean())
    parsing[..., row - 2 : row + 3, left : right + 1] = PARSING.index("glasses")
    drawn, covered = _params(attack), face.replace(parsing=parsing)
    careful = dataclasses.replace(drawn, careful=torch.tensor([True]))
    careless = dataclasses.replace(drawn, careful=torch.tensor([False]))
    middle = (0, 0, row, (left + right) // 2)
    assert float(swap_mask(covered, careful)[middle]) == 0
    assert float(swap_mask(covered, careless)[middle]) == 1
    assert torch.equal(swap_mask(covered, careless), swap_mask(face.replace(parsing=None), careful))


def test_a_hard_edge(people: tuple[Face, Face]) -> None:
    face = people[0].row(0)
    soft, hard = (swap_mask(face, _params(SwapDiffusion(ablate=names))) for names in ([], ["feather"]))
    between = [float(((mask > 0.02) & (mask < 0.98)).float().mean()) for mask in (soft, hard)]
    assert between[0] > 5 * between[1]


def test_a_face_outside_the_picture_is_skipped(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack, face = SwapDiffusion(diffusion=quick), people[0].row(0)
    away = face.replace(landmarks=face.landmarks + 1000)
    with pytest.raises(SkipSample) as caught:
        attack.apply(away, people[1].row(0), _params(attack))
    assert caught.value.reason == "swap_outside"
