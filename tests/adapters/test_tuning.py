"""Frozen backbones stay as they are, low-rank updates begin at nothing, and models come back from their files."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, Dinov2Config, Dinov2Model

from spooflab.adapters import BackboneConfig, TrainConfig, fit, load_model, predict_scores
from spooflab.adapters.backbones import build_backbone
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.tuning import tune
from spooflab.errors import ConfigError

VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def images() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def vit(tuning: str, **more: object) -> dict:
    return {"name": "vit-tiny", "options": VIT, "tuning": tuning, **more}


def training(backbone: dict, **more: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {"backbone": backbone, "size": 32, "steps": 6, "batch_size": 8, "eval_every": 3, "lr": 3e-3, "device": "cpu"}
        | more
    )


def test_a_frozen_backbone_neither_learns_nor_changes_what_it_does():
    model = build_algorithm(
        training({"options": {"embedding_size": 8, "hidden_sizes": [8] * 4}, "tuning": "frozen"}), num_domains=3
    ).train()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    first = model.backbone(images())
    assert not first.requires_grad
    assert torch.equal(first, model.eval().backbone(images()))
    model.train()
    after = model.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())  # batch norm's statistics as well
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}


def test_images_have_gradients_through_a_frozen_backbone():
    model = build_algorithm(training(vit("frozen")), num_domains=3)
    seen = images().requires_grad_()
    model.logits(seen).sum().backward()
    assert seen.grad is not None
    assert float(seen.grad.abs().max()) > 0


def test_updates_begin_at_nothing_and_alone_learn():
    plain = build_backbone(BackboneConfig.model_validate(vit("full")), 32).eval()
    torch.manual_seed(0)
    updated = build_backbone(BackboneConfig.model_validate(vit("full")), 32).eval()
    tune(updated, BackboneConfig.model_validate(vit("lora", lora_rank=3)))
    torch.testing.assert_close(updated(images()), plain(images()))
    learns = {name: p for name, p in updated.named_parameters() if p.requires_grad}
    assert len(learns) == 2 * 2 * 2  # A and B of query and value, in two layers
    assert all("lora_" in name for name in learns)
    assert {min(p.shape) for p in learns.values()} == {3}


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_a_model_trained_so_comes_back_from_its_files(tuning: str, toy, tmp_path: Path):
    dev = toy(12, root=1)
    result = fit(training(vit(tuning)), train=toy(24), dev=dev, seed=1, out=tmp_path)
    again = load_model(tmp_path)
    assert (predict_scores(again, dev) == predict_scores(result.model, dev)).all()


def test_towers_of_clip_and_dino_are_read_from_folders(tmp_path: Path):
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
    text = CLIPTextConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    clip = CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=CLIPVisionConfig(**small, intermediate_size=16).to_dict())
    )
    dino = Dinov2Model(Dinov2Config(**small)).eval()
    for name, model in (("clip", clip.eval()), ("dino", dino)):
        model.save_pretrained(tmp_path / name)
        config = BackboneConfig.model_validate({"name": str(tmp_path / name), "tuning": "lora", "lora_rank": 2})
        backbone = tune(build_backbone(config, 32), config).eval()
        pixels = (images() - backbone.mean) / backbone.deviation
        tower = clip.vision_model if name == "clip" else dino
        torch.testing.assert_close(backbone(images()), tower(pixel_values=pixels).pooler_output, atol=1e-5, rtol=1e-4)
        assert sum(p.requires_grad for p in backbone.parameters()) == 8


def test_convolutions_have_no_queries():
    with pytest.raises(ConfigError, match="no attention"):
        build_algorithm(training({"tuning": "lora"}), num_domains=2)
