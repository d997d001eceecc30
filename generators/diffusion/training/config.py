"""What `spooflab diffusion train` is told: the faces, the shapes of the parts, and how long each is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spooflab.config import Config
from spooflab.generators.config import FacesConfig, ProceduralFacesConfig

Channels = Annotated[tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...], Field(min_length=2, max_length=5)]
How = Literal["frozen", "full", "lora"]


class Plan(Config):
    """How long one part is trained, and how fast.

    Attributes:
        steps: batches in all; 0 leaves the part as it is.
        batch: examples per batch, over all processes together.
        rate: highest learning rate; reached after `warm` steps, held, and lowered to 0 over the last `cool` of them.
        warm: steps.
        cool: share of the steps.
        ema: decay of the weights' moving average, which is what is saved; 0 for none.
        save_every: steps between two checkpoints; a stopped run goes on from the last.
        sheet_every: steps between two sheets of samples.
    """

    steps: int = Field(ge=0)
    batch: int = Field(default=16, ge=1)
    rate: float = Field(default=3e-4, gt=0, le=0.1)
    warm: int = Field(default=100, ge=0)
    cool: float = Field(default=0.2, ge=0, le=1)
    ema: float = Field(default=0.999, ge=0, lt=1)
    save_every: int = Field(default=200, ge=1)
    sheet_every: int = Field(default=1000, ge=1)


class SwapPlan(Plan):
    """How long the denoiser is trained on, with swaps beside what it has to restore.

    Attributes:
        weight: of the resemblance to whom a swap was told to show, beside the loss of denoising.
    """

    weight: float = Field(default=0.3, ge=0)


class Shape(Config):
    """Sizes of parts that are made from scratch.

    Attributes:
        vae: channels of the autoencoder's levels; each level but the first halves the sides.
        unet: channels of the UNet's levels; the first has no attention.
        layers: residual blocks per level of the UNet.
        heads: attention heads of the UNet.
        text: width of the text encoder, and of what the UNet attends to.
        text_layers: its layers.
        identity: width of an identity embedding.
    """

    vae: Channels = (32, 64, 64)
    unet: Channels = (64, 128, 160)
    layers: int = Field(default=1, ge=1, le=4)
    heads: int = Field(default=8, ge=1)
    text: int = Field(default=128, ge=8, multiple_of=8)
    text_layers: int = Field(default=2, ge=1)
    identity: int = Field(default=128, ge=8)


class Parts(Config):
    """What becomes of each part while the denoiser is trained.

    Attributes:
        unet, text_encoder, controlnet: `full` trains every weight, `lora` low-rank updates beside them (UNet only),
            `frozen` nothing.
        adapter: whether the identity projection is trained.
        rank: of low-rank updates.
    """

    unet: How = "full"
    text_encoder: Literal["frozen", "full"] = "full"
    controlnet: Literal["frozen", "full"] = "full"
    adapter: bool = True
    rank: int = Field(default=8, ge=1)


class DiffusionTrainConfig(Config):
    """Everything that decides the weights.

    Attributes:
        seed: root of all draws.
        people_seed: root of rendered people; another than that of data sets, so that none holds people learnt from.
        size: side of a picture in pixels.
        face_px: side at which faces are rendered or photographs aligned before they are cropped.
        faces: where faces come from.
        masks: examples with a rendered mask for each face.
        base: source of a Stable Diffusion to go on from (`hub:owner/name@commit` or a folder); None for parts from
            scratch.
        shape: sizes of parts that are made from scratch.
        parts: what is trained of the denoiser.
        precision: `bf16` computes in bfloat16 where that is safe; weights stay float32.
        vae, identity, denoiser: how long each is trained; the judge of identities, which measures swaps, as long as the
            encoder that tells them.
        swap: how long the denoiser is trained on, with faces told to be another's.
        material: how long the judge of masks is trained, which measures what prompts bring about.
    """

    seed: int = Field(default=1, ge=0, lt=2**63)
    people_seed: int = Field(default=31, ge=0, lt=2**63)
    size: int = Field(default=96, ge=32, multiple_of=8)
    face_px: int = Field(default=192, ge=64, le=2048)
    faces: FacesConfig = ProceduralFacesConfig(subjects=4096, sessions=2)
    masks: float = Field(default=0.6, ge=0, le=4)
    base: str | None = None
    shape: Shape = Shape()
    parts: Parts = Parts()
    precision: Literal["no", "bf16"] = "no"
    vae: Plan = Plan(steps=1600, batch=16, rate=1e-3, ema=0.995)
    identity: Plan = Plan(steps=1200, batch=128, rate=1e-3, ema=0.99)
    denoiser: Plan = Plan(steps=6000, batch=16, rate=3e-4)
    swap: SwapPlan = SwapPlan(steps=0, rate=1e-4)
    material: Plan = Plan(steps=600, batch=64, rate=1e-3, ema=0.99)

    @model_validator(mode="after")
    def _check(self) -> "DiffusionTrainConfig":
        if self.base is None and (self.parts.unet != "full" or self.parts.text_encoder != "full"):
            raise ValueError("parts from scratch are trained in full: name a base, or leave `parts` out")
        if self.material.steps and not self.masks:
            raise ValueError("material.steps without masks: set material.steps to 0, or masks above 0")
        if self.size % 2 ** (len(self.shape.vae) + len(self.shape.unet) - 2):
            raise ValueError(f"size {self.size} cannot be halved once for each further level of vae and unet")
        return self
