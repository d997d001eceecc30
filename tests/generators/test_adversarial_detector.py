"""The wrapper round a detector, the shipped one, and one from a transformers folder."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spooflab.errors import ConfigError
from spooflab.generators.adversarial.detector import Detector, weights_sha256
from spooflab.generators.adversarial.pretrained import load_pretrained
from spooflab.generators.adversarial.surrogate import PATH, SIZE, load_surrogate


class Mean(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(1.0, outputs + 1))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None] * self.scale


def test_normalisation_size_and_sign() -> None:
    detector = Detector(Mean(1), "mean", (8, 8), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), sign=-1.0)
    image = torch.full((2, 3, 20, 20), 0.75)
    torch.testing.assert_close(detector.score(image), torch.full((2,), -1.0))


def test_logits_become_the_log_odds_of_bona_fide() -> None:
    detector = Detector(Mean(3), "three", (8, 8), bonafide=1)
    logits = torch.tensor([0.5, 1.0, 1.5])
    odds = logits.softmax(0)[1]
    torch.testing.assert_close(detector.score(torch.full((1, 3, 8, 8), 0.5))[0], torch.log(odds / (1 - odds)))


@pytest.mark.parametrize("bonafide", [None, 3, -1])
def test_an_output_that_cannot_be_read_is_named(bonafide: int | None) -> None:
    with pytest.raises(ConfigError, match="output of shape"):
        Detector(Mean(3), "three", (8, 8), bonafide=bonafide).score(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("bad", [{"sign": 0.5}, {"size": (4, 4)}, {"std": (1.0, 0.0, 1.0)}, {"id": ""}])
def test_a_bad_description_is_refused(bad: dict[str, object]) -> None:
    fields: dict[str, object] = {"module": Mean(1), "id": "mean", "size": (8, 8), **bad}
    with pytest.raises(ConfigError, match="wanted"):
        Detector(**fields)  # type: ignore[arg-type]  # wrong on purpose


def test_the_hash_follows_every_weight() -> None:
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(nn.Linear(2, 2), norm)
    first = weights_sha256(model)
    assert first == weights_sha256(model)
    assert norm.running_mean is not None
    norm.running_mean[0] += 1e-6
    assert weights_sha256(model) != first


def test_the_shipped_detector_is_small_and_differentiable() -> None:
    assert PATH.stat().st_size < 400_000
    detector = load_surrogate()
    assert detector is load_surrogate()
    image = torch.rand(1, 3, 160, 160).requires_grad_()
    (gradient,) = torch.autograd.grad(detector.score(image).sum(), image)
    assert gradient.abs().max() > 0
    assert detector.size == (SIZE, SIZE)


def test_the_shipped_weights_are_the_logged_ones() -> None:
    log = Path(__file__).parents[2] / "examples" / "train_surrogate" / "log.json"
    record = json.loads(log.read_text())
    assert record["sha256"] == load_surrogate().weights_sha256
    assert record["held_out"]["auc"] > 0.9


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="surrogate"):
        load_surrogate(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ConfigError, match="surrogate"):
        load_surrogate(tmp_path / "text.safetensors")
    weights = load_file(PATH)
    save_file({**weights, "extra": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(ConfigError, match="extra"):
        load_surrogate(tmp_path / "more.safetensors")
    weights["head.bias"] = torch.full((1,), torch.nan)
    save_file(weights, tmp_path / "nan.safetensors")
    with pytest.raises(ConfigError, match="not finite"):
        load_surrogate(tmp_path / "nan.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ResNetConfig, ResNetForImageClassification

    root = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        layer_type="basic",
        num_labels=2,
        id2label={0: "spoof", 1: "live"},
        label2id={"spoof": 0, "live": 1},
    )
    ResNetForImageClassification(config).save_pretrained(root)
    preparation = {"size": {"height": 32, "width": 32}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    (root / "preprocessor_config.json").write_text(json.dumps(preparation))
    return root


def test_a_transformers_classifier_is_a_detector(folder: Path) -> None:
    by_name, by_index = (load_pretrained(folder, bonafide=label) for label in ("live", 1))
    spoof = load_pretrained(folder, bonafide="spoof")
    image = torch.rand(1, 3, 50, 50)
    assert by_name.size == (32, 32)
    assert by_name.mean == (0.4, 0.5, 0.6)
    assert torch.equal(by_name.score(image), by_index.score(image))
    torch.testing.assert_close(by_name.score(image), -spoof.score(image))
    assert by_name.weights_sha256 == spoof.weights_sha256


def test_a_classifier_that_will_not_do_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_pretrained(tmp_path, bonafide=0)
    for label in ("human", 2):
        with pytest.raises(ConfigError, match="bona fide class"):
            load_pretrained(folder, bonafide=label)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ConfigError, match="safetensors"):
        load_pretrained(tmp_path, bonafide=0)
