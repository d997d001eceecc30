"""Miniature models in the real format: random weights, built from configurations and saved to disk."""

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

if TYPE_CHECKING:
    from spooflab.generators.diffusion.config import DiffusionConfig
    from spooflab.generators.face import Face

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


def save_pipeline(folder: Path) -> Path:
    """Save a Stable Diffusion of a few thousand parameters, with the parts and files of SD 1.5."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = _unet(UNet2DConditionModel)
    vae = _vae(AutoencoderKL)
    text = CLIPTextModel(CLIPTextConfig(**_TEXT))
    words = folder.parent / "words"
    words.mkdir(parents=True, exist_ok=True)
    (words / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8)
    scheduler = DDIMScheduler(steps_offset=1, clip_sample=False)
    StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    (folder / "README.md").write_text("---\nlibrary_name: diffusers\nlicense: cc0-1.0\n---\n# Tiny\n")
    return folder


def save_xl_pipeline(folder: Path, words: Path) -> Path:
    """Save the like of SDXL: two text encoders, and sizes as conditions."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(1)
    text = CLIPTextConfig(**_TEXT, projection_dim=8)
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8)
    StableDiffusionXLPipeline(
        vae=_vae(AutoencoderKL),
        text_encoder=CLIPTextModel(text), text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer, tokenizer_2=tokenizer, unet=_unet(UNet2DConditionModel, cross_attention_dim=16, **_XL),
        scheduler=EulerDiscreteScheduler(), add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


_TEXT: dict[str, Any] = {
    "vocab_size": 4, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "bos_token_id": 0, "eos_token_id": 1, "max_position_embeddings": 8,
}  # fmt: skip
_XL = {
    "addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 32,
}  # fmt: skip


def _vae(kind: Any, blocks: int = 4) -> Any:
    """An eighth of the size, as most ControlNets want it; a quarter with 3 blocks."""
    down, up = ("DownEncoderBlock2D",) * blocks, ("UpDecoderBlock2D",) * blocks
    return kind(
        down_block_types=down, up_block_types=up, block_out_channels=(4,) * blocks, norm_num_groups=4, sample_size=32
    )


def _unet(kind: Any, **changes: Any) -> Any:
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (4, 8), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 8,
        "cross_attention_dim": 8, "attention_head_dim": 2,
    }  # fmt: skip
    return kind(**{**blocks, **changes})


def save_controlnet(folder: Path, pipeline: Path, seed: int) -> Path:
    """Save a ControlNet of a miniature, whose last layers are not 0: it changes what is painted."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet", local_files_only=True, use_safetensors=True)
    net = ControlNetModel.from_unet(unet, conditioning_channels=3)
    _enliven(net)
    net.save_pretrained(folder)
    return folder


def _enliven(net: Any) -> None:
    for module in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(module.weight, std=0.3)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.3)


def save_adapter(
    path: Path, pipeline: Path, kind: str, *, width: int = 16, seed: int = 0, biases: bool = True, lora: bool = False
) -> Path:
    """Save an IP-Adapter for a miniature's UNet, `plain` or `FaceID`, in the layout in which they are published."""
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    unet: Any = UNet2DConditionModel.from_pretrained(pipeline / "unet", local_files_only=True, use_safetensors=True)
    text = unet.config.cross_attention_dim
    shapes: dict[str, tuple[int, ...]] = {"image_proj.norm.weight": (text,), "image_proj.norm.bias": (text,)}
    layers = {"proj": (4 * text, width)} if kind == "plain" else {
        "proj.0": (2 * width, width), "proj.2": (4 * text, 2 * width)
    }  # fmt: skip
    for name, shape in layers.items():
        shapes |= {f"image_proj.{name}.weight": shape, f"image_proj.{name}.bias": shape[:1]}
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if "attn2" in name:
            shapes |= {f"ip_adapter.{number}.to_{k}_ip.weight": tuple(attention.to_k.weight.shape) for k in "kv"}
        if lora:
            for part in ("q", "k", "v", "out"):
                linear = attention.to_out[0] if part == "out" else getattr(attention, f"to_{part}")
                shapes |= {
                    f"ip_adapter.{number}.to_{part}_lora.down.weight": (2, linear.in_features),
                    f"ip_adapter.{number}.to_{part}_lora.up.weight": (linear.out_features, 2),
                }
    generator = torch.Generator().manual_seed(seed)
    tensors = {key: torch.randn(shape, generator=generator) * 0.5 for key, shape in shapes.items()}
    save_file(tensors if biases else {k: v * (not k.endswith("bias")) for k, v in tensors.items()}, path)
    return path


def save_inpainting_pipeline(folder: Path, words: Path) -> Path:
    """Save an inpainting model (9 channels) with a VAE of factor 4, a ControlNet and an adapter of its own."""
    from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
    from diffusers import StableDiffusionControlNetInpaintPipeline as Pipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(2)
    unet = _unet(UNet2DConditionModel, in_channels=9)
    net = ControlNetModel(
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), block_out_channels=(4, 8), layers_per_block=1,
        norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2, conditioning_embedding_out_channels=(4, 8, 8),
    )  # fmt: skip
    _enliven(net)
    Pipeline(
        vae=_vae(AutoencoderKL, blocks=3), unet=unet, controlnet=net, scheduler=DDIMScheduler(clip_sample=False),
        text_encoder=CLIPTextModel(CLIPTextConfig(**_TEXT)), safety_checker=None, feature_extractor=None,
        tokenizer=CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8),
        requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    save_adapter(folder / "ip_adapter.safetensors", folder, "FaceID")
    return folder


def save_zero_snr_pipeline(folder: Path, words: Path) -> Path:
    """Save a small inpainting model: 9 channels into the UNet, quarter-size latents, v, no signal at the last level.

    Its ControlNet, whose condition has 4 channels, is a part of the folder.
    """
    from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
    from diffusers import StableDiffusionControlNetInpaintPipeline as Pipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(2)
    text = CLIPTextConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=1, max_position_embeddings=8,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4,) * 3, norm_num_groups=4, sample_size=32,
    )  # fmt: skip
    # A last layer near 0 makes what the UNet says change slowly, as that of a trained one does.
    unet = _unet(UNet2DConditionModel, in_channels=9)
    unet.conv_out.weight.data *= 0.3
    net = ControlNetModel(
        in_channels=4, conditioning_channels=4, conditioning_embedding_out_channels=(4, 4, 4),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), block_out_channels=(4, 8), layers_per_block=1,
        norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
    )  # fmt: skip
    for module in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(module.weight, std=0.3)
    scheduler = DDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False,
        steps_offset=1, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
    )  # fmt: skip
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8)
    Pipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, controlnet=net, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_whole_model(folder: Path, words: Path) -> Path:
    """Save an inpainting model that knows the words of captions and brings all that a studio wants."""
    from transformers import CLIPTextConfig, CLIPTextModel

    from spooflab.generators.diffusion.identity_net import IDENTITY_FOLDER, IdentityNet, save_identity
    from spooflab.generators.diffusion.training.captions import vocabulary
    from spooflab.generators.diffusion.training.words import LENGTH, word_tokenizer

    save_inpainting_pipeline(folder, words)
    shutil.rmtree(folder / "tokenizer")
    tokenizer = word_tokenizer(vocabulary(), folder.parent / "many_words")
    tokenizer.save_pretrained(folder / "tokenizer")
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    shape = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    CLIPTextModel(CLIPTextConfig(**{**_TEXT, **ids, **shape})).save_pretrained(folder / "text_encoder")
    save_identity(IdentityNet(16), folder / IDENTITY_FOLDER)
    return folder


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the miniature was saved; nobody may change it."""
    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def saved_xl(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xl_pipeline(tmp_path_factory.mktemp("models") / "tiny_xl", saved.parent / "words")


@pytest.fixture(scope="session")
def controlnet() -> Callable[..., Path]:
    return save_controlnet


@pytest.fixture(scope="session")
def saved_inpainting(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inpainting_pipeline(tmp_path_factory.mktemp("models") / "tiny_inpainting", saved.parent / "words")


@pytest.fixture(scope="session")
def saved_zero_snr(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_zero_snr_pipeline(tmp_path_factory.mktemp("models") / "tiny_zero_snr", saved.parent / "words")


@pytest.fixture(scope="session")
def whole(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_whole_model(tmp_path_factory.mktemp("models") / "tiny_whole", saved.parent / "words")


@pytest.fixture(scope="session")
def quick(whole: Path) -> "DiffusionConfig":
    """Few steps of the whole miniature."""
    from spooflab.generators.diffusion.config import DiffusionConfig

    return DiffusionConfig(model=str(whole), size=48, steps=2, refine_strength=0.5)


@pytest.fixture(scope="session")
def people() -> tuple["Face", "Face"]:
    """Two batches of two small rendered people."""
    from spooflab.generators.face import Face
    from spooflab.generators.faces.procedural import ProceduralFaces

    source = ProceduralFaces(n_subjects=4, sessions=1, size=128, seed=5)
    loaded = [source.load(ref) for ref in source.refs()]
    return Face.stack(loaded[:2]), Face.stack(loaded[2:])


@pytest.fixture(scope="session")
def net(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_controlnet(tmp_path_factory.mktemp("nets") / "net", saved, seed=0)


@pytest.fixture(scope="session")
def net_xl(saved_xl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_controlnet(tmp_path_factory.mktemp("nets") / "net_xl", saved_xl, seed=4)


@pytest.fixture(scope="session")
def adapter() -> Callable[..., Path]:
    return save_adapter


@dataclass(frozen=True)
class Pictures:
    """Two pictures to be painted within a square."""

    images: Tensor
    masks: Tensor
    condition: Tensor

    def paint(self, inpainter: Any, **changes: Any) -> Tensor:
        from spooflab.generators.diffusion import Sampling

        given: dict[str, Any] = {
            "prompts": ["a", "b"], "seeds": [5, 6], "sampling": Sampling(steps=2, guidance=2.0)
        }  # fmt: skip
        made: Tensor = inpainter.paint(self.images, self.masks, [self.condition], **{**given, **changes})
        return made

    def plain(self, pipeline: Any, row: int, **changes: Any) -> Tensor:
        """What diffusers' pipeline makes of one of them when it is called as its documentation says."""
        pipeline.set_progress_bar_config(disable=True)
        image, mask, condition = (t[row : row + 1] for t in (self.images, self.masks, self.condition))
        given: dict[str, Any] = {
            "prompt": ["a", "b"][row], "num_inference_steps": 2, "guidance_scale": 2.0,
            "controlnet_conditioning_scale": 1.0, "strength": 1.0, "height": 32, "width": 32,
            "generator": [torch.Generator().manual_seed(5 + row)], "output_type": "pt",
        }  # fmt: skip
        made = pipeline(image=image, mask_image=mask, control_image=condition, **{**given, **changes}).images
        painted: Tensor = image + mask * (made.clamp(0, 1) - image)
        return painted[0]


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    images, condition = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(3)).unbind(0)
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, 8:24, 8:24] = 1
    return Pictures(images, masks, condition)


@pytest.fixture(scope="session")
def source() -> Any:
    """Three rendered people in two sessions each."""
    from spooflab.generators.faces.procedural import ProceduralFaces

    return ProceduralFaces(n_subjects=3, sessions=2, size=96, seed=31)


@pytest.fixture(scope="session")
def examples(source: Any) -> Any:
    """Their examples, 32 px."""
    from spooflab.generators.diffusion.training.examples import Prepared, make_group

    made, skipped = make_group(source, source.refs(), Prepared(32, 1.5, 1), 0)
    assert skipped == []
    return made


@pytest.fixture(scope="session")
def training() -> Any:
    """A whole training in seconds: parts of a few thousand weights and two or three steps of each."""
    from spooflab.generators.config import ProceduralFacesConfig
    from spooflab.generators.diffusion.training.config import DiffusionTrainConfig, Plan, Shape, SwapPlan

    plan = Plan(steps=2, batch=2, save_every=1, sheet_every=2, ema=0.9, warm=0, rate=1e-3)
    return DiffusionTrainConfig(
        face_px=96, size=32, faces=ProceduralFacesConfig(subjects=3, sessions=2), masks=1.5,
        shape=Shape(vae=(8, 8, 16), unet=(8, 16), text=16, text_layers=1, identity=8, heads=2),
        vae=plan, identity=plan, denoiser=plan, material=plan, swap=SwapPlan(**plan.model_dump(), weight=0.5),
    )  # fmt: skip


@pytest.fixture(scope="session")
def trained(training: Any, examples: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that training."""
    from spooflab.generators.diffusion.training.run import train

    out = tmp_path_factory.mktemp("trained")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation doesn.t accept a copy")  # within diffusers
        train(training, out)
    return out


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Any:
    """Accelerate holds one precision for all of a process; tests have several."""
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state()
