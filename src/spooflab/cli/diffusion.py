"""`spooflab diffusion`: get a model from the hub, or say what a model's folder holds."""

import json as json_module
import sys
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from spooflab.generators.diffusion import ModelSource


def diffusion(
    action: tyro.conf.Positional[Literal["fetch", "show"]],
    model: tyro.conf.Positional[str],
    /,
    *,
    variant: str | None = None,
    json: bool = False,
) -> int:
    """Get or inspect a diffusion model: safetensors alone, at one commit, without any code of its own.

    Args:
        action: `fetch` downloads from the hub, then shows; `show` says what is on this machine.
        model: hub:owner/name@commit (40 hexadecimal digits), or a folder in the format of diffusers; either may go on
            with /one.safetensors, the file of an IP-Adapter.
        variant: infix of the weight files to take, such as fp16.
        json: print the facts as JSON.
    """
    from spooflab.generators.diffusion import fetch, locate, parse_source, read_model_folder

    source = parse_source(model, variant=variant)
    if source.file is not None:
        return _adapter(source, download=action == "fetch", json=json)
    folder = read_model_folder(fetch(source) if action == "fetch" else locate(source), variant=variant)
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
