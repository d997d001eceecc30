"""Each picture has an identity of its own, as diffusers gives it to one picture; zeros and scale 0 are nobody."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionXLControlNetInpaintPipeline,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import Inpainter, Sampling, parse_source, read_adapter

pytestmark = pytest.mark.slow  # together half a minute
WIDTH = 16
OFF = Sampling(steps=2, guidance=2.0, identity_scale=0.0)


@pytest.fixture
def identities() -> Tensor:
    return torch.nn.functional.normalize(torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(8)))


def _load(base: Path, net: Path, adapter: Path | None = None, **options: Any) -> Inpainter:
    identity = None if adapter is None else parse_source(str(adapter))
    return Inpainter.load(parse_source(str(base)), [parse_source(str(net))], identity=identity, **options)


def _plain(base: Path, net: Path, adapter: Path) -> Any:
    """The pipeline as diffusers loads all of it, the adapter's file included."""
    kind: Any = StableDiffusionControlNetInpaintPipeline
    kind = StableDiffusionXLControlNetInpaintPipeline if "xl" in base.name else kind
    pipeline = kind.from_pretrained(base, controlnet=ControlNetModel.from_pretrained(net))
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.load_ip_adapter(str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None)
    return pipeline


def _guided(row: Tensor) -> list[Tensor]:
    return [torch.stack([torch.zeros_like(row), row])[:, None]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "FaceID"])
@pytest.mark.parametrize("shape", ["1.5", "XL"])
def test_each_picture_is_what_diffusers_makes_of_it_alone(
    kind: str, shape: str, adapter: Callable[..., Path], tmp_path: Path, pictures: Any, identities: Tensor,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    """Given whole batches, the pipelines of diffusers blend their identities (issue 9813); ours may not."""
    base, net = (request.getfixturevalue(name + "_xl" * (shape == "XL")) for name in ("saved", "net"))
    path = adapter(tmp_path / "faces.safetensors", base, kind, width=WIDTH)
    made = pictures.paint(_load(base, net, path), identities=identities)
    plain = _plain(base, net, path)
    for row in range(2):
        wanted = pictures.plain(plain, row, ip_adapter_image_embeds=_guided(identities[row]))
        torch.testing.assert_close(made[row], wanted, atol=1e-4, rtol=0)
    alone = pictures.plain(plain, 0, ip_adapter_image_embeds=_guided(identities[1]))
    assert float((made[0] - alone).abs().max()) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "FaceID"])
def test_nobody(
    kind: str, saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path, pictures: Any, identities: Tensor
) -> None:
    """Scale 0 leaves the adapter out; zeros are what it learned as nobody, which without biases is nothing at all."""
    without = pictures.paint(_load(saved, net))
    one = _load(saved, net, adapter(tmp_path / "faces.safetensors", saved, kind, width=WIDTH))
    somebody, nobody = (pictures.paint(one, identities=each) for each in (identities, torch.zeros(2, WIDTH)))
    torch.testing.assert_close(pictures.paint(one, identities=identities, sampling=OFF), without, atol=1e-6, rtol=0)
    assert torch.equal(pictures.paint(one), nobody)
    assert torch.equal(pictures.paint(one, identities=identities), somebody)
    assert min(float((a - b).abs().max()) for a, b in ((somebody, nobody), (nobody, without))) > 1e-3
    mixed = pictures.paint(one, identities=identities * torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(mixed, torch.stack([somebody[0], nobody[1]]), atol=1e-5, rtol=0)
    unbiased = adapter(tmp_path / "unbiased.safetensors", saved, kind, width=WIDTH, biases=False)
    silent = pictures.paint(_load(saved, net, unbiased), identities=torch.zeros(2, WIDTH))
    torch.testing.assert_close(silent, without, atol=1e-6, rtol=0)


def test_without_guidance_there_is_no_negative_identity(
    saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path, pictures: Any, identities: Tensor
) -> None:
    path = adapter(tmp_path / "faces.safetensors", saved, "FaceID", width=WIDTH)
    made = pictures.paint(_load(saved, net, path), identities=identities, sampling=Sampling(steps=2, guidance=1.0))
    wanted = pictures.plain(
        _plain(saved, net, path), 1, guidance_scale=1.0, ip_adapter_image_embeds=[identities[1:, None]]
    )
    torch.testing.assert_close(made[1], wanted, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_lora_of_an_adapter_is_on_with_it_and_off_without(
    saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path, pictures: Any, identities: Tensor
) -> None:
    pytest.importorskip("peft")
    path = adapter(tmp_path / "faces.safetensors", saved, "FaceID", width=WIDTH, lora=True)
    one = _load(saved, net, path)
    made = pictures.paint(one, identities=identities)
    wanted = pictures.plain(_plain(saved, net, path), 0, ip_adapter_image_embeds=_guided(identities[0]))
    torch.testing.assert_close(made[0], wanted, atol=1e-4, rtol=0)
    off = pictures.paint(one, identities=identities, sampling=OFF)
    torch.testing.assert_close(off, pictures.paint(_load(saved, net)), atol=1e-5, rtol=0)
    assert torch.equal(pictures.paint(one, identities=identities), made)
    plain = load_file(path)
    save_file({k: v for k, v in plain.items() if "_lora" not in k}, tmp_path / "no_lora.safetensors")
    bare = pictures.paint(_load(saved, net, tmp_path / "no_lora.safetensors"), identities=identities)
    assert float((bare - made).abs().max()) > 1e-2


def test_lora_without_peft_is_refused(
    saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = adapter(tmp_path / "faces.safetensors", saved, "FaceID", lora=True)
    monkeypatch.setattr("spooflab.generators.diffusion.ip_adapter.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="need peft"):
        _load(saved, net, path)


@pytest.mark.slow
def test_half_precision(
    saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path, pictures: Any, identities: Tensor
) -> None:
    path = adapter(tmp_path / "faces.safetensors", saved, "FaceID", width=WIDTH, lora=True)
    one = _load(saved, net, path, dtype="bfloat16")
    made = pictures.paint(one, identities=identities)
    assert torch.equal(pictures.paint(one, identities=identities), made)
    wanted = pictures.paint(_load(saved, net, path), identities=identities)
    assert float((made - wanted).abs().mean()) < 0.02


def test_an_inpainting_model_with_all_of_its_own(
    saved_inpainting: Path, pictures: Any, identities: Tensor, adapter: Callable[..., Path]
) -> None:
    """9 channels, a VAE of factor 4, its own ControlNet, and an adapter that lies beside them."""
    source = parse_source(str(saved_inpainting))
    one = Inpainter.load(source, identity=source)
    assert (one.multiple, one.identity_width, len(one.models)) == (8, WIDTH, 2)
    made = pictures.paint(one, identities=identities)
    plain = StableDiffusionControlNetInpaintPipeline.from_pretrained(saved_inpainting)
    plain.scheduler = DPMSolverMultistepScheduler.from_config(plain.scheduler.config)
    plain.load_ip_adapter(
        str(saved_inpainting), subfolder="", weight_name="ip_adapter.safetensors", image_encoder_folder=None
    )
    for row in range(2):
        wanted = pictures.plain(plain, row, ip_adapter_image_embeds=_guided(identities[row]))
        torch.testing.assert_close(made[row], wanted, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_records_name_the_adapter(saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path) -> None:
    path = adapter(tmp_path / "faces.safetensors", saved, "plain")
    found = read_adapter(path)
    assert (found.kind, found.width, found.has_lora) == ("plain", WIDTH, False)
    assert found.parameters == sum(t.numel() for t in load_file(path).values())
    one, other = (_load(saved, net, adapter(path, saved, "plain", seed=seed)) for seed in (1, 0))
    assert one.models[:2] == other.models[:2] == _load(saved, net).models
    assert other.models[2] == f"{path} sha256:{found.digest}"
    assert one.models[2] != other.models[2]


def _changed(path: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return path


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("plain", lambda t: t.clear(), "holds nothing"),
        ("plain", lambda t: t.update({"unet.weight": torch.ones(1)}), r"holds unet\.weight"),
        ("plain", lambda t: t.update({"ip_adapter.1.to_k_ip.weight": torch.ones(8, 8, dtype=torch.int64)}), "to_k_ip"),
        ("plain", lambda t: t.pop("image_proj.norm.bias"), r"lacks image_proj\.norm\.bias"),
        ("plain", lambda t: t.update({"image_proj.latents": torch.ones(1)}), r"has image_proj\.latents"),
        ("plain", lambda t: t.update({"image_proj.proj.weight": torch.ones(8, 4)}), r"proj\.weight \(8, 4\)"),
        ("plain", lambda t: t.update({"image_proj.proj.weight": torch.ones(8)}), "wanted: matrices"),
        ("plain", lambda t: t.pop("ip_adapter.3.to_v_ip.weight"), r"lacks ip_adapter\.3\.to_v_ip"),
        ("plain", lambda t: t.update({"ip_adapter.9.to_v_ip.weight": torch.ones(8, 8)}), r"has ip_adapter\.9"),
        ("plain", lambda t: t.update({"ip_adapter.3.to_v_ip.weight": torch.ones(8, 6)}), r"\(8, 6\)\nwanted: \(8, 8\)"),
        ("FaceID", lambda t: t.pop("image_proj.proj.2.bias"), r"lacks image_proj\.proj\.2\.bias"),
        ("FaceID", lambda t: t.pop("image_proj.proj.2.weight"), "a projection of"),
        ("FaceID", lambda t: t.update({"image_proj.proj.0.weight": torch.ones(20, 16)}), r"\(20, 16\)\nwanted: \(16"),
        ("FaceID", lambda t: t.update({"ip_adapter.0.to_q_lora.down.weight": torch.ones(2, 8)}), "lacks ip_adapter.0"),
    ],
)  # fmt: skip
def test_adapters_that_are_torn_or_strange_are_told(
    kind: str, change: Any, message: str, saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path
) -> None:
    path = _changed(adapter(tmp_path / "faces.safetensors", saved, kind), change)
    with pytest.raises(DataError, match=message):
        _load(saved, net, path)


def test_adapters_for_another_model_are_told(
    saved: Path, net: Path, saved_xl: Path, adapter: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"\(8, 16\)\nwanted: \(8, 8\)"):
        _load(saved, net, adapter(tmp_path / "faces.safetensors", saved_xl, "plain"))
    (tmp_path / "torn.safetensors").write_bytes(b"1234")
    with pytest.raises(DataError, match="no whole safetensors"):
        _load(saved, net, tmp_path / "torn.safetensors")


def test_identities_that_do_not_fit_are_told(
    saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path, pictures: Any, identities: Tensor
) -> None:
    with pytest.raises(DataError, match="no adapter"):
        pictures.paint(_load(saved, net), identities=identities)
    one = _load(saved, net, adapter(tmp_path / "faces.safetensors", saved, "plain"))
    for wrong in (identities[:, :-1], identities[:1], identities[:, None], identities.double()):
        with pytest.raises(DataError, match=r"identities .*\nwanted: \(2, 16\) float32"):
            pictures.paint(one, identities=wrong)
    with pytest.raises(DataError, match="finite"):
        pictures.paint(one, identities=identities / 0)
    with pytest.raises(ConfigError, match="sampling"):
        Sampling(identity_scale=-1.0)
