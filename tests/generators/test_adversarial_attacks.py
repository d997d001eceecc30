"""The adversarial attacks: what they promise of scores, norms, rows, records and detectors."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spooflab.errors import ConfigError, DataError
from spooflab.generators.adversarial.detector import Detector
from spooflab.generators.adversarial.surrogate import load_surrogate
from spooflab.generators.adversarial.worn_patch import (
    Transforms,
    WornScene,
    decoded,
    encoded,
    optimise_pattern,
    transformed,
)
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.adversarial.adversarial_patch import AdversarialPatch, AdversarialPatchParams
from spooflab.generators.attacks.adversarial.adversarial_pixel import AdversarialPixel
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.params import Params
from spooflab.seeds import generator

SIZE = 160


class Colour(nn.Module):
    """Scores how green a picture is: a linear detector, whose best attack is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-1.0, 2.0, -1.0]))

    def forward(self, images: Tensor) -> Tensor:
        return (images.mean((2, 3)) * self.weight).sum(1)


@pytest.fixture(scope="module")
def faces() -> Face:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=SIZE, seed=5)
    return Face.stack([source.load(ref) for ref in source.refs()])


@pytest.fixture(scope="module")
def green() -> Detector:
    return Detector(Colour(), "green", (SIZE, SIZE))


def attacked(attack: Any, face: Face, params: Params) -> Changed:
    with torch.inference_mode():
        changed: Changed = attack.apply(face, None, params)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AdversarialPixel, AdversarialPatch])
def test_only_what_the_mask_names_has_changed(kind: Any, faces: Face) -> None:
    attack = kind()
    for seed in range(2):
        changed = attacked(attack, faces, attack.sample(2, generator(seed, attack.species)))
        mask = changed.face.spoof_mask
        assert mask is not None
        assert (mask.flatten(1).mean(1) > 0.01).all()
        assert mask.min() >= 0
        assert mask.max() <= 1
        same = (mask == 0).expand(-1, 3, -1, -1)
        assert torch.equal(changed.face.radiance[same], faces.radiance[same])
        assert changed.face.radiance.min() >= 0
        assert all(v.shape == (2,) and torch.isfinite(v).all() for v in changed.facts.values())
        assert changed.models == (load_surrogate().model_id,)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AdversarialPixel, AdversarialPatch])
def test_rows_alone_and_replayed_are_the_same_pixels(kind: Any, faces: Face) -> None:
    attack = kind()
    params = attack.sample(2, generator(3, attack.species))
    together = attacked(attack, faces, params)
    for i in range(2):
        back = attack.parse(json.loads(json.dumps(params.row(i).to_json())))
        alone = attacked(kind(), faces.row(i), back)
        assert torch.equal(alone.face.radiance[0], together.face.radiance[i])
        assert {k: float(v[0]) for k, v in alone.facts.items()} == {k: float(v[i]) for k, v in together.facts.items()}


@pytest.mark.parametrize("kind", [AdversarialPixel, AdversarialPatch])
def test_parameters_of_another_detector_are_refused(kind: Any, faces: Face, green: Detector) -> None:
    params = kind().sample(2, generator(1, "x"))
    with pytest.raises(DataError, match="drawn for detector"):
        kind(green).apply(faces, None, params)
    with pytest.raises(ConfigError, match="no effect"):
        kind(ablate=("smell",))


def test_pixels_move_within_the_norm_and_the_region(faces: Face, green: Detector) -> None:
    attack = AdversarialPixel(green)
    params = attack.sample(8, generator(2, "norms"))
    assert {0, 1} == set(params.norm.tolist())
    for i in range(8):
        row = params.row(i)
        changed = attacked(attack, faces.row(i % 2), row)
        before = encoded(faces.radiance[i % 2].clamp(0, 1))
        change = encoded(changed.face.radiance[0].clamp(0, 1)) - before
        assert changed.facts["linf"][0] == pytest.approx(float(change.abs().max()), abs=2e-4)
        eps = float(row.eps)
        if int(row.norm) == 0:
            assert change.abs().max() <= eps + 2e-4
        else:
            mask = changed.face.spoof_mask
            assert mask is not None
            area = SIZE * SIZE if bool(row.whole) else float(mask.sum()) * 1.1 + 50
            assert change.norm() <= eps * 1.6 * (3 * area) ** 0.5 + 2e-3
        assert changed.facts["score_after"][0] > changed.facts["score_before"][0]


def test_a_linear_detector_is_attacked_at_its_optimum(faces: Face, green: Detector) -> None:
    attack = AdversarialPixel(green)
    params = attack.sample(40, generator(5, "optimum"))
    pick = next(
        i for i in range(40) if int(params.norm[i]) == 0 and bool(params.whole[i]) and int(params.iterations[i]) == 1
    )
    row = params.row(pick)
    changed = attacked(attack, faces.row(0), row)
    clean = encoded(faces.radiance[:1].clamp(0, 1))
    best = (clean + float(row.eps) * torch.tensor([-1.0, 1.0, -1.0])[:, None, None]).clamp(0, 1)
    with torch.no_grad():
        assert changed.facts["score_after"][0] == pytest.approx(float(green.score(best)), abs=1e-5)


def test_highlights_keep_what_exceeds_white(faces: Face, green: Detector) -> None:
    face = faces.row(0)
    bright = face.replace(radiance=face.radiance.index_fill(2, torch.tensor([80]), 1.7))
    attack = AdversarialPixel(green)
    changed = attacked(attack, bright, attack.sample(1, generator(7, "x")))
    row = changed.face.radiance[0, :, 80]
    assert (row > 1.3).all()


def test_random_signs_do_not_raise_the_score_as_the_gradient_does(faces: Face) -> None:
    gains = []
    for ablate in ((), ("gradient",)):
        attack = AdversarialPixel(ablate=ablate)
        gain = []
        for seed in range(4):
            facts = attacked(attack, faces.row(seed % 2), attack.sample(1, generator(seed, "gain"))).facts
            gain.append(float(facts["score_after"] - facts["score_before"]))
        gains.append(sum(gain) / 4)
    assert gains[0] > 1.0
    assert abs(gains[1]) < 0.3 * gains[0]


@pytest.mark.slow
def test_a_patch_is_better_than_a_random_one_against_its_detector(faces: Face) -> None:
    score = {}
    for effect in ("", "gradient"):
        attack = AdversarialPatch(ablate=(effect,) if effect else (), instruments=("forehead_band", "forehead_sticker"))
        facts = [
            attacked(attack, faces.row(seed % 2), attack.sample(1, generator(seed, "patch"))).facts for seed in range(3)
        ]
        score[effect] = sum(float(f["score_after"]) for f in facts) / 3
        assert all(float(f["iterations"]) > 0 for f in facts) == (effect == "")
    assert score[""] > score["gradient"] + 0.3


def test_a_patch_against_green_is_green_within_the_gamut(faces: Face, green: Detector) -> None:
    colours = {}
    for effect in ("", "print"):
        attack = AdversarialPatch(green, ablate=(effect,) if effect else (), instruments=("forehead_sticker",))
        params = attack.sample(1, generator(1, "green"))
        changed = attacked(attack, faces.row(0), params)
        mask = changed.face.spoof_mask
        assert mask is not None
        seen = changed.face.radiance[0, :, mask[0, 0] > 0.99].mean(1)
        colours[effect] = seen / seen.sum()
    assert colours[""][1] > 0.45
    assert colours["print"][1] > colours[""][1] + 0.1, "ink on paper is never as green as the sRGB primary"


@pytest.mark.slow
@pytest.mark.parametrize("effect", AdversarialPatch.EFFECTS)
def test_an_effect_switched_off_changes_the_patch(effect: str, faces: Face, green: Detector) -> None:
    for seed in range(6):
        made = []
        for ablate in ((), (effect,)):
            attack = AdversarialPatch(green, ablate=ablate)
            params = attack.sample(1, generator(seed, "effect"))
            made.append(attacked(attack, faces.row(0), params).face.radiance)
        if float((made[0] - made[1]).abs().max()) > 1e-3:
            if effect == "contact_shadow":
                assert (made[0] <= made[1] + 1e-5).float().mean() > 0.93  # the pattern answers to it too
            return
    pytest.fail(f"{effect} was never at work")


@pytest.mark.parametrize("name", AdversarialPatch.bank_ids())
def test_every_patch_can_be_worn_on_a_photograph(name: str, faces: Face, green: Detector) -> None:
    attack = AdversarialPatch(green, instruments=(name,))
    params = attack.sample(1, generator(1, name))
    assert isinstance(params, AdversarialPatchParams)
    bare = faces.row(1).replace(depth_mm=None, normals=None, parsing=None, synthetic=False)
    changed = attacked(AdversarialPatch(green), bare, params)
    assert changed.instrument_id == (name,)
    assert changed.face.spoof_mask is not None
    assert changed.face.spoof_mask.mean() > 0.01


def test_the_pattern_of_a_linear_score_runs_to_its_sign() -> None:
    weight = torch.tensor([1.0, -1.0, 1.0])[:, None, None]
    down, across = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 20), indexing="ij")
    scene = WornScene(torch.zeros(3, 20, 20), torch.ones(3, 20, 20), torch.stack([across, down], -1))
    made = optimise_pattern(
        lambda x: (x * weight).sum((1, 2, 3)), scene, decoded, torch.full((3, 5, 5), 0.5),
        iters=6, step=0.1, momentum=0.5, expected=Transforms(0.05, 0.05, 0.1, 0.0), seed=1,
    )  # fmt: skip
    assert (made[0] == 1.0).all()
    assert (made[1] == 0.0).all()


def test_expected_transformations_move_scale_and_light() -> None:
    x = torch.linspace(0, 1, 64).expand(3, 64, 64).contiguous()
    gen = generator(1, "t")
    dx, _, size, gain = (2 * torch.rand(4, generator=generator(1, "t")) - 1).tolist()
    seen = transformed(x, Transforms(0.05, 0.1, 0.2, 0.0), gen)
    middle = seen[0, 32, 31:33].mean()
    assert float(middle) == pytest.approx((0.5 + 0.05 * dx * 64 / 63) * (1 + 0.2 * gain), abs=2e-3)
    slope = (seen[0, 32, 40] - seen[0, 32, 24]) / 16
    assert float(slope) == pytest.approx((1 + 0.1 * size) / 63 * (1 + 0.2 * gain), rel=2e-2)
    still = transformed(x, Transforms(0.0, 0.0, 0.0, 0.0), gen)
    torch.testing.assert_close(still, x, atol=1e-5, rtol=0)


def test_codes_and_light_are_inverse_and_smooth_for_the_gradient() -> None:
    codes = torch.linspace(0, 1, 300).requires_grad_()
    light = decoded(codes)
    torch.testing.assert_close(encoded(light.detach()), codes.detach(), atol=1e-5, rtol=0)
    (slope,) = torch.autograd.grad(light.sum(), codes)
    assert torch.isfinite(slope).all()
    assert (slope > 0).all()
    black = torch.zeros(3, requires_grad=True)
    (steep,) = torch.autograd.grad(encoded(black).sum(), black)
    assert torch.isfinite(steep).all()
