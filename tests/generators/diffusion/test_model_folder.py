"""A model's folder is understood without loading it, and one that could run code or is torn is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

from spooflab.cli.main import run
from spooflab.errors import DataError
from spooflab.generators.diffusion import read_model_folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def _index(folder: Path, **changes: object) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | changes))


def test_parts_and_parameters_are_those_that_diffusers_loads(saved: Path) -> None:
    folder = read_model_folder(saved)
    pipeline = DiffusionPipeline.from_pretrained(saved, use_safetensors=True, local_files_only=True)
    assert folder.class_name == type(pipeline).__name__
    loaded = {k: v for k, v in pipeline.components.items() if isinstance(v, torch.nn.Module)}
    assert {part.name: part.parameters for part in folder.parts if part.weights} == {
        name: sum(p.numel() for p in module.parameters()) for name, module in loaded.items()
    }
    assert {part.name for part in folder.parts} == {k for k, v in pipeline.components.items() if v is not None}
    assert folder.bytes_as("float32") == 2 * folder.bytes_as("bfloat16") == 4 * folder.parameters
    assert folder.licence == "cc0-1.0"


def test_one_model_is_a_folder_too(saved: Path) -> None:
    unet = read_model_folder(saved / "unet")
    assert unet.class_name == "UNet2DConditionModel"
    assert unet.licence == ""
    assert unet.parameters == next(p.parameters for p in read_model_folder(saved).parts if p.name == "unet")
    text = read_model_folder(saved / "text_encoder")
    assert text.class_name == "CLIPTextModel"


def test_a_variant_is_taken_where_there_is_one(copied: Path) -> None:
    small = {"weight": torch.zeros(3, 5, dtype=torch.float16)}
    save_file(small, copied / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    plain, half = read_model_folder(copied), read_model_folder(copied, variant="fp16")
    assert {p.name: p.parameters for p in half.parts} == {p.name: p.parameters for p in plain.parts} | {"unet": 15}


def test_shards_count_together(copied: Path) -> None:
    file = copied / "vae" / "diffusion_pytorch_model.safetensors"
    before = read_model_folder(copied).parameters
    file.rename(file.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
    save_file({"more": torch.zeros(7)}, file.with_name("diffusion_pytorch_model-00002-of-00002.safetensors"))
    assert read_model_folder(copied).parameters == before + 7


def test_the_digest_tells_models_apart_and_ignores_where_they_lie(saved: Path, copied: Path) -> None:
    assert read_model_folder(copied).digest == read_model_folder(saved).digest
    (copied / "README.md").write_text("another card")
    assert read_model_folder(copied).digest == read_model_folder(saved).digest
    _index(copied, note="another index")
    assert read_model_folder(copied).digest != read_model_folder(saved).digest


def test_weights_that_may_run_code_are_no_weights(copied: Path) -> None:
    file = copied / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(DataError, match=r"only diffusion_pytorch_model.bin, which may run code"):
        read_model_folder(copied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unet": ["my_unet", "MyUNet"]}, "code of the model's own"),
        ({"unet": ["..", "UNet"]}, "code of the model's own"),
        ({"../unet": ["diffusers", "UNet2DConditionModel"]}, "wanted: a name with its library"),
        ({"unet": ["diffusers"]}, "wanted: a name with its library"),
        ({"controlnet": ["diffusers", "ControlNetModel"]}, "no folder controlnet"),
        ({"_class_name": ["my_pipeline", "MyPipeline"]}, "one class of diffusers"),
    ],
)
def test_an_index_that_names_what_is_not_there_or_would_run_code(
    copied: Path, changes: dict[str, object], message: str
) -> None:
    _index(copied, **changes)
    with pytest.raises(DataError, match=message):
        read_model_folder(copied)


def test_parts_that_diffusers_ships_with_a_pipeline_are_known(copied: Path) -> None:
    _index(copied, safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    with pytest.raises(DataError, match="no folder safety_checker"):
        read_model_folder(copied)


def test_torn_files_are_named(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither"):
        read_model_folder(tmp_path)
    file = copied / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="no whole safetensors"):
        read_model_folder(copied)
    (copied / "model_index.json").write_text("{")
    with pytest.raises(DataError, match=r"model_index\.json cannot be read"):
        read_model_folder(copied)
    (copied / "model_index.json").write_text("[1]")
    with pytest.raises(DataError, match="holds a list"):
        read_model_folder(copied)


def test_the_command_shows_it(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diffusion", "show", str(saved), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    folder = read_model_folder(saved)
    assert (facts["sha256"], facts["parameters"], facts["licence"]) == (folder.digest, folder.parameters, "cc0-1.0")
    assert run(["diffusion", "show", str(saved)]) == 0
    assert "StableDiffusionPipeline" in capsys.readouterr().out
    assert run(["diffusion", "show", str(saved / "nowhere")]) == 2
    assert "not a folder" in capsys.readouterr().err
