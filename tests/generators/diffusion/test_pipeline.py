"""What is loaded, and what is refused before the first weight is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import pipeline
from spooflab.generators.diffusion.model_folder import read_model_folder
from spooflab.generators.diffusion.model_source import parse_source
from spooflab.generators.diffusion.pipeline import load_pipeline


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(pipeline, "_assemble", never)


def _changed(folder: Path, copy: Path, part: str, **changes: Any) -> Path:
    shutil.copytree(folder, copy)
    file = copy / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return copy


@pytest.mark.slow
def test_the_unet_and_the_controlnets_choose_the_pipeline(
    saved: Path, saved_xl: Path, saved_zero_snr: Path, controlnet: Callable[..., Path], tmp_path: Path
) -> None:
    net = parse_source(str(controlnet(tmp_path / "net", saved, seed=0)))
    wanted = [
        (saved, [], diffusers.StableDiffusionImg2ImgPipeline, False, ()),
        (saved, [net], diffusers.StableDiffusionControlNetImg2ImgPipeline, False, (3,)),
        (saved_xl, [], diffusers.StableDiffusionXLImg2ImgPipeline, False, ()),
        (saved_zero_snr, [], diffusers.StableDiffusionControlNetInpaintPipeline, True, (4,)),
    ]
    for folder, nets, kind, inpainting, channels in wanted:
        loaded = load_pipeline(parse_source(str(folder)), nets, offload=True)  # on a CPU nothing is offloaded
        assert type(loaded.pipeline) is kind
        assert (loaded.inpainting, loaded.condition_channels) == (inpainting, channels)
        assert loaded.models[0] == f"{folder} sha256:{read_model_folder(folder).digest}"
        assert type(loaded.pipeline.scheduler).__name__ in ("DDIMScheduler", "EulerDiscreteScheduler")


def test_an_inpainting_model_without_controlnet(saved_zero_snr: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved_zero_snr, folder)
    index = json.loads((folder / "model_index.json").read_text())
    del index["controlnet"]
    (folder / "model_index.json").write_text(json.dumps(index))
    loaded = load_pipeline(parse_source(str(folder)), dtype="bfloat16")
    assert type(loaded.pipeline) is diffusers.StableDiffusionInpaintPipeline
    assert loaded.pipeline.unet.dtype == loaded.pipeline.vae.dtype == torch.bfloat16


@pytest.mark.usefixtures("nothing_is_read")
def test_models_that_are_none_of_the_kinds(saved: Path, saved_zero_snr: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Stable Diffusion 1\.5"):
        load_pipeline(parse_source(str(saved / "unet")))
    with pytest.raises(DataError, match="not a folder"):
        load_pipeline(parse_source(str(tmp_path / "none")))
    eight = _changed(saved, tmp_path / "eight", "unet", in_channels=8)
    with pytest.raises(ConfigError, match="a UNet of 8 input channels"):
        load_pipeline(parse_source(str(eight)))
    index = json.loads((saved / "model_index.json").read_text())
    del index["vae"]
    bare = tmp_path / "bare"
    shutil.copytree(saved, bare)
    (bare / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="has no vae"):
        load_pipeline(parse_source(str(bare)))
    for content, message in (("[1]", "holds a list"), ("{", "cannot be read")):
        (eight / "unet" / "config.json").write_text(content)
        with pytest.raises(DataError, match=message):
            load_pipeline(parse_source(str(eight)))


@pytest.mark.usefixtures("nothing_is_read")
@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"in_channels": 9}, DataError, "takes 9 channels"),
        ({"conditioning_embedding_out_channels": [4, 4, 4, 4]}, DataError, "(?s)shrinks its picture by 8.*wanted: 4"),
        ({"cross_attention_dim": 16}, DataError, "reads words of 16 numbers"),
        ({"_class_name": "UNet2DConditionModel"}, ConfigError, "a ControlNetModel"),
    ],
)
def test_controlnets_that_do_not_fit(
    saved_zero_snr: Path, tmp_path: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    folder = _changed(saved_zero_snr, tmp_path / "model", "controlnet", **changes)
    with pytest.raises(kind, match=message):
        load_pipeline(parse_source(str(folder)))
    with pytest.raises(kind, match=message):
        load_pipeline(parse_source(str(saved_zero_snr)), [parse_source(str(folder / "controlnet"))])


@pytest.mark.usefixtures("nothing_is_read")
def test_memory_is_asked_for_what_is_loaded(saved_zero_snr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(pipeline, "check_memory", lambda wanted, *_, **__: asked.append(wanted))
    folder = read_model_folder(saved_zero_snr)
    own = [parse_source(str(saved_zero_snr / "controlnet"))]
    for nets in ([], own):
        with pytest.raises(AssertionError, match="a weight was read"):
            load_pipeline(parse_source(str(saved_zero_snr)), nets, dtype="bfloat16")
    assert asked == [folder.parameters * 2] * 2
