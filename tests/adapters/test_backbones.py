"""Backbones from presets, folders and names that are neither."""

import json
from pathlib import Path

import pytest
import torch

from spooflab.adapters import PRESETS, BackboneConfig
from spooflab.adapters.backbones import build_backbone, describe_backbone, rebuild_backbone
from spooflab.errors import ConfigError, DataError

TINY = {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}


@pytest.fixture(autouse=True)
def _offline_with_own_rng(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def images(size: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_give_features_and_stages(name: str):
    backbone = build_backbone(BackboneConfig(name=name), 64)
    features = backbone(images())
    assert features.shape == (2, backbone.dim)
    assert len(backbone.stages) >= 4
    features.sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())


def test_the_input_is_normalised_inside():
    backbone = build_backbone(BackboneConfig(options=TINY), 64).eval()
    seen: list[torch.Tensor] = []
    backbone.model.embedder.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    backbone(images())
    torch.testing.assert_close(seen[0], (images() - 0.5) / 0.25)


@pytest.mark.parametrize("name", PRESETS)
def test_stage_changes_act_while_open_and_leave_nothing(name: str):
    backbone = build_backbone(BackboneConfig(name=name), 64).eval()
    plain = backbone(images())
    shapes: dict[int, torch.Size] = {}

    def note(features: torch.Tensor) -> torch.Tensor:
        shapes[0] = features.shape
        return features + torch.linspace(0, 3, features[0].numel()).view_as(features[0])

    with backbone.after_stages({0: note}):
        changed = backbone(images())
    assert shapes[0][0] == 2
    assert not torch.allclose(plain, changed)
    assert torch.equal(plain, backbone(images()))


@pytest.mark.parametrize("name", ["resnet-tiny", "vit-tiny"])
def test_a_local_folder_gives_the_same_features(name: str, tmp_path: Path):
    original = build_backbone(BackboneConfig(name=name), 64).eval()
    original.model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    loaded = build_backbone(BackboneConfig(name=str(tmp_path)), 64).eval()
    torch.testing.assert_close(original(images()), loaded(images()))


def test_the_description_rebuilds_the_network():
    original = build_backbone(BackboneConfig(name="convnext-tiny"), 64).eval()
    copy = rebuild_backbone(json.loads(json.dumps(describe_backbone(original))), 64).eval()
    copy.load_state_dict(original.state_dict())
    assert torch.equal(original(images()), copy(images()))


def test_pickled_weights_are_refused(tmp_path: Path):
    backbone = build_backbone(BackboneConfig(options=TINY), 64)
    backbone.model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(backbone.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        build_backbone(BackboneConfig(name=str(tmp_path)), 64)


def test_incomplete_weights_are_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    build_backbone(BackboneConfig(options=TINY), 64).model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop("encoder.stages.0.layers.0.layer.0.convolution.weight")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="1 weights missing"):
        build_backbone(BackboneConfig(name=str(tmp_path)), 64)


def test_a_hub_id_that_is_not_here_says_what_to_do_offline():
    with pytest.raises(ConfigError, match="nobody/no-model") as error:
        build_backbone(BackboneConfig(name="nobody/no-model", revision="0" * 40), 64)
    assert "offline" in error.value.next_step
    assert "resnet-tiny" in error.value.next_step


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "0" * 12, "A" * 40, "0" * 40 + "\n"])
def test_a_hub_id_wants_one_full_commit(revision: str | None):
    with pytest.raises(ConfigError, match=r"backbone\.revision .*names no full commit") as error:
        build_backbone(BackboneConfig(name="nobody/no-model", revision=revision), 64)
    assert "40 hexadecimal digits" in error.value.wanted
    assert "model_info('nobody/no-model').sha" in error.value.next_step


def test_presets_and_folders_have_no_revision(tmp_path: Path):
    for name in ("resnet-tiny", str(tmp_path)):
        with pytest.raises(ConfigError, match=r"backbone\.revision .*which is a (preset|folder)"):
            build_backbone(BackboneConfig(name=name, revision="0" * 40), 64)


def test_a_hub_id_is_read_at_its_commit_and_no_code_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    original = build_backbone(BackboneConfig(options=TINY), 64).eval()
    original.model.save_pretrained(tmp_path)
    asked: list[dict[str, object]] = []

    def snapshot(repository: str, **options: object) -> str:
        asked.append({"repository": repository, **options})
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    commit = "0123456789abcdef" * 2 + "01234567"
    loaded = build_backbone(BackboneConfig(name="owner/model", revision=commit), 64).eval()
    (ask,) = asked
    assert (ask["repository"], ask["revision"]) == ("owner/model", commit)
    taken = [pattern for pattern in ask["allow_patterns"] if not pattern.endswith((".json", ".safetensors"))]  # type: ignore[attr-defined]  # a list
    assert taken == ["model.safetensors*"]
    own, seen = original.model.state_dict(), loaded.model.state_dict()
    assert own.keys() == seen.keys()
    assert all(torch.equal(own[name], seen[name]) for name in own)


def test_a_folder_that_leads_to_another_model_is_refused(tmp_path: Path):
    build_backbone(BackboneConfig(options=TINY), 64).model.save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/other"}')
    with pytest.raises(DataError, match="names another model"):
        build_backbone(BackboneConfig(name=str(tmp_path)), 64)


@pytest.mark.parametrize("text", ["{", "[]", '{"image_mean": 3}', '{"image_mean": [0, 0]}', '{"image_std": [0, 0, 0]}'])
def test_a_damaged_preprocessor_is_refused(text: str, tmp_path: Path):
    build_backbone(BackboneConfig(options=TINY), 64).model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        build_backbone(BackboneConfig(name=str(tmp_path)), 64)


def test_bad_names_options_and_sizes():
    with pytest.raises(ConfigError, match="neither a preset nor a folder"):
        build_backbone(BackboneConfig(name="resnet-tinny"), 64)
    with pytest.raises(ConfigError, match=r"unknown options .*'depth'"):
        build_backbone(BackboneConfig(options={"depth": 3}), 64)
    with pytest.raises(ConfigError, match="presets only"):
        build_backbone(BackboneConfig(name="owner/model", revision="0" * 40, options={"depths": [1]}), 64)
