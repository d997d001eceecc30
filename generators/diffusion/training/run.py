"""All of a training, from examples to the judges of what was learnt; each stage goes on where it stopped."""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal, TypedDict

import torch

from spooflab.allocator import keep_freed_memory
from spooflab.errors import ConfigError
from spooflab.generators.diffusion.identity_net import IDENTITY_JUDGE, save_identity
from spooflab.generators.diffusion.training.base import make_identity, make_identity_judge, make_judge
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
from spooflab.generators.diffusion.training.denoiser import DenoiserStage
from spooflab.generators.diffusion.training.examples import FACE, ExampleFolder, Examples, Prepared
from spooflab.generators.diffusion.training.export import export
from spooflab.generators.diffusion.training.identity import IdentityStage
from spooflab.generators.diffusion.training.loop import fit
from spooflab.generators.diffusion.training.material import MaterialStage, save_material
from spooflab.generators.diffusion.training.parts import make_parts
from spooflab.generators.diffusion.training.processes import processes
from spooflab.generators.diffusion.training.swap import SwapStage
from spooflab.generators.diffusion.training.vae import VaeStage, scaling_factor
from spooflab.generators.faces.configured import configured_faces
from spooflab.seeds import seed


class Common(TypedDict):
    """What all stages are told."""

    root: int
    precision: Literal["no", "bf16"]


def train(config: DiffusionTrainConfig, out: Path, *, workers: int = 1, half: bool = False) -> Path:
    """Train a model and return the folder that diffusers loads.

    A run that was stopped goes on: shards of examples that are there are kept, and each stage resumes from its last
    checkpoint, to the same weights. Started by `torchrun` or `accelerate launch`, several processes share each batch;
    the first of them renders and writes.

    Args:
        config: everything that decides the weights.
        out: folder of the run: `examples`, then a folder for each stage, in the order `vae`, `identity`, `denoiser`,
            `swap`, `identity_judge`, `material`; and `model`.
        workers: processes that render examples.
        half: write weights as float16.

    Raises:
        ConfigError, DataError: see the stages.
    """
    together = processes()
    with together.main_process_first():
        examples = prepare(config, out / "examples", workers)
    _check(config, examples)
    _begin(config, "weights")
    parts, identity = make_parts(config), make_identity(config)
    _begin(config, "material")
    judge = make_judge(config)
    _begin(config, IDENTITY_JUDGE)
    likeness = make_identity_judge(config)
    judges = [net for net in (judge, likeness) if net is not None]
    for module in (parts.vae, parts.unet, parts.controlnet, identity, *judges):
        module.to(memory_format=torch.channels_last)
    common: Common = {"root": config.seed, "precision": config.precision}
    key = _settings(config, without=("vae", "identity", "material", "denoiser", "swap", "precision"))
    if config.vae.steps:
        fit(VaeStage(parts.vae, examples), config.vae, out / "vae", **common, about=key)
        if config.base is None:
            parts.vae.register_to_config(scaling_factor=round(scaling_factor(parts.vae, examples), 5))
    if config.identity.steps:
        fit(IdentityStage(identity, examples), config.identity, out / "identity", **common, about=key)
    # Latents and identities follow from what was trained before.
    after = _settings(config, without=("material", "denoiser", "swap", "precision"))
    cache = out / "denoiser" / "latents.safetensors"
    _begin(config, "lora")
    if config.denoiser.steps:
        stage = DenoiserStage(parts, identity, examples, config.parts, cache=cache, about=after)
        fit(stage, config.denoiser, out / "denoiser", **common, about=after)
    if config.swap.steps:
        weight = config.swap.weight
        swap = SwapStage(parts, identity, examples, config.parts, weight=weight, cache=cache, about=after)
        both = _settings(config, without=("material", "swap", "precision"))
        fit(swap, config.swap, out / swap.name, **common, about=both)
    if together.is_main_process:
        export(parts, identity, out / "model", half=half)
    if likeness is not None and config.identity.steps:
        second = IdentityStage(likeness, examples, name=IDENTITY_JUDGE)
        fit(second, config.identity, out / second.name, **common, about=key)
    if likeness is not None and together.is_main_process:
        save_identity(likeness, out / "model" / IDENTITY_JUDGE)
    if judge is not None and config.material.steps:
        fit(MaterialStage(judge, examples), config.material, out / "material", **common, about=key)
    if judge is not None and together.is_main_process:
        save_material(judge, out / "model")
    together.wait_for_everyone()
    return out / "model"


def _begin(config: DiffusionTrainConfig, what: str) -> None:
    """Seed what torch initialises weights with: they may not depend on which stages ran in this process before."""
    torch.manual_seed(seed(config.seed, what) % 2**32)


def _check(config: DiffusionTrainConfig, examples: Examples) -> None:
    """Tell before the first stage what the last would stop at."""
    if config.material.steps and not (examples.kind != FACE).any():
        raise ConfigError("no example has a mask", wanted="masks above 0", next_step="or material.steps of 0")
    if config.identity.steps and len(set(examples.subject.tolist())) < 2:
        raise ConfigError("one person alone", wanted="two or more", next_step="or identity.steps of 0")


def prepare(config: DiffusionTrainConfig, folder: Path, workers: int) -> Examples:
    """Make the shards of examples that are missing and return all examples."""
    shards = _examples(config.model_dump_json(), folder)
    missing = [group for group in range(len(shards)) if not shards.path(group).exists()]
    sent = config.model_dump_json()
    if workers <= 1 or len(missing) <= 1:
        for group in missing:
            _tell(group, shards.fill(group))
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for group, skipped in zip(missing, pool.map(_fill, [(sent, folder, g) for g in missing]), strict=True):
                _tell(group, skipped)
    return shards.read()


def _examples(config_text: str, folder: Path) -> ExampleFolder:
    config = DiffusionTrainConfig.model_validate_json(config_text)
    source = configured_faces(config.faces, size=config.face_px, seed=config.people_seed)
    return ExampleFolder(folder, source, Prepared(config.size, config.masks, config.seed))


def _fill(what: tuple[str, Path, int]) -> list[str]:
    torch.set_num_threads(1)
    keep_freed_memory()
    text, folder, group = what
    return _examples(text, folder).fill(group)


def _settings(config: DiffusionTrainConfig, *, without: tuple[str, ...]) -> str:
    return json.dumps(config.model_dump(mode="json", exclude=set(without)), sort_keys=True)


def _tell(group: int, skipped: list[str]) -> None:
    for line in skipped:
        sys.stderr.write(f"examples {group:05d}: left out: {line}\n")
