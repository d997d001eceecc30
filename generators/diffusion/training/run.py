"""All of a training: examples, autoencoder, identity encoder, denoiser, export; each stage goes on where it stopped."""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal, TypedDict

import torch

from spooflab.allocator import keep_freed_memory
from spooflab.generators.diffusion.identity_net import IdentityNet
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
from spooflab.generators.diffusion.training.denoiser import DenoiserStage
from spooflab.generators.diffusion.training.examples import ExampleFolder, Examples, Prepared
from spooflab.generators.diffusion.training.export import export
from spooflab.generators.diffusion.training.identity import IdentityStage
from spooflab.generators.diffusion.training.loop import fit
from spooflab.generators.diffusion.training.material import MaterialNet, MaterialStage, save_material
from spooflab.generators.diffusion.training.parts import make_parts
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
    checkpoint, to the same weights.

    Args:
        config: everything that decides the weights.
        out: folder of the run: `examples`, `vae`, `identity`, `denoiser`, `material`, `model`.
        workers: processes that render examples.
        half: write weights as float16.

    Raises:
        ConfigError, DataError: see the stages.
    """
    examples = prepare(config, out / "examples", workers)
    torch.manual_seed(seed(config.seed, "weights") % 2**32)
    parts, identity = make_parts(config), IdentityNet(config.shape.identity)
    for module in (parts.vae, parts.unet, parts.controlnet, identity):
        module.to(memory_format=torch.channels_last)
    common: Common = {"root": config.seed, "precision": config.precision}
    key = _settings(config, without=("vae", "identity", "material", "denoiser", "precision"))
    if config.vae.steps:
        fit(VaeStage(parts.vae, examples), config.vae, out / "vae", **common, about=key)
        if config.base is None:
            parts.vae.register_to_config(scaling_factor=round(scaling_factor(parts.vae, examples), 5))
    if config.identity.steps:
        fit(IdentityStage(identity, examples), config.identity, out / "identity", **common, about=key)
    if config.denoiser.steps:
        # Its latents and identities follow from what was trained before.
        key = _settings(config, without=("material", "denoiser", "precision"))
        cache = out / "denoiser" / "latents.safetensors"
        stage = DenoiserStage(parts, identity, examples, config.parts, cache=cache, about=key)
        fit(stage, config.denoiser, out / "denoiser", **common, about=key)
    export(parts, identity, out / "model", half=half)
    if config.material.steps:
        judge = MaterialNet().to(memory_format=torch.channels_last)
        fit(MaterialStage(judge, examples), config.material, out / "material", **common, about=key)
        save_material(judge, out / "model")
    return out / "model"


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
