"""`spooflab diffusion`: get a model from the hub, say what a model's folder holds, train one, or measure one."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from spooflab.errors import ConfigError

if TYPE_CHECKING:
    from spooflab.generators.diffusion import ModelSource


def diffusion(
    action: tyro.conf.Positional[Literal["fetch", "show", "train", "evaluate"]],
    what: tyro.conf.Positional[str],
    /,
    *,
    variant: str | None = None,
    json: bool = False,
    out: Path | None = None,
    workers: int = 1,
    half: bool = False,
    people: int = 60,
) -> int:
    """Get, inspect, train or measure a diffusion model: safetensors alone, at one commit, without any code of its own.

    Args:
        action: `fetch` downloads from the hub, then shows; `show` says what is on this machine; `train` makes a model;
            `evaluate` swaps faces and paints masks of rendered people with one, and measures the results.
        what: hub:owner/name@commit (40 hexadecimal digits), or a folder in the format of diffusers; either may go on
            with /one.safetensors, the file of an IP-Adapter. To train, the YAML file that says on which faces, in which
            sizes and how long. To evaluate, a folder that training wrote, or `embedded`.
        variant: infix of the weight files to take, such as fp16.
        json: print the facts as JSON.
        out: training: folder of the run, which goes on where it stopped; its `model` is what diffusers loads.
        workers: training: processes that make examples.
        half: training: write weights as float16.
        people: evaluation: rendered people, 2 or more.
    """
    if out is not None and action != "train":
        raise ConfigError(f"--out {out} with {action}", wanted="--out belongs to train")
    if action == "train":
        return _train(what, out, workers, half)
    if action == "evaluate":
        return _evaluate(what, people, json)
    return _show(what, variant, download=action == "fetch", json=json)


def _train(config: str, out: Path | None, workers: int, half: bool) -> int:
    from spooflab.config import load_config
    from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
    from spooflab.generators.diffusion.training.processes import processes
    from spooflab.generators.diffusion.training.run import train

    if out is None:
        raise ConfigError("diffusion train: no --out", wanted="--out FOLDER, where the run is kept")
    if workers < 1:
        raise ConfigError(f"--workers {workers}", wanted="1 or more")
    folder = train(load_config(Path(config), DiffusionTrainConfig), out, workers=workers, half=half)
    if processes().is_main_process:
        sys.stdout.write(f"{folder}\n")
    return 0


def _evaluate(model: str, people: int, json: bool) -> int:
    from spooflab.generators.diffusion.training.evaluate import evaluate, own_settings

    if people < 2:
        raise ConfigError(f"--people {people}", wanted="2 or more: a swap needs two")
    facts = evaluate(own_settings(model), people=people).as_json()
    text = json_module.dumps(facts) if json else "\n".join(f"{name}: {value}" for name, value in facts.items())
    sys.stdout.write(text + "\n")
    return 0


def _show(model: str, variant: str | None, *, download: bool, json: bool) -> int:
    from spooflab.generators.diffusion import fetch, locate, parse_source, read_model_folder
    from spooflab.generators.diffusion.config import EMBEDDED
    from spooflab.generators.diffusion.embedded import EMBEDDED_FOLDER

    if model == EMBEDDED:
        model = str(EMBEDDED_FOLDER)
    source = parse_source(model, variant=variant)
    if source.file is not None:
        return _adapter(source, download=download, json=json)
    folder = read_model_folder(fetch(source) if download else locate(source), variant=variant)
    facts = {
        "source": str(source),
        "folder": str(folder.path),
        "class": folder.class_name,
        "licence": folder.licence,
        "sha256": folder.digest,
        "parameters": folder.parameters,
        "weights_bytes": {dtype: folder.bytes_as(dtype) for dtype in ("float32", "bfloat16")},
        "parts": {part.name or part.class_name: part.parameters for part in folder.parts},
    }
    if json:
        sys.stdout.write(json_module.dumps(facts) + "\n")
        return 0
    sizes = " or ".join(f"{folder.bytes_as(dtype) / 1e9:.2f} GB as {dtype}" for dtype in ("float32", "bfloat16"))
    lines = [
        f"{folder.class_name}, {folder.parameters / 1e6:.1f} M parameters: {sizes}",
        f"licence: {folder.licence or 'not named; ask its authors before you use it'}",
        f"sha256: {folder.digest}",
        f"folder: {folder.path}",
    ]
    lines += [
        f"  {part.name or '.'}: {part.class_name}, {part.parameters / 1e6:.1f} M"
        for part in folder.parts
        if part.weights
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _adapter(source: "ModelSource", *, download: bool, json: bool) -> int:
    from spooflab.generators.diffusion import fetch, locate_file, read_adapter

    if download:
        fetch(source)
    adapter = read_adapter(locate_file(source))
    facts = {
        "source": str(source),
        "file": str(adapter.path),
        "class": f"IP-Adapter {adapter.kind}",
        "sha256": adapter.digest,
        "parameters": adapter.parameters,
        "identity_width": adapter.width,
        "lora": adapter.has_lora,
    }
    lines = [json_module.dumps(facts)] if json else [f"{name}: {value}" for name, value in facts.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
