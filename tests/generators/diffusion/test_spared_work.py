"""Work that is spared: prompts and conditions encoded once, no second batch without guidance; parts of bounded size."""

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
from torch import Tensor, nn

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import Inpainter, Sampling, parse_source
from spooflab.generators.diffusion.prompt_embeddings import PromptEmbeddings
from spooflab.generators.diffusion.remembered_embedding import RememberedEmbedding

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy"),  # within diffusers
]


def _load(base: Path, nets: list[Path], **options: Any) -> Inpainter:
    return Inpainter.load(parse_source(str(base)), [parse_source(str(net)) for net in nets], **options)


def _calls(module: nn.Module) -> list[int]:
    """Return a list that grows by the size of the batch whenever `module` is called."""
    rows: list[int] = []
    module.register_forward_pre_hook(
        lambda _, args, named: rows.append(len(args[0] if args else next(iter(named.values())))), with_kwargs=True
    )
    return rows


@pytest.mark.parametrize("shape", ["1.5", "XL"])
def test_pixels_are_those_of_the_plain_pipeline(shape: str, pictures: Any, request: pytest.FixtureRequest) -> None:
    """Bit by bit: one picture, in the same layout of memory, through diffusers' pipeline as it was loaded."""
    base, net = (request.getfixturevalue(name + "_xl" * (shape == "XL")) for name in ("saved", "net"))
    kind: Any = (
        StableDiffusionXLControlNetInpaintPipeline if shape == "XL" else StableDiffusionControlNetInpaintPipeline
    )
    plain = kind.from_pretrained(base, controlnet=ControlNetModel.from_pretrained(net))
    plain.scheduler = DPMSolverMultistepScheduler.from_config(plain.scheduler.config)
    plain.unet.to(memory_format=torch.channels_last)
    plain.controlnet.to(memory_format=torch.channels_last)
    one = _load(base, [net], batch_size=1)
    for guidance in (1.0, 2.0):
        made = pictures.paint(one, sampling=Sampling(steps=3, guidance=guidance))
        for row in range(2):
            wanted = pictures.plain(plain, row, num_inference_steps=3, guidance_scale=guidance)
            assert torch.equal(made[row], wanted)


def test_a_condition_is_embedded_once_and_a_prompt_once_for_all(saved: Path, net: Path, pictures: Any) -> None:
    one = _load(saved, [net])
    pipeline = one._pipeline
    texts, conditions, steps = (
        _calls(module)
        for module in (pipeline.text_encoder, pipeline.controlnet.controlnet_cond_embedding.embedding, pipeline.unet)
    )
    made = pictures.paint(one, sampling=Sampling(steps=4, guidance=2.0))
    assert (texts, conditions, steps) == ([1, 1, 1, 1], [4], [4, 4, 4, 4])  # "a", nothing; "b", nothing
    assert torch.equal(pictures.paint(one, sampling=Sampling(steps=4, guidance=2.0)), made)
    assert (len(texts), conditions) == (4, [4, 4])
    pictures.paint(one, sampling=Sampling(steps=1, guidance=2.0), negative_prompts=["b", "b"])
    assert len(texts) == 8
    pictures.paint(one, sampling=Sampling(steps=1, guidance=1.0), negative_prompts=["b", "b"])
    assert len(texts) == 10


def test_no_condition_is_kept(saved: Path, net: Path, pictures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor after a failure: a later picture at the same address would be taken for it."""
    one = _load(saved, [net])
    remembered = one._pipeline.controlnet.controlnet_cond_embedding
    pictures.paint(one)
    assert remembered._last is None

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(one._pipeline.scheduler, "step", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        pictures.paint(one)
    assert remembered._last is None


def test_an_embedding_is_remembered_by_identity() -> None:
    layer = nn.Conv2d(3, 2, 1)
    rows = _calls(layer)
    remembered = RememberedEmbedding(layer)
    first, second = torch.rand(2, 1, 3, 4, 4).unbind(0)
    wanted = layer(first)
    for condition in (first, first, second, first.clone()):
        assert torch.equal(remembered(condition), layer(condition))
    assert len(rows) == 1 + 4 + 3
    assert torch.equal(remembered(first), wanted)


def test_few_prompts_are_kept(saved: Path, net: Path) -> None:
    pipeline = _load(saved, [net])._pipeline
    encode = PromptEmbeddings(pipeline, torch.device("cpu"))
    texts = _calls(pipeline.text_encoder)
    with torch.inference_mode():
        for _ in range(2):
            many = encode(["a"] * 100, [" ".join("b" * count) for count in range(100)], guided=True)
    assert len(texts) == 400  # 100 pairs push each other out, and all are right
    assert many["prompt_embeds"].shape == many["negative_prompt_embeds"].shape == (100, 8, 8)
    assert len(many) == 2


@pytest.mark.parametrize("shape", ["1.5", "XL"])
def test_without_guidance_there_is_half_the_work(shape: str, pictures: Any, request: pytest.FixtureRequest) -> None:
    base, net = (request.getfixturevalue(name + "_xl" * (shape == "XL")) for name in ("saved", "net"))
    one = _load(base, [net])
    rows = _calls(one._pipeline.unet), _calls(one._pipeline.controlnet)
    pictures.paint(one, sampling=Sampling(steps=3, guidance=1.0))
    assert rows == ([2, 2, 2], [2, 2, 2])
    pictures.paint(one, sampling=Sampling(steps=3, guidance=1.5))
    assert rows == ([2, 2, 2, 4, 4, 4], [2, 2, 2, 4, 4, 4])


def test_large_batches_are_painted_in_parts(
    saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path
) -> None:
    path = adapter(tmp_path / "faces.safetensors", saved, "plain")
    options: dict[str, Any] = {"identity": parse_source(str(path))}
    whole, parts = (_load(saved, [net], batch_size=size, **options) for size in (5, 2))
    rows = _calls(parts._pipeline.unet)
    images, condition = torch.rand(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(3)).unbind(0)
    made = [
        one.paint(
            images, torch.ones(5, 1, 32, 32), [condition], prompts=list("abaab"), negative_prompts=list("bbaab"),
            seeds=range(5), identities=torch.eye(5, 16), sampling=Sampling(steps=2),
        )
        for one in (whole, parts)
    ]  # fmt: skip
    torch.testing.assert_close(made[1], made[0], atol=1e-5, rtol=0)
    assert rows == [4, 4, 4, 4, 2, 2]
    for wrong in ({"batch_size": 0}, {"compile": True, "offload": True}):
        with pytest.raises(ConfigError, match="batch"):
            _load(saved, [net], **wrong)


def test_layouts_and_attention(saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path) -> None:
    path = adapter(tmp_path / "faces.safetensors", saved, "plain")
    pipeline = _load(saved, [net, net], identity=parse_source(str(path)))._pipeline
    for part in (pipeline.unet, *pipeline.controlnet.nets):
        weights = [w for w in part.parameters() if w.ndim == 4]
        assert weights
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
        assert {type(p).__name__ for p in part.attn_processors.values()} <= {
            "AttnProcessor2_0",
            "IPAdapterAttnProcessor2_0",
        }


def test_nets_that_do_not_fit_the_model_are_told(
    saved: Path, saved_xl: Path, saved_inpainting: Path, net: Path, net_xl: Path
) -> None:
    with pytest.raises(DataError, match=r"words of 16 numbers\nwanted: 8"):
        _load(saved, [net_xl])
    with pytest.raises(DataError, match=r"its picture by 8\nwanted: 4"):
        _load(saved_inpainting, [net])
    with pytest.raises(DataError, match=r"its picture by 4\nwanted: 8"):
        _load(saved, [saved_inpainting / "controlnet"])
    other = _load(saved_inpainting, [saved_inpainting / "controlnet"])
    assert len(other.models) == 2
    with pytest.raises(ConfigError, match="is one file"):
        Inpainter.load(parse_source(str(saved_inpainting / "ip_adapter.safetensors")))


def test_compiled(saved: Path, net: Path, adapter: Callable[..., Path], tmp_path: Path, pictures: Any) -> None:
    """With a compiler on the machine; identities, their scale and the size of a batch may change."""
    if not _compiles():
        pytest.skip("torch.compile has no working compiler here")
    path = adapter(tmp_path / "faces.safetensors", saved, "FaceID")
    options: dict[str, Any] = {"identity": parse_source(str(path))}
    plain, compiled = (_load(saved, [net], compile=flag, **options) for flag in (False, True))
    identities = torch.eye(2, 16)
    for how in (Sampling(steps=3, guidance=2.0), Sampling(steps=3, guidance=2.0, identity_scale=0.5)):
        made, wanted = (pictures.paint(one, identities=identities, sampling=how) for one in (compiled, plain))
        torch.testing.assert_close(made, wanted, atol=1e-3, rtol=0)
    assert torch.equal(pictures.paint(compiled, sampling=how, identities=identities), made)


def _compiles() -> bool:
    def doubled(x: Tensor) -> Tensor:
        return x * 2

    try:
        return bool(torch.equal(torch.compile(doubled)(torch.ones(3)), torch.full((3,), 2.0)))
    except Exception:
        return False
