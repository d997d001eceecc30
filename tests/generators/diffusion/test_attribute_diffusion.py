"""Edits by inversion: words that the model knows, edits that do not contradict each other, pose and person held."""

from itertools import combinations
from typing import Any

import pytest
import torch

from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.attacks.digital.attribute_diffusion import (
    EDITS,
    SOURCE,
    AttributeDiffusion,
    AttributeDiffusionParams,
    prompt_of,
)
from spooflab.generators.attacks.digital.swap_mask import depth_inside, hull
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.studio import encoded, open_studio
from spooflab.generators.diffusion.training.captions import vocabulary
from spooflab.generators.face import Face

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers


def _params(attack: AttributeDiffusion, count: int = 1, seed: int = 1) -> AttributeDiffusionParams:
    return attack.sample(count, torch.Generator().manual_seed(seed))


def test_prompts_are_made_of_words_that_captions_use() -> None:
    for edits in [(), *((name,) for name in EDITS), *combinations(EDITS, 2)]:
        assert set(prompt_of(edits).replace(",", " ,").split()) <= set(vocabulary())
    assert prompt_of([]) == SOURCE
    assert prompt_of(["smiling", "glasses"]) == "a photo of a person with glasses, smiling"
    assert prompt_of(["glasses", "full_beard"]) == "a photo of a person with a full beard and glasses"
    assert prompt_of(["wrinkles", "old"]) == "a photo of an old person with wrinkles"
    assert len({prompt_of([name]) for name in EDITS}) == len(EDITS)


def test_one_or_two_edits_that_go_together() -> None:
    edits = _params(AttributeDiffusion(), 2000).edits
    alone = edits[:, 1] < 0
    assert 0.45 < float(alone.float().mean()) < 0.55
    assert set(edits[:, 0].tolist()) == set(range(len(EDITS)))
    pairs = {frozenset((EDITS[i], EDITS[k])) for i, k in edits[~alone].tolist()}
    beards = {"full_beard", "stubble", "moustache"}
    assert all(len(pair) == 2 and len(pair & beards) < 2 for pair in pairs)
    assert not pairs & {frozenset(("old", "young")), frozenset(("young", "wrinkles"))}
    # 28 pairs less 3 of beards and these two.
    assert len(pairs) == 23


@pytest.mark.slow
def test_the_region_reaches_over_the_brows(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack = AttributeDiffusion(diffusion=quick)
    params = _params(attack, 2)
    mask = attack.apply(people[0], None, params).face.spoof_mask
    assert mask is not None
    points = people[0].landmarks
    for row in range(2):
        x, y = points[row, 17:27].round().long().unbind(-1)
        assert bool((mask[row, 0, y, x] > 0.2).all())
        up = points[row, 27] - points[row, 30]
        x, y = (points[row, 27] + 0.6 * up).round().long()
        assert float(mask[row, 0, y, x]) > 0.5
    height, width = people[0].size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    depth = depth_inside(hull(points, params.rise), torch.stack([x, y], -1).reshape(1, -1, 2).expand(2, -1, -1))
    wide = (points[:, 16] - points[:, 0]).norm(dim=-1)
    outside = (depth < -0.05 * wide[:, None]).reshape(mask.shape)
    assert float(mask[outside].max()) == 0


@pytest.mark.slow
def test_what_the_model_is_given(
    quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, opened, face = AttributeDiffusion(diffusion=quick), open_studio(quick), people[0].row(0)
    given: list[dict[str, Any]] = []
    edit = opened.inverter.edit

    def watched(images: Any, **more: Any) -> Any:
        given.append(more)
        return edit(images, **more)

    monkeypatch.setattr(opened.inverter, "edit", watched)
    params = _params(attack)
    attack.apply(face, None, params)
    words = [EDITS[k] for k in params.edits[0].tolist() if k >= 0]
    assert (given[0]["source_prompts"], given[0]["target_prompts"]) == ([SOURCE], [prompt_of(words)])
    assert torch.equal(given[0]["identities"], opened.identity.embed(encoded(face), face.landmarks))
    assert (given[0]["steps"], given[0]["share"]) == (20, float(params.share[0]))


@pytest.mark.slow
def test_words_are_seen(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack, face = AttributeDiffusion(diffusion=quick), people[0].row(0)
    record = _params(attack).to_json()
    made = []
    for name in EDITS:
        record["edits"]["value"] = [EDITS.index(name), -1]
        made.append(attack.apply(face, None, attack.parse(record)).face.radiance)
    assert all(float((a - b).abs().max()) > 1e-6 for a, b in combinations(made, 2))


@pytest.mark.slow
def test_without_inversion_nothing_is_left_of_what_was_there(
    quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, opened = AttributeDiffusion(diffusion=quick, ablate=["inversion"]), open_studio(quick)
    monkeypatch.setattr(opened.inverter, "edit", None)
    seen: list[tuple[Any, ...]] = []
    paint = opened.inpainter.paint

    def watched(*given: Any, **more: Any) -> Any:
        seen.append((more["prompts"], more["seeds"], more["sampling"].strength))
        return paint(*given, **more)

    monkeypatch.setattr(opened.inpainter, "paint", watched)
    params = _params(attack)
    attack.apply(people[0].row(0), None, params)
    words = prompt_of([EDITS[k] for k in params.edits[0].tolist() if k >= 0])
    assert seen == [([words], [int(params.seed[0])], 1.0)]


def test_a_face_outside_and_a_model_that_cannot_be_inverted(
    quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, face = AttributeDiffusion(diffusion=quick), people[0].row(0)
    with pytest.raises(SkipSample) as caught:
        attack.apply(face.replace(landmarks=face.landmarks + 1000), None, _params(attack))
    assert caught.value.reason == "attribute_outside"

    def distilled(_: Any) -> None:
        raise ConfigError("a model distilled for few steps")

    monkeypatch.setattr("spooflab.generators.diffusion.invert._check_invertible", distilled)
    other = AttributeDiffusion(diffusion=quick.model_copy(update={"guidance": 3.0}))
    with pytest.raises(ConfigError, match="distilled"):
        other.apply(face, None, _params(other))
