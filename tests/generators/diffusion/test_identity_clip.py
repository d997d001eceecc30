"""CLIP's vector of a head is what transformers computes of the upright square round it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import parse_source
from spooflab.generators.diffusion.identity_clip import ClipIdentity, head_frame
from spooflab.generators.face_net.frame import crop
from spooflab.generators.faces.landmarks import MEAN_HEAD

TINY = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vision half of a CLIP as IP-Adapters come with it: no image processor."""
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(**TINY, image_size=32, patch_size=8, projection_dim=6, initializer_range=0.5)
    folder = tmp_path_factory.mktemp("clip")
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP, as it is published, with an image processor of its own numbers."""
    torch.manual_seed(1)
    config = transformers.CLIPConfig(
        text_config={**TINY, "vocab_size": 9, "bos_token_id": 0, "eos_token_id": 1, "projection_dim": 6},
        vision_config={**TINY, "image_size": 32, "patch_size": 8, "projection_dim": 6, "initializer_range": 0.5},
        projection_dim=6,
    )
    folder = tmp_path_factory.mktemp("whole")
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size=32, image_mean=[0.1, 0.2, 0.3], image_std=[0.9, 0.8, 0.7]
    ).save_pretrained(folder)
    return folder


def _faces() -> tuple[Tensor, Tensor]:
    coarse = torch.rand(3, 3, 25, 30, generator=torch.Generator().manual_seed(6))
    pictures = torch.nn.functional.interpolate(coarse, (200, 240), mode="bilinear").clamp(0, 1)
    rows = []
    for x, y, eyes, roll in ((100, 90, 42, 0.2), (130, 100, 30, -0.6), (110, 95, 36, 0.0)):
        turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        rows.append(torch.from_numpy(MEAN_HEAD[:, :2] @ turn.T * eyes + (x, y)).float())
    return pictures, torch.stack(rows)


def _wanted(folder: Path, processor: Any) -> Tensor:
    """As transformers' documentation says: pictures through the processor, then the model."""
    pictures, landmarks = _faces()
    squares = [crop(p[None], head_frame(points), 32)[0] for p, points in zip(pictures, landmarks, strict=True)]
    files = [Image.fromarray((s * 255).round().byte().permute(1, 2, 0).numpy()) for s in squares]
    network = transformers.CLIPVisionModelWithProjection.from_pretrained(folder)
    with torch.no_grad():
        return network(**processor(images=files, return_tensors="pt")).image_embeds


def test_the_square_is_upright_and_the_face_takes_seven_tenths() -> None:
    for points in _faces()[1]:
        frame = head_frame(points)
        inside = frame.from_picture(points)
        eyes = inside[42:48].mean(0) - inside[36:42].mean(0)
        assert abs(float(eyes[1])) < 1e-4
        spans, middle = inside.amax(0) - inside.amin(0), (inside.amax(0) + inside.amin(0)) / 2
        assert float(torch.maximum(spans[0], 1.1 * spans[1])) == pytest.approx(0.7, abs=1e-4)
        torch.testing.assert_close(middle, torch.full((2,), 0.5), atol=1e-4, rtol=0)


def test_without_a_processor_it_is_the_standard_one(encoder_folder: Path) -> None:
    encoder = ClipIdentity.load(parse_source(str(encoder_folder)), batch=2)
    made = encoder.embed(*_faces())
    assert (encoder.width, made.shape, made.dtype) == (6, (3, 6), torch.float32)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    torch.testing.assert_close(made, _wanted(encoder_folder, processor), atol=1e-4, rtol=1e-4)
    assert encoder.licence == "mit"
    assert encoder.model.startswith(f"{encoder_folder} sha256:")


def test_a_whole_clip_with_its_own_processor(whole_folder: Path) -> None:
    encoder = ClipIdentity.load(parse_source(str(whole_folder)))
    processor = transformers.AutoImageProcessor.from_pretrained(whole_folder, backend="pil")
    assert list(processor.image_mean) == [0.1, 0.2, 0.3]
    torch.testing.assert_close(encoder.embed(*_faces()), _wanted(whole_folder, processor), atol=1e-4, rtol=1e-4)


def test_a_turned_picture_of_a_head_has_the_same_vector(encoder_folder: Path) -> None:
    encoder = ClipIdentity.load(parse_source(str(encoder_folder)))
    pictures, landmarks = _faces()
    turned = torch.stack([200 - landmarks[..., 1], landmarks[..., 0]], -1)  # a quarter, clockwise
    made, again = encoder.embed(pictures, landmarks), encoder.embed(pictures.rot90(-1, (2, 3)).contiguous(), turned)
    # Pixels are pooled on another grid, no more.
    assert float(((again - made).norm(dim=1) / made.norm(dim=1)).max()) < 0.05
    assert float((made[0] - made[1]).norm() / made[0].norm()) > 0.1


def test_rows_and_settings(encoder_folder: Path, tmp_path: Path) -> None:
    encoder = ClipIdentity.load(parse_source(str(encoder_folder)))
    pictures, landmarks = _faces()
    made = encoder.embed(pictures, landmarks)
    torch.testing.assert_close(encoder.embed(pictures[1:2], landmarks[1:2]), made[1:2], atol=1e-4, rtol=1e-4)
    assert torch.equal(encoder.embed(pictures, landmarks), made)
    shutil.copytree(encoder_folder, tmp_path / "models" / "image_encoder")
    inner = ClipIdentity.load(parse_source(str(tmp_path)), subfolder="models/image_encoder", dtype="bfloat16")
    assert inner.model.startswith(f"{tmp_path}/models/image_encoder sha256:")
    assert 0 < float((inner.embed(pictures, landmarks) - made).norm() / made.norm()) < 0.1


def test_what_is_no_clip_is_refused(encoder_folder: Path, saved: Path, tmp_path: Path) -> None:
    source = parse_source(str(saved))
    with pytest.raises(ConfigError, match=r"is a CLIPTextModel(.|\n)*CLIPModel, CLIPVisionModelWithProjection"):
        ClipIdentity.load(source, subfolder="text_encoder")
    for wrong in ("../clip", "/etc", "a/../../b", "c:\\models"):
        with pytest.raises(ConfigError, match="within the model's"):
            ClipIdentity.load(source, subfolder=wrong)
    with pytest.raises(DataError, match="neither"):
        ClipIdentity.load(source, subfolder="nowhere")
    with pytest.raises(ConfigError, match="batch is 0"):
        ClipIdentity.load(source, batch=0)
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "model"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "CLIPImageProcessor"})[:-5])
    with pytest.raises(DataError, match="image processor"):
        ClipIdentity.load(parse_source(str(folder)))


def test_bad_faces(encoder_folder: Path) -> None:
    encoder = ClipIdentity.load(parse_source(str(encoder_folder)))
    pictures, landmarks = _faces()
    with pytest.raises(DataError, match="landmarks"):
        encoder.embed(pictures[:1], landmarks)
    with pytest.raises(DataError, match="face 1"):
        encoder.embed(pictures, landmarks + torch.tensor([0.0, 1e3, 0.0])[:, None, None])
