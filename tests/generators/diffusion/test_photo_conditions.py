"""Depth and segmentation are what transformers' own pipelines say, in the colours that ControlNets expect."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import memory, parse_source
from spooflab.generators.diffusion.label_palette import palette_of
from spooflab.generators.diffusion.photo_conditions import DepthEstimator, Segmenter
from spooflab.generators.diffusion.transformers_model import codes

ADE20K_STARTS = ["wall", "building, edifice", "sky", *(f"class {k}" for k in range(3, 12)), "person", *("x",) * 137]


@pytest.fixture(scope="module")
def dpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DPT in the real format, of a few thousand random weights."""
    torch.manual_seed(0)
    config = transformers.DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, is_hybrid=False,
        initializer_range=0.5,
    )  # fmt: skip
    return _saved(transformers.DPTForDepthEstimation(config), "DPT", tmp_path_factory.mktemp("dpt"), 32)


@pytest.fixture(scope="module")
def anything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The like of a Depth Anything that gives metres."""
    torch.manual_seed(1)
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
        initializer_range=0.25,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, patch_size=14, neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type="metric", max_depth=20, initializer_range=0.25,
    )  # fmt: skip
    return _saved(transformers.DepthAnythingForDepthEstimation(config), "DPT", tmp_path_factory.mktemp("any"), 28)


@pytest.fixture(scope="module")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 8], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=8, initializer_range=0.5,
        id2label=dict(enumerate(ADE20K_STARTS)),
    )  # fmt: skip
    return _saved(
        transformers.SegformerForSemanticSegmentation(config), "Segformer", tmp_path_factory.mktemp("seg"), 32
    )


def _saved(network: Any, processor: str, folder: Path, side: int) -> Path:
    network.save_pretrained(folder)
    getattr(transformers, f"{processor}ImageProcessorPil")(size={"height": side, "width": side}).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    return folder


def _pictures(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 40, 56, generator=torch.Generator().manual_seed(4))


def _pipeline(task: str, folder: Path) -> Any:
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return transformers.pipeline(task, model=str(folder), image_processor=processor, device="cpu")


def _as_files(pictures: Tensor) -> list[Image.Image]:
    return [Image.fromarray(row) for row in codes(pictures)]


def _ranged(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min())


def test_depth_is_what_the_pipeline_says(dpt: Path) -> None:
    estimator = DepthEstimator.load(parse_source(str(dpt)), batch=2)
    made = estimator.map(_pictures())
    assert (made.shape, made.dtype) == ((3, 3, 40, 56), torch.float32)
    for grey, said in zip(made, _pipeline("depth-estimation", dpt)(_as_files(_pictures())), strict=True):
        torch.testing.assert_close(grey[0], _ranged(said["predicted_depth"]), atol=1e-4, rtol=0)
        drawn = np.asarray(said["depth"], np.float32) / 255
        assert float(np.abs(grey[1].numpy() - drawn).max()) < 1.1 / 255
    assert (estimator.gives, estimator.licence) == ("inverse_depth", "cc0-1.0")
    assert estimator.model.startswith(f"{dpt} sha256:")


def test_a_model_of_metres_is_turned_about(anything: Path) -> None:
    estimator = DepthEstimator.load(parse_source(str(anything)))
    assert estimator.gives == "depth"
    grey = estimator.map(_pictures(1))[0, 0]
    metres = _pipeline("depth-estimation", anything)(_as_files(_pictures(1)))[0]["predicted_depth"]
    assert float(metres.min()) > 1
    assert float(torch.corrcoef(torch.stack([grey.flatten(), metres.flatten().reciprocal()]))[0, 1]) > 0.99
    plain = DepthEstimator.load(parse_source(str(anything)), gives="inverse_depth").map(_pictures(1))[0, 0]
    torch.testing.assert_close(plain, _ranged(metres), atol=1e-4, rtol=0)


def test_classes_are_those_of_the_pipeline(segformer: Path) -> None:
    segmenter = Segmenter.load(parse_source(str(segformer)), batch=2)
    classes = segmenter.classes(_pictures())
    assert (classes.shape, classes.dtype) == ((3, 1, 40, 56), torch.int64)
    assert segmenter.labels == tuple(ADE20K_STARTS)
    said = _pipeline("image-segmentation", segformer)(_as_files(_pictures()), subtask="semantic")
    for row, found in zip(classes, said, strict=True):
        drawn = torch.full((40, 56), -1)
        names = np.array(ADE20K_STARTS)[row[0].numpy()]
        for part in found:
            inside = np.asarray(part["mask"]) > 0
            drawn[torch.from_numpy(inside)] = 0
            assert (names[inside] == part["label"]).mean() > 0.999
        assert int(drawn.min()) == 0
    assert len(classes.unique()) > 3
    colours = segmenter.map(_pictures())
    assert torch.equal(colours, palette_of(ADE20K_STARTS)[classes[:, 0]].permute(0, 3, 1, 2))


def test_ade20k_has_its_own_colours_and_other_sets_those_of_voc() -> None:
    ade = palette_of(ADE20K_STARTS).mul(255).round().int().tolist()
    # Wall, sky, person and the last class, flag, as every description of the data set draws them.
    assert [ade[k] for k in (0, 2, 12, 149)] == [[120, 120, 120], [6, 230, 230], [150, 5, 61], [92, 0, 255]]
    assert len({tuple(colour) for colour in ade}) == 149
    voc = palette_of([f"class {k}" for k in range(300)]).mul(255).round().int().tolist()
    # Background, aeroplane, bicycle, person and monitor in the development kit.
    assert [voc[k] for k in (0, 1, 2, 15, 20)] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128]]
    assert len({tuple(colour) for colour in voc}) == 300
    assert palette_of(["wall", "building", "sky"]).mul(255).int().tolist() == voc[:3]


def test_rows_do_not_depend_on_each_other(dpt: Path, segformer: Path) -> None:
    estimator, segmenter = DepthEstimator.load(parse_source(str(dpt))), Segmenter.load(parse_source(str(segformer)))
    torch.testing.assert_close(estimator.map(_pictures())[1:2], estimator.map(_pictures()[1:2]), atol=1e-4, rtol=0)
    same = segmenter.classes(_pictures())[1:2] == segmenter.classes(_pictures()[1:2])
    assert float(same.float().mean()) > 0.999
    assert torch.equal(estimator.map(_pictures()), estimator.map(_pictures()))


def test_half_precision_is_near(dpt: Path) -> None:
    full = DepthEstimator.load(parse_source(str(dpt))).map(_pictures())
    half = DepthEstimator.load(parse_source(str(dpt)), dtype="bfloat16").map(_pictures())
    assert 0 < float((full - half).abs().mean()) < 0.05


def test_a_model_of_the_hub_loads_from_its_cache_and_draws_nothing(dpt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def snapshot(repository: str, *, revision: str, allow_patterns: Sequence[str], local_files_only: bool) -> str:
        asked.append({"repository": repository, "revision": revision, "local": local_files_only})
        return str(dpt)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    state = torch.get_rng_state()
    estimator = DepthEstimator.load(parse_source(f"hub:owner/depth@{'c' * 40}"))
    assert torch.equal(torch.get_rng_state(), state)
    assert asked == [{"repository": "owner/depth", "revision": "c" * 40, "local": True}]
    assert estimator.model.startswith(f"hub:owner/depth@{'c' * 40} sha256:")
    assert torch.equal(estimator.map(_pictures()), DepthEstimator.load(parse_source(str(dpt))).map(_pictures()))


def test_weights_that_published_files_lack_are_not_missed(dpt: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dpt, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    fewer = {k: v for k, v in weights.items() if not k.startswith("neck.fusion_stage.layers.0.residual_layer1.")}
    assert len(fewer) < len(weights)
    save_file(fewer, folder / "model.safetensors", metadata={"format": "pt"})
    state = torch.get_rng_state()
    made = DepthEstimator.load(parse_source(str(folder))).map(_pictures())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(made, DepthEstimator.load(parse_source(str(dpt))).map(_pictures()))


def test_models_of_another_task_are_refused(dpt: Path, segformer: Path, saved: Path) -> None:
    with pytest.raises(ConfigError, match="is a SegformerForSemanticSegmentation"):
        DepthEstimator.load(parse_source(str(segformer)))
    with pytest.raises(ConfigError, match=r"is a DPTForDepthEstimation(.|\n)*SegformerForSemanticSegmentation"):
        Segmenter.load(parse_source(str(dpt)))
    with pytest.raises(ConfigError, match="is a StableDiffusionPipeline"):
        Segmenter.load(parse_source(str(saved)))


@pytest.mark.parametrize(
    "named",
    [
        {"feature_extractor_type": "SegformerFeatureExtractor"},
        {"image_processor_type": "SegformerImageProcessor"},
        {"image_processor_type": "SegformerImageProcessorFast"},
    ],
)
def test_processors_of_any_age_resample_alike(segformer: Path, tmp_path: Path, named: dict[str, str]) -> None:
    folder = Path(shutil.copytree(segformer, tmp_path / "model"))
    (folder / "preprocessor_config.json").write_text(json.dumps({**named, "size": {"height": 32, "width": 32}}))
    made = Segmenter.load(parse_source(str(folder))).classes(_pictures())
    assert torch.equal(made, Segmenter.load(parse_source(str(segformer))).classes(_pictures()))


def test_labels_with_gaps_are_told(segformer: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(segformer, tmp_path / "model"))
    _change(folder, id2label={str(k + (k == 149)): f"class {k}" for k in range(150)})
    with pytest.raises(DataError, match="wanted: 0, 1, 2"):
        Segmenter.load(parse_source(str(folder)))


def _change(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_damaged_folders_are_told(dpt: Path, tmp_path: Path) -> None:
    def spoilt(name: str) -> Path:
        return Path(shutil.copytree(dpt, tmp_path / name))

    folder = spoilt("processor")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(DataError, match="no image processor"):
        DepthEstimator.load(parse_source(str(folder)))
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "MyImageProcessor"}')
    _change(folder, model_type="dpt2")
    with pytest.raises(DataError, match="transformers cannot load it"):
        DepthEstimator.load(parse_source(str(folder)))
    folder = spoilt("torn")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="no whole safetensors"):
        DepthEstimator.load(parse_source(str(folder)))
    file.rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"only pytorch_model.bin, which may run code"):
        DepthEstimator.load(parse_source(str(folder)))
    folder = spoilt("headless")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith("head.")}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(DataError, match=r"6 weights are missing: head\."):
        DepthEstimator.load(parse_source(str(folder)))
    folder = spoilt("shapes")
    _change(folder, fusion_hidden_size=16)
    with pytest.raises(DataError, match="transformers cannot load it"):
        DepthEstimator.load(parse_source(str(folder)))


@pytest.mark.parametrize("key", ["quantization_config", "transformers_weights"])
def test_configurations_that_lead_elsewhere_are_refused(dpt: Path, tmp_path: Path, key: str) -> None:
    folder = Path(shutil.copytree(dpt, tmp_path / "model"))
    _change(folder, **{key: "adapter_model.bin"})
    with pytest.raises(DataError, match=key):
        DepthEstimator.load(parse_source(str(folder)))
    _change(folder, **{key: None})
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/other"}')
    with pytest.raises(DataError, match="names another model"):
        DepthEstimator.load(parse_source(str(folder)))


def test_code_of_the_models_own_is_never_run(dpt: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dpt, tmp_path / "model"))
    mark = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Mine: pass\n")
    _change(folder, auto_map={"AutoModelForDepthEstimation": "own.Mine", "AutoConfig": "own.Mine"})
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    processor["auto_map"] = {"AutoImageProcessor": "own.Mine"}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    DepthEstimator.load(parse_source(str(folder)))
    _change(folder, model_type="mine")
    with pytest.raises(DataError, match="transformers cannot load it"):
        DepthEstimator.load(parse_source(str(folder)))
    assert not mark.exists()


def test_memory_is_asked_first(dpt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 100)
    with pytest.raises(ConfigError, match=r"cpu has 0\.00 GB free"):
        DepthEstimator.load(parse_source(str(dpt)))


def test_pictures_that_are_none(dpt: Path, segformer: Path) -> None:
    estimator = DepthEstimator.load(parse_source(str(dpt)))
    for wrong, message in (
        (torch.zeros(3, 8, 8), "pictures"),
        (torch.zeros(0, 3, 8, 8), "pictures"),
        (torch.full((1, 3, 8, 8), 255.0), "from 255.0"),
        (torch.full((1, 3, 8, 8), torch.nan), "sRGB codes"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.float64), "float64"),
    ):
        with pytest.raises(DataError, match=message):
            estimator.map(wrong)
    with pytest.raises(ConfigError, match="batch is 0"):
        Segmenter.load(parse_source(str(segformer)), batch=0)
    assert not estimator.map(torch.zeros(1, 3, 8, 8)).isnan().any()
