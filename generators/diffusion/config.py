"""Which models the diffusion attacks paint with, and how."""

from typing import Literal

from pydantic import Field, model_validator

from spooflab.config import Config
from spooflab.generators.diffusion.identity_onnx import EmbedderSettings

EMBEDDED = "embedded"
"""Source that means the model which comes with the package."""
Condition = Literal["landmarks", "depth", "normals", "segmentation", "marked_normals"]


class ControlConfig(Config):
    """One ControlNet.

    Attributes:
        source: `hub:owner/name@commit` or a folder.
        condition: what it is shown of the face.
        weight: of what it says, 0 or more.
        variant: infix of its weight files, such as fp16.
    """

    source: str
    condition: Condition
    weight: float = Field(default=1.0, ge=0)
    variant: str | None = None


class DiffusionConfig(Config):
    """Models and sampling of `swap_diffusion`, `swap_refine`, `mask_controlnet` and `attribute_diffusion`.

    Attributes:
        model: a Stable Diffusion 1.5, 2 or XL (`hub:owner/name@commit` or a folder), or `embedded`.
        variant: infix of its weight files, such as fp16.
        controlnets: one or more; empty for the ControlNet inside the model's folder, as what `spooflab diffusion train`
            writes has it; that one is shown `marked_normals`.
        adapter: source of an IP-Adapter, one safetensors file of a folder or the hub; None for the one inside the
            model's folder.
        identity: what makes an identity of the source's face: `clip:SOURCE` or `onnx:FILE`; None for the encoder inside
            the model's folder.
        depth, segmentation: sources of transformers models that read these conditions off the picture; None for the
            face's own geometry, as its source has it. The relief of a worn mask always is the rendered one's.
        depth_gives: what the depth model gives; None for what it says of itself.
        identity_subfolder: where a CLIP lies within its source, such as `models/image_encoder`.
        embedder: what an ONNX face embedder takes.
        size: side of the painted crop in pixels.
        steps, guidance, identity_scale: of the sampling.
        strength: share of the noise that a painted region starts from; below 1 it keeps some of what it hides.
        refine_strength: the same for `swap_refine`.
        scheduler: `dpm++`, `ddim`, `euler`, or `lcm` for models distilled for it.
        dtype: of weights and activations.
        device: where to paint; results are the same to the bit on one kind of machine only.
        offload: keep on an accelerator only the part that works.
        compile: compile UNet and ControlNets first; pays from some hundreds of pictures on.
    """

    model: str = EMBEDDED
    variant: str | None = None
    controlnets: tuple[ControlConfig, ...] = ()
    adapter: str | None = None
    identity: str | None = None
    depth: str | None = None
    depth_gives: Literal["inverse_depth", "depth"] | None = None
    segmentation: str | None = None
    identity_subfolder: str = ""
    embedder: EmbedderSettings = EmbedderSettings()
    size: int = Field(default=96, ge=32, le=2048, multiple_of=8)
    steps: int = Field(default=8, ge=1, le=1000)
    guidance: float = Field(default=2.0, ge=1, le=50)
    identity_scale: float = Field(default=1.0, ge=0, le=4)
    strength: float = Field(default=1.0, gt=0, le=1)
    refine_strength: float = Field(default=0.4, gt=0, le=1)
    scheduler: Literal["ddim", "dpm++", "euler", "lcm"] = "dpm++"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps)$")
    offload: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _check(self) -> "DiffusionConfig":
        if int(self.steps * min(self.strength, self.refine_strength)) < 1:
            raise ValueError(f"steps {self.steps} times the strength leaves no step")
        return self
