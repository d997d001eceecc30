"""What holds for every attack that paints with diffusion: masks, bits, rows, records and effects."""

from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.attack import Changed, Manipulation
from spooflab.generators.attacks.digital.attribute_diffusion import AttributeDiffusion
from spooflab.generators.attacks.digital.swap_diffusion import SwapDiffusion
from spooflab.generators.attacks.digital.swap_refine import SwapRefine
from spooflab.generators.attacks.masks.mask_controlnet import MaskControlNet
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.studio import open_studio
from spooflab.generators.face import Face
from spooflab.taxonomy import SPECIES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy"),  # within diffusers
]
KINDS: tuple[Any, ...] = (SwapDiffusion, SwapRefine, MaskControlNet, AttributeDiffusion)
every = pytest.mark.parametrize(
    "kind",
    # An inversion takes twenty steps there and twenty back.
    [pytest.param(k, marks=pytest.mark.slow if k is AttributeDiffusion else ()) for k in KINDS],
    ids=lambda kind: kind.species,
)


def _generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _apply(attack: Manipulation, people: tuple[Face, Face], seed: int = 1) -> Changed:
    donor = people[1] if attack.needs_donor else None
    return attack.apply(people[0], donor, attack.sample(2, _generator(seed)))


def _mask(changed: Changed) -> Tensor:
    assert changed.face.spoof_mask is not None
    return changed.face.spoof_mask


@every
def test_pixels_change_within_the_mask_alone(kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    face, changed = people[0], _apply(kind(diffusion=quick), people)
    mask, moved = _mask(changed), (changed.face.radiance - face.radiance).abs()
    assert mask.shape == (2, 1, *face.size)
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
    outside = (mask == 0).expand_as(moved)
    assert torch.equal(changed.face.radiance[outside], face.radiance[outside])
    for row in range(2):
        assert float(moved[row][(mask[row] == 1).expand(3, -1, -1)].mean()) > 0.02
    assert bool(changed.face.radiance.isfinite().all())
    assert float(changed.face.radiance.min()) >= 0


@every
def test_who_and_where_stay(kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    face, changed = people[0], _apply(kind(diffusion=quick), people).face
    assert (changed.subject_id, changed.source_id) == (face.subject_id, face.source_id)
    assert torch.equal(changed.box, face.box)
    # A mask has features of its own, which lie where the rendered one's do.
    assert torch.equal(changed.landmarks, face.landmarks) or kind is MaskControlNet


@every
def test_the_same_draws_are_the_same_pixels(kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack = kind(diffusion=quick)
    made = _apply(attack, people).face.radiance
    assert torch.equal(_apply(attack, people).face.radiance, made)
    assert not torch.equal(_apply(attack, people, seed=2).face.radiance, made)


@every
def test_a_row_is_what_it_is_alone_and_from_its_record(
    kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]
) -> None:
    attack = kind(diffusion=quick)
    params, whole = attack.sample(2, _generator()), _apply(attack, people)
    for row in range(2):
        replayed = attack.parse(params.row(row).to_json())
        assert replayed.to_json() == params.row(row).to_json()
        alone = kind(diffusion=quick).apply(people[0].row(row), people[1].row(row), replayed)
        assert torch.equal(alone.face.radiance, whole.face.radiance[row : row + 1])
        assert torch.equal(_mask(alone), _mask(whole)[row : row + 1])


@every
def test_every_effect_can_be_switched_off_and_is_seen(
    kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]
) -> None:
    full = kind(diffusion=quick)
    drawn = full.sample(2, _generator()).row(0).to_json()
    for name in kind.EFFECTS:
        attack = kind(diffusion=quick, ablate=[name])
        bare = attack.sample(2, _generator()).row(0).to_json()
        assert int(bare["ablated"]["value"]) == 1 << kind.EFFECTS.index(name)
        # What is drawn does not depend on it, so the pictures differ by the effect alone.
        assert _drawn(bare) == _drawn(drawn)
        assert any(
            not torch.equal(_apply(attack, people, seed).face.radiance, _apply(full, people, seed).face.radiance)
            for seed in (1, 2)
        ), name
    with pytest.raises(ConfigError, match="no effect sparkle"):
        kind(diffusion=quick, ablate=["sparkle"])


def _drawn(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record's JSON without the bits of effects, nested ones too."""
    nested = {name: _drawn(value) if "dtype" not in value else value for name, value in record.items()}
    return {name: value for name, value in nested.items() if name != "ablated"}


@every
def test_models_are_recorded(kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    changed = _apply(kind(diffusion=quick), people)
    assert changed.models == open_studio(quick).models
    assert all("sha256:" in name for name in changed.models)
    assert len(changed.models) == 3  # pipeline, adapter, identity encoder


@every
def test_a_mask_that_was_there_stays(kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    """The picture may have been changed before; where that is known, it is not forgotten."""
    attack = kind(diffusion=quick)
    before = torch.zeros(2, 1, *people[0].size)
    before[:, :, :4, :4] = 0.7
    second = _apply(attack, (people[0].replace(spoof_mask=before), people[1]))
    first = _apply(attack, people)
    assert torch.equal(_mask(second), torch.maximum(_mask(first), before))
    assert torch.equal(second.face.radiance, first.face.radiance)


@every
def test_it_is_a_species_of_the_taxonomy(kind: Any, quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack = kind(diffusion=quick)
    assert isinstance(attack, Manipulation)
    assert bool(SPECIES[kind.species].donor_role) == attack.needs_donor
    assert SPECIES[kind.species].tree[-2:] in {
        ("generation", "face_swap"),
        ("generation", "attribute"),
        ("3d", "generated"),
    }
    if attack.needs_donor:
        with pytest.raises(DataError, match="no donor"):
            attack.apply(people[0], None, attack.sample(2, _generator()))
