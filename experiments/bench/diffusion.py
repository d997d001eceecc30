"""Face swaps by diffusion per second: ours in batches against diffusers' own pipeline, one picture at a time."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spooflab.experiments.bench.timing import paired
from spooflab.generators.attacks.digital.swap_diffusion import MARGIN, PROMPT
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.embedded import ADAPTER, EMBEDDED_FOLDER
from spooflab.generators.diffusion.face_frame import face_frame
from spooflab.generators.diffusion.pipeline import diffusers_library
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
            prompts=[PROMPT] * len(crops),
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
    return rows


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
    pipeline = kind.from_pretrained(EMBEDDED_FOLDER, torch_dtype=torch.float32, local_files_only=True)
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
                prompt=PROMPT,
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
