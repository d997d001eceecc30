"""The studio: crops with their geometry and the way back, models loaded once and refused with what is wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import studio
from spooflab.generators.diffusion.config import ControlConfig, DiffusionConfig
from spooflab.generators.diffusion.ddim import even_steps
from spooflab.generators.diffusion.embedded import ADAPTER
from spooflab.generators.diffusion.face_frame import face_frame, on_crop
from spooflab.generators.diffusion.identity_net import IDENTITY_FOLDER, IdentityNet, save_identity
from spooflab.generators.diffusion.studio import Crop, Studio, check_models, crop_face, encoded, lay_back, open_studio
from spooflab.generators.face import Face

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    return folder


def _crop(people: tuple[Face, Face], size: int = 48) -> Crop:
    face = people[0].row(0)
    return crop_face(face, face_frame(face.landmarks[0], 1.3), size)


def test_a_crop_has_all_that_is_known_of_the_face(people: tuple[Face, Face]) -> None:
    face, c = people[0].row(0), _crop(people)
    assert c.picture.shape == (1, 3, 48, 48)
    assert 0 <= float(c.picture.min()) <= float(c.picture.max()) <= 1
    assert torch.equal(c.face.landmarks, on_crop(face.landmarks, c.frame, 48))
    assert bool(((c.face.landmarks > 0) & (c.face.landmarks < 48)).all())
    for name, shape in (("normals", (1, 3, 48, 48)), ("depth_mm", (1, 1, 48, 48)), ("parsing", (1, 1, 48, 48))):
        assert getattr(c.face, name).shape == shape
    assert c.face.parsing is not None
    assert face.parsing is not None
    # Classes are those of the pixel that lies there, never a mean of two.
    middle = c.frame.to_picture(torch.tensor([[24.5, 30.5]]) / 48)[0].floor().long()
    assert int(c.face.parsing[0, 0, 30, 24]) == int(face.parsing[0, 0, middle[1], middle[0]])
    bare = face.replace(normals=None, depth_mm=None, parsing=None)
    empty = crop_face(bare, c.frame, 48).face
    assert (empty.normals, empty.depth_mm, empty.parsing) == (None, None, None)


def test_a_crop_laid_back_is_the_picture(people: tuple[Face, Face]) -> None:
    face = people[0].row(0)
    c = _crop(people, 160)  # finer than the picture
    mask = torch.zeros(1, 1, *face.size)
    x, y = face.landmarks[0, 30].long().tolist()
    mask[..., y - 12 : y + 12, x - 12 : x + 12] = 1
    back = lay_back(face, c.picture, c, mask, colour=0.0)
    assert torch.equal(back[(mask == 0).expand_as(back)], face.radiance[(mask == 0).expand_as(back)])
    assert float((back - face.radiance).abs().mean()) < 0.003
    half = lay_back(face, 1 - c.picture, c, 0.5 * mask, colour=0.0)
    whole = lay_back(face, 1 - c.picture, c, mask, colour=0.0)
    torch.testing.assert_close(half, (whole + face.radiance) / 2, atol=1e-6, rtol=0)


def test_colours_are_matched_as_much_as_is_asked(people: tuple[Face, Face]) -> None:
    face, c = people[0].row(0), _crop(people)
    mask = torch.zeros(1, 1, *face.size)
    x, y = face.landmarks[0, 30].long().tolist()
    mask[..., y - 12 : y + 12, x - 12 : x + 12] = 1
    red = c.picture * torch.tensor([1.0, 0.5, 0.5])[:, None, None]
    inside = (mask == 1).expand_as(face.radiance)
    off = [
        float((lay_back(face, red, c, mask, colour=colour) - face.radiance)[inside].mean().abs())
        for colour in (0.0, 0.5, 1.0)
    ]
    assert off[0] > off[1] > off[2]
    assert off[2] < 0.1 * off[0]


def test_beside_the_frame_nothing_is_laid(people: tuple[Face, Face]) -> None:
    face, c = people[0].row(0), _crop(people)
    everywhere = torch.ones(1, 1, *face.size)
    back = lay_back(face, torch.zeros_like(c.picture), c, everywhere, colour=0.0)
    corner = back[..., 0, 0]
    assert torch.equal(corner, face.radiance[..., 0, 0])


def test_models_are_loaded_once(quick: DiffusionConfig) -> None:
    opened = open_studio(quick)
    assert open_studio(DiffusionConfig(**quick.model_dump())) is opened
    assert opened.refiner._loaded is opened.inverter._loaded is opened.inpainter.loaded
    assert [name.split(" sha256:")[0] for name in opened.models] == [
        quick.model, f"{quick.model}/{ADAPTER}", f"{quick.model} {IDENTITY_FOLDER}",
    ]  # fmt: skip


@pytest.mark.slow
def test_editing_leaves_the_painter_as_it_was(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    """They share weights, and nothing of what one sets stays for another."""
    opened, c = open_studio(quick), _crop(people)
    region = torch.zeros(1, 1, 48, 48)
    region[..., 12:36, 12:36] = 1
    who = torch.ones(1, 16) / 4

    def paint() -> torch.Tensor:
        return opened.paint([c], region, prompts=["a photo"], seeds=[3], identities=who, worn=False)

    def refine() -> torch.Tensor:
        return opened.refine([c], region, prompts=["a photo"], seeds=[3], identities=who)

    def edit() -> torch.Tensor:
        words = {"source_prompts": ["a photo"], "target_prompts": ["an old person"]}
        return opened.edit([c], region, **words, identities=who, share=0.5)

    first = [paint(), refine(), edit()]
    for made in first:
        assert torch.equal(made[(region == 0).expand_as(made)], c.picture[(region == 0).expand_as(made)])
    assert all(torch.equal(a, b) for a, b in zip([paint(), refine(), edit()], first, strict=True))
    again = [edit(), refine(), paint()]
    assert all(torch.equal(a, b) for a, b in zip(reversed(again), first, strict=True))


def test_conditions_are_those_that_are_configured(whole: Path, people: tuple[Face, Face]) -> None:
    own = str(whole / "controlnet")
    config = DiffusionConfig(
        model=str(whole), size=48, steps=2, refine_strength=0.5,
        controlnets=(
            ControlConfig(source=own, condition="landmarks", weight=0.5), ControlConfig(source=own, condition="depth"),
        ),
    )  # fmt: skip
    two, c = Studio(config), _crop(people)
    assert two.conditions == ("landmarks", "depth")
    assert two.sampling.control == (0.5, 1.0)
    shown = two.condition_maps([c], worn=False)
    assert [tuple(each.shape) for each in shown] == [(1, 3, 48, 48)] * 2
    assert not torch.equal(*shown)
    lacking = crop_face(people[0].row(0).replace(depth_mm=None), c.frame, 48)
    with pytest.raises(DataError, match="depth"):
        two.condition_maps([lacking], worn=False)


def test_a_worn_masks_relief_is_shown_and_a_faces_is_not(quick: DiffusionConfig, people: tuple[Face, Face]) -> None:
    opened, c = open_studio(quick), _crop(people)
    (bare,), (worn,) = (opened.condition_maps([c], worn=flag) for flag in (False, True))
    assert float((bare > 0).any(1).float().mean()) < 0.5  # curves on black
    assert float((worn - bare).abs().mean()) > 0.05


@pytest.mark.parametrize(
    ("missing", "message"),
    [(ADAPTER, ADAPTER), (IDENTITY_FOLDER, "no identity encoder"), ("unet", "unet")],
)
def test_what_a_models_folder_lacks_is_told(missing: str, message: str, copied: Path) -> None:
    target = copied / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(DataError, match=message):
        Studio(DiffusionConfig(model=str(copied)))


def test_a_model_without_a_controlnet_is_told(copied: Path) -> None:
    index = json.loads((copied / "model_index.json").read_text())
    del index["controlnet"]
    (copied / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match="no ControlNet"):
        Studio(DiffusionConfig(model=str(copied)))


def test_an_identity_of_another_width_is_told(copied: Path) -> None:
    save_identity(IdentityNet(24), copied / IDENTITY_FOLDER)
    with pytest.raises(ConfigError, match="makes 24 numbers\nwanted: the 16"):
        Studio(DiffusionConfig(model=str(copied)))


@pytest.mark.parametrize("identity", ["net", "clip:", "arcface:model.onnx"])
def test_identities_of_no_kind_are_told(identity: str, whole: Path) -> None:
    with pytest.raises(ConfigError, match="clip:SOURCE or onnx:FILE"):
        Studio(DiffusionConfig(model=str(whole), identity=identity))


def test_models_are_checked_without_being_loaded(
    copied: Path, quick: DiffusionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr("spooflab.generators.diffusion.pipeline._assemble", never)
    asked: list[int] = []
    monkeypatch.setattr(studio, "check_memory", lambda wanted, *_, **__: asked.append(wanted))
    check_models(quick)
    check_models(quick.model_copy(update={"offload": True}))
    check_models(quick.model_copy(update={"dtype": "bfloat16"}))
    assert len(asked) == 2
    assert asked[0] == 2 * asked[1] > 0
    (copied / ADAPTER).unlink()
    with pytest.raises(DataError, match=ADAPTER):
        check_models(DiffusionConfig(model=str(copied)))
    with pytest.raises(DataError, match="nowhere"):
        check_models(DiffusionConfig(model=str(copied / "nowhere")))


def test_the_picture_is_encoded_as_screens_show_it(people: tuple[Face, Face]) -> None:
    codes = encoded(people[0].replace(radiance=torch.tensor([0.0, 0.2140, 2.0]).expand(2, 3, 4, 3)))
    torch.testing.assert_close(codes[0, 0, 0], torch.tensor([0.0, 0.5, 1.0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("least", "wanted"), [(1, 1), (3, 4), (20, 20), (21, 25), (30, 40), (126, 200), (501, 1000), (5000, 1000)]
)
def test_even_steps(least: int, wanted: int) -> None:
    assert even_steps({"num_train_timesteps": 1000}, least) == wanted
