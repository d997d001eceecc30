"""A manipulation live as it is, and one shown on an instrument."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.attack import Attack, Manipulation, Rendered
from spooflab.generators.attacks.chain import Chain
from spooflab.generators.attacks.digital.swap_blend import SwapBlend
from spooflab.generators.attacks.live import Live
from spooflab.generators.bonafide import Bonafide
from spooflab.generators.face import Face
from spooflab.generators.faces.landmarks import MEAN_HEAD, box_of
from spooflab.params import Params
from spooflab.seeds import generator
from spooflab.taxonomy import SPECIES, species_of

SIZE = 96


def _face(name: str) -> Face:
    points = MEAN_HEAD[:, :2] * SIZE * 0.24 + (SIZE / 2, SIZE * 0.42)
    noise = F.interpolate(torch.randn(1, 3, 8, 8, generator=generator(3, name)), size=(SIZE, SIZE), mode="bicubic")
    return Face(
        radiance=(0.4 + 0.15 * noise).clamp(0.02, 1),
        landmarks=torch.tensor(points, dtype=torch.float32)[None],
        box=torch.tensor([box_of(points)]),
        subject_id=(name,),
        source_id=(f"{name}/0",),
    )


def _view(count: int = 1) -> View:
    return View.ideal(128, 128, batch_size=count, k1=0.01, blur_px=0.6)


@dataclass(frozen=True)
class _FlatParams(Params):
    dim: Tensor


class _Poster:
    """A presentation that shows the face dimmed, its mask the left half."""

    species = "poster"
    needs_donor = False

    def sample(self, batch_size: int, generator: torch.Generator) -> _FlatParams:
        return _FlatParams(0.5 + 0.4 * torch.rand(batch_size, generator=generator))

    def parse(self, record: dict[str, Any]) -> _FlatParams:
        return _FlatParams.from_json(record)

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        assert isinstance(params, _FlatParams)
        assert donor is None
        shown = Bonafide().render(face, view, Bonafide().parse({"gain": {"dtype": "float32", "value": 1.0}}))
        mask = torch.zeros_like(shown.mask)
        mask[..., :64] = 1
        return dataclasses.replace(
            shown,
            irradiance=shown.irradiance * params.dim[:, None, None, None],
            mask=mask,
            facts={"distance_mm": torch.full_like(params.dim, 300.0)},
            instrument_id=("poster-1",) * face.batch_size,
        )


def test_both_meet_the_contract_and_the_taxonomy() -> None:
    swap = SwapBlend()
    assert isinstance(swap, Manipulation)
    live, chain = Live(swap), Chain(swap, _Poster())
    for attack in (live, chain):
        assert isinstance(attack, Attack)
        assert attack.needs_donor
    assert live.species == "swap_blend"
    assert SPECIES[live.species].channel == "injection"
    assert chain.species == "swap_blend+poster"
    shown = _Poster()
    shown.species = "replay_phone"
    assert species_of(Chain(swap, shown).species).channel == "presentation"


def test_injection_is_a_bona_fide_shot_of_the_manipulated_face() -> None:
    attack, face, donor, view = Live(SwapBlend()), _face("a"), _face("b"), _view()
    params = attack.sample(1, generator(1, "i"))
    got = attack.render(face, view, params, donor)
    changed = attack.manipulation.apply(face, donor, params.manipulation).face
    wanted = Bonafide().render(changed, view, params.shot)
    assert torch.equal(got.irradiance, wanted.irradiance)
    assert torch.equal(got.mask, wanted.mask)
    assert float(got.mask.max()) > 0.9
    assert got.instrument_id == ("",)
    assert set(got.facts) == {*wanted.facts, "changed_share"}
    assert changed.spoof_mask is not None
    assert float(got.facts["changed_share"][0]) == pytest.approx(float(changed.spoof_mask.mean()))


def test_injection_draws_the_same_illumination_as_bona_fide() -> None:
    gains = Live(SwapBlend()).sample(4000, generator(2, "g")).shot.gain
    bona = Bonafide().sample(4000, generator(3, "g")).gain
    quantiles = torch.linspace(0.05, 0.95, 10)
    torch.testing.assert_close(gains.quantile(quantiles), bona.quantile(quantiles), atol=0.015, rtol=0)


def test_chain_shows_the_swap_and_keeps_the_instruments_truth() -> None:
    chain, face, donor, view = Chain(SwapBlend(), _Poster()), _face("a"), _face("b"), _view()
    params = chain.sample(1, generator(4, "c"))
    got = chain.render(face, view, params, donor)
    changed = SwapBlend().apply(face, donor, params.first).face
    wanted = _Poster().render(changed, view, params.second)
    assert torch.equal(got.irradiance, wanted.irradiance)
    assert torch.equal(got.mask, wanted.mask)
    assert float(got.mask[..., 64:].max()) == 0
    assert got.instrument_id == ("poster-1",)
    assert float(got.facts["distance_mm"][0]) == 300
    assert 0 < float(got.facts["swap_blend.changed_share"][0]) < 1
    plain = _Poster().render(face, view, params.second)
    assert float((got.irradiance - plain.irradiance).abs().max()) > 0.02


@pytest.mark.parametrize("kind", ["live", "chain"])
def test_replay_from_json_and_rows(kind: str) -> None:
    attack: Live | Chain = Live(SwapBlend()) if kind == "live" else Chain(SwapBlend(), _Poster())
    faces, donors = [_face(f"t{i}") for i in range(3)], [_face(f"d{i}") for i in range(3)]
    params = attack.sample(3, generator(5, kind))
    whole = attack.render(Face.stack(faces), _view(3), params, Face.stack(donors))
    for i in range(3):
        again = attack.parse(params.row(i).to_json())
        alone = attack.render(faces[i], _view(), again, donors[i])
        torch.testing.assert_close(whole.irradiance[i : i + 1], alone.irradiance, atol=1e-5, rtol=0)
        repeat = attack.render(faces[i], _view(), params.row(i), donors[i])
        assert torch.equal(repeat.irradiance, alone.irradiance)


def test_missing_donor_is_an_error() -> None:
    for attack in (Live(SwapBlend()), Chain(SwapBlend(), _Poster())):
        with pytest.raises(DataError, match="no donor"):
            attack.render(_face("a"), _view(), attack.sample(1, generator(6, "n")))


def test_a_chain_of_two_donors_is_refused() -> None:
    with pytest.raises(ValueError, match="donor"):
        Chain(SwapBlend(), Live(SwapBlend()))


def test_landmarks_follow_the_lens() -> None:
    attack, view = Live(SwapBlend()), _view()
    got = attack.render(_face("a"), view, attack.sample(1, generator(7, "l")), _face("b"))
    wanted = view.distort(_face("a").landmarks * 128 / SIZE)
    torch.testing.assert_close(got.landmarks, wanted)
    assert math.isclose(float(got.facts["face_px"][0]), float(got.box[0, 2]), rel_tol=1e-4)
    assert not bool(torch.isnan(got.irradiance).any())
    assert np.isfinite(got.box.numpy()).all()
