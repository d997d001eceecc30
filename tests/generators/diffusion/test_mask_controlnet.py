"""A painted mask: its rendered region, its openings left live, its material prompted and named in records."""

from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.generators.attacks.masks.mask_controlnet import MaskControlNet, MaskControlNetParams
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.materials import MATERIALS, MaskGeometry, prompt_of
from spooflab.generators.diffusion.studio import open_studio
from spooflab.generators.face import Face
from spooflab.seeds import generator as named_generator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy"),  # within diffusers
]


def _params(attack: MaskControlNet, seed: int = 1) -> MaskControlNetParams:
    return attack.sample(1, torch.Generator().manual_seed(seed))


def _rendered(material: str, params: MaskControlNetParams, face: Face, donor: Face, *, openings: bool = True) -> Face:
    geometry = MaskGeometry(material, openings=openings)
    drawn = geometry.sample(named_generator(int(params.mask_seed[0]), "mask"))
    return geometry.worn(face, donor if geometry.needs_donor else None, drawn).face


def _eyes(face: Face) -> Tensor:
    """Pixels (H, W) near the pupils."""
    height, width = face.size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    at = torch.stack([x, y], -1)
    pupils = [face.landmarks[0, part].mean(0) for part in (slice(36, 42), slice(42, 48))]
    return torch.stack([(at - pupil).norm(dim=-1) < 1.5 for pupil in pupils]).any(0)


def test_ids_name_materials() -> None:
    assert MaskControlNet.bank_ids() == tuple(f"generated_{name}" for name in MATERIALS)
    drawn = MaskControlNet().sample(400, torch.Generator().manual_seed(0)).material
    assert set(drawn.tolist()) == set(range(len(MATERIALS)))
    some = MaskControlNet(instruments=["generated_resin", "generated_latex"])
    drawn = some.sample(100, torch.Generator().manual_seed(0)).material
    assert {list(MATERIALS)[k] for k in drawn.tolist()} == {"resin", "latex"}
    for wrong in ("resin", "generated_gold"):
        with pytest.raises(ConfigError, match=wrong):
            MaskControlNet(instruments=[wrong])


@pytest.mark.parametrize("material", list(MATERIALS))
def test_each_material_is_prompted_and_named(
    material: str, quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, opened = MaskControlNet(instruments=[f"generated_{material}"], diffusion=quick), open_studio(quick)
    seen: list[dict[str, Any]] = []
    paint = opened.inpainter.paint

    def watched(*given: Any, **more: Any) -> Any:
        seen.append(more)
        return paint(*given, **more)

    monkeypatch.setattr(opened.inpainter, "paint", watched)
    face, donor = people[0].row(0), people[1].row(0)
    changed = attack.apply(face, donor, _params(attack))
    assert changed.instrument_id == (f"generated_{material}",)
    assert seen[0]["prompts"] == [prompt_of(material)]
    assert seen[0]["identities"] is None
    assert changed.face.subject_id == face.subject_id
    worn = _rendered(material, _params(attack), face, donor)
    assert torch.equal(changed.face.landmarks, worn.landmarks)
    assert worn.spoof_mask is not None
    assert changed.face.spoof_mask is not None
    torch.testing.assert_close(changed.face.spoof_mask, ((worn.spoof_mask - 0.3) / 0.4).clamp(0, 1))


def test_eyes_are_live_where_the_mask_is_open(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    attack, closed = (
        MaskControlNet(instruments=["generated_silicone"], diffusion=quick, ablate=off) for off in ((), ("openings",))
    )
    face, donor = people[0].row(0), people[1].row(0)
    params = _params(attack)
    worn = _rendered("silicone", params, face, donor)
    assert worn.spoof_mask is not None
    eyes = _eyes(face) & (worn.spoof_mask[0, 0] < 0.3)
    assert int(eyes.sum()) >= 6
    made = attack.apply(face, donor, params).face.radiance
    assert torch.equal(made[0][:, eyes], face.radiance[0][:, eyes])
    shut = closed.apply(face, donor, _params(closed)).face.radiance
    assert float((shut - face.radiance)[0][:, eyes].abs().mean()) > 0.01


def test_what_is_hidden_is_painted_from_the_bona_fide_picture(
    quick: DiffusionConfig, people: tuple[Face, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ControlNet sees the mask's relief, or without it the wearer's; the picture is the wearer's both times."""
    face, donor = people[0].row(0), people[1].row(0)
    opened = open_studio(quick)
    seen: list[tuple[Any, ...]] = []
    paint = opened.inpainter.paint

    def watched(*given: Any, **more: Any) -> Any:
        seen.append(given)
        return paint(*given, **more)

    monkeypatch.setattr(opened.inpainter, "paint", watched)
    for off in ((), ("relief",)):
        attack = MaskControlNet(instruments=["generated_resin"], diffusion=quick, ablate=off)
        attack.apply(face, donor, _params(attack))
    (picture, region, shown), (picture_again, region_again, without) = seen
    assert torch.equal(picture, picture_again)
    assert torch.equal(region, region_again)
    inside = region.expand_as(shown[0]) > 0
    assert float((shown[0] - without[0])[inside].abs().mean()) > 1e-3
    outside = (_far(region) == 0).expand_as(shown[0])
    torch.testing.assert_close(shown[0][outside], without[0][outside], atol=1e-5, rtol=0)


def _far(region: Tensor) -> Tensor:
    return torch.nn.functional.max_pool2d(region, 5, stride=1, padding=2)
