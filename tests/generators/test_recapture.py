"""A photograph of an instrument as the next link's picture, and ablation's bookkeeping."""

import dataclasses
from typing import Any

import pytest
import torch

from spooflab.augment import develop
from spooflab.augment.tone import inverse_tone_curve, srgb_decode
from spooflab.augment.view import View
from spooflab.errors import ConfigError
from spooflab.generators.ablation import ablation, is_off, names_off
from spooflab.generators.attack import Manipulation, Rendered
from spooflab.generators.attacks.chain import Chain
from spooflab.generators.attacks.recapture import WINDOW_PX, Recapture
from spooflab.generators.bonafide import Bonafide, BonafideParams
from spooflab.generators.face import Face
from spooflab.generators.faces.landmarks import MEAN_HEAD, box_of
from spooflab.params import Params
from spooflab.seeds import generator

SIZE = 96


class Board:
    """The face on a board that covers the left half of the frame."""

    species = "print_a4"
    needs_donor = False

    def sample(self, batch_size: int, generator: torch.Generator) -> BonafideParams:
        return Bonafide().sample(batch_size, generator)

    def parse(self, record: dict[str, Any]) -> BonafideParams:
        return Bonafide().parse(record)

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        shown = Bonafide().render(face, view, params)
        mask = torch.zeros_like(shown.mask)
        mask[..., : view.width // 2] = 1
        boards = tuple(f"board-{name}" for name in face.subject_id)
        return dataclasses.replace(shown, mask=mask, instrument_id=boards, models=("m1",))


def face(name: str) -> Face:
    points = MEAN_HEAD[:, :2] * SIZE * 0.24 + (SIZE / 2, SIZE * 0.42)
    smooth = torch.rand(1, 3, 6, 6, generator=generator(1, name))
    return Face(
        radiance=torch.nn.functional.interpolate(smooth, size=(SIZE, SIZE), mode="bilinear") * 0.6 + 0.1,
        landmarks=torch.tensor(points, dtype=torch.float32)[None],
        box=torch.tensor([box_of(points)]),
        subject_id=(name,),
        source_id=(f"{name}/0",),
        depth_mm=torch.full((1, 1, SIZE, SIZE), 400.0),
    )


def test_the_picture_is_the_first_cameras_photograph_turned_back_into_light() -> None:
    link = Recapture(Board())
    assert isinstance(link, Manipulation)
    params = link.sample(1, generator(2, "r"))
    changed = link.apply(face("a"), None, params)
    shown = Board().render(face("a"), params.camera.view, params.shown)
    photo = develop(shown.irradiance, params.camera)
    wanted = srgb_decode(inverse_tone_curve(photo, tone=torch.full((1,), 0.5), gamma=torch.ones(1))).clamp(min=0)
    assert float(changed.face.radiance.min()) >= 0  # a power of less would be undefined further on
    assert changed.face.radiance.shape == (1, 3, WINDOW_PX, WINDOW_PX)
    assert torch.equal(changed.face.radiance, wanted)
    assert torch.equal(changed.face.landmarks, shown.landmarks)
    assert torch.equal(changed.face.box, shown.box)
    assert changed.face.spoof_mask is not None
    assert torch.equal(changed.face.spoof_mask, shown.mask)
    assert changed.face.depth_mm is None
    assert changed.instrument_id == ("board-a",)
    assert changed.models == ("m1",)


def test_rows_are_independent_and_replay_from_json() -> None:
    link, faces = Recapture(Board()), [face("a"), face("b")]
    params = link.sample(2, generator(3, "r"))
    together = link.apply(Face.stack(faces), None, params)
    for i in range(2):
        alone = link.apply(faces[i], None, link.parse(params.row(i).to_json()))
        assert torch.equal(together.face.radiance[i], alone.face.radiance[0])
        assert together.instrument_id[i] == alone.instrument_id[0]


def test_several_cameras_take_the_first_photograph() -> None:
    params = Recapture(Board()).sample(24, generator(4, "r"))
    assert len(set(params.camera.quality.tolist())) > 3
    assert len(set(params.camera.view.pitch_um.tolist())) >= 3


def test_a_chain_shows_the_photograph_and_names_both_instruments_facts() -> None:
    chain, view = Chain(Recapture(Board()), Board()), View.ideal(128, 128)
    assert chain.species == "print_a4+print_a4"
    assert not chain.needs_donor
    params = chain.sample(1, generator(5, "c"))
    got = chain.render(face("a"), view, params)
    assert {"print_a4.changed_share", "print_a4.zoom", "zoom"} <= set(got.facts)
    assert float(got.facts["print_a4.changed_share"][0]) == pytest.approx(0.5)
    again = chain.render(face("a"), view, chain.parse(params.to_json()))
    assert torch.equal(got.irradiance, again.irradiance)


def test_bits_name_what_is_off() -> None:
    effects = ("gloss", "shadow", "lattice")
    bits = ablation("x", effects, ("lattice", "gloss"), 3)
    assert bits.tolist() == [5, 5, 5]
    assert names_off(bits[:1], effects) == ("gloss", "lattice")
    assert not is_off(bits[:1], effects, "shadow")
    assert ablation("x", effects, (), 2).tolist() == [0, 0]
    with pytest.raises(ConfigError, match="no effect rain"):
        ablation("x", effects, ("rain",), 1)
