"""Pictures painted by diffusion per second: ours in batches against diffusers' pipeline, one picture at a time."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from spooflab.experiments.bench.diffusion_shapes import SD15, Shape, save_shape
from spooflab.experiments.bench.timing import paired
from spooflab.generators.attacks.digital.swap_diffusion import MARGIN
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.diffusers_library import diffusers_library
from spooflab.generators.diffusion.embedded import ADAPTER, EMBEDDED_FOLDER
from spooflab.generators.diffusion.face_frame import face_frame
from spooflab.generators.diffusion.inpaint import Inpainter
from spooflab.generators.diffusion.materials import FACE_PROMPT
from spooflab.generators.diffusion.model_source import ModelSource
from spooflab.generators.diffusion.sampling import Sampling
from spooflab.generators.diffusion.studio import Crop, Studio, crop_face, encoded, open_studio
from spooflab.generators.faces.procedural import ProceduralFaces

PICTURES = 8
PEER_STEPS = 20
"""Steps of the peer's DDIM sampler: docs/diffusion.md tells what the measures say of 20 of its and 8 of our steps."""


def diffusion_cases(threads: int) -> list[dict[str, Any]]:
    """Swap eight faces with the embedded model.

    Ours paints them in one batch with `DiffusionConfig`'s sampling, prompts and conditions embedded once. The peer is
    `StableDiffusionControlNetInpaintPipeline` on the same folder, called for one picture after the other: as its
    scheduler comes, with 20 steps; and, to tell batching and caching from sampling, with our scheduler and steps.
    """
    studio = open_studio(DiffusionConfig())
    crops, who = _crops(studio)
    regions = torch.cat([_region(crop) for crop in crops])
    clock = time.process_time if threads == 1 else time.perf_counter

    def ours() -> Tensor:
        return studio.paint(
            crops,
            regions,
            prompts=[FACE_PROMPT] * len(crops),
            seeds=list(range(len(crops))),
            identities=who,
            worn=False,
        )

    rows = []
    steps = studio.config.steps
    for name, peer in (
        (f"diffusers, one at a time, DDIM {PEER_STEPS} steps", _plain(studio, crops, regions, who, "ddim", PEER_STEPS)),
        (f"diffusers, one at a time, DPM++ {steps} steps", _plain(studio, crops, regions, who, "dpm++", steps)),
    ):
        rows.append(
            paired(
                f"swap_diffusion, embedded, {studio.config.size} px, {steps} steps, batch {PICTURES}",
                ours,
                items=PICTURES,
                peer_name=name,
                peer=peer,
                peer_items=1,
                rounds=3,
                clock=clock,
            )
        )
    if torch.cuda.is_available():
        rows.append(shape_case(SD15, torch.device("cuda"), size=512))
    return rows


def shape_case(shape: Shape, device: torch.device, *, size: int, batch: int = 8) -> dict[str, Any]:
    """Paint with a model of a shape, random weights: ours in bfloat16, compiled, 8 steps of DPM++, a batch at once.

    The peer is diffusers' pipeline in float16 on the same folder, one picture after the other, 20 steps of DDIM, both
    under guidance.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    with TemporaryDirectory() as temporary:
        folder = save_shape(shape, Path(temporary) / "model", torch.float16)
        control = ModelSource(str(folder / "control"))
        ours = Inpainter.load(
            ModelSource(str(folder)),
            [control],
            device=device,
            dtype="bfloat16",
            scheduler="dpm++",
            compile=device.type == "cuda",
            batch_size=batch,
        )
        library = diffusers_library()
        half = torch.float16 if device.type == "cuda" else torch.float32
        plain = library.StableDiffusionControlNetInpaintPipeline.from_pretrained(
            folder,
            controlnet=library.ControlNetModel.from_pretrained(folder / "control", dtype=half, local_files_only=True),
            dtype=half,
            local_files_only=True,
        ).to(device)
        plain.set_progress_bar_config(disable=True)
        images, masks = torch.rand(batch, 3, size, size), torch.zeros(batch, 1, size, size)
        masks[..., size // 4 : -size // 4, size // 4 : -size // 4] = 1
        conditions, guidance = torch.rand(batch, 3, size, size), 2.0

        def painted() -> object:
            return ours.paint(
                images,
                masks,
                [conditions],
                prompts=["a"] * batch,
                seeds=list(range(batch)),
                sampling=Sampling(steps=8, guidance=guidance),
            )

        def one() -> object:
            with torch.inference_mode():
                return plain(
                    prompt="a",
                    image=images[:1],
                    mask_image=masks[:1],
                    control_image=conditions[:1],
                    num_inference_steps=PEER_STEPS,
                    guidance_scale=guidance,
                    generator=torch.Generator().manual_seed(0),
                    height=size,
                    width=size,
                    output_type="pt",
                )

        row: dict[str, Any] = paired(
            f"SD 1.5-shaped inpainting with a ControlNet on {name}, {size} px, 8 steps, batch {batch}",
            painted,
            items=batch,
            peer_name=f"diffusers, one at a time, DDIM {PEER_STEPS} steps",
            peer=one,
            peer_items=1,
            rounds=3,
        )
    return row


def _crops(studio: Studio) -> tuple[list[Crop], Tensor]:
    source = ProceduralFaces(n_subjects=PICTURES, sessions=1, size=256, seed=2)
    faces = [source.load(ref) for ref in source.refs()]
    crops = [crop_face(face, face_frame(face.landmarks[0], MARGIN), studio.config.size) for face in faces]
    who = torch.cat([studio.identity.embed(encoded(face), face.landmarks) for face in faces])
    return crops, who.roll(1, 0)


def _region(crop: Crop) -> Tensor:
    region = torch.zeros_like(crop.picture[:, :1])
    margin = crop.size // 6
    region[..., margin:-margin, margin:-margin] = 1
    return region


def _plain(
    studio: Studio, crops: list[Crop], regions: Tensor, who: Tensor, scheduler: str, steps: int
) -> Callable[[], object]:
    library = diffusers_library()
    kind = library.StableDiffusionControlNetInpaintPipeline
    pipeline = kind.from_pretrained(EMBEDDED_FOLDER, dtype=torch.float32, local_files_only=True)
    pipeline.load_ip_adapter(
        str(EMBEDDED_FOLDER), subfolder="", weight_name=ADAPTER, image_encoder_folder=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    if scheduler == "dpm++":
        pipeline.scheduler = library.DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    condition = studio.condition_maps(crops[:1], worn=False)[0]
    both = torch.stack([torch.zeros_like(who[:1]), who[:1]], 0)

    def call() -> object:
        with torch.inference_mode():
            return pipeline(
                prompt=FACE_PROMPT,
                image=crops[0].picture,
                mask_image=regions[:1],
                control_image=condition,
                ip_adapter_image_embeds=[both],
                num_inference_steps=steps,
                guidance_scale=studio.config.guidance,
                generator=torch.Generator().manual_seed(0),
                height=studio.config.size,
                width=studio.config.size,
                output_type="pt",
            )

    return call
