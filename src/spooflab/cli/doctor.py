"""`spooflab doctor`: does this installation work, and on what."""

import importlib.metadata
import importlib.util
import json as json_module
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from typing import Any

EXTRAS = {
    "data": ("datasets", "skimage"),
    "diffusion": ("diffusers", "transformers", "accelerate", "peft"),
    "adapt": (
        *("transformers", "accelerate", "pytorch_adapt", "pytorch_metric_learning", "peft", "torchvision"),
        *("setuptools", "tensorboard"),
    ),
    "study": ("scipy", "sklearn", "matplotlib", "jinja2", "optuna", "cmaes", "captum"),
    "interop": ("albumentations", "torchvision", "datasets"),
    "detect": ("onnxruntime",),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "slurm": ("submitit",),
    "metrics": ("prometheus_client",),
    "qa": ("cleanvision",),
    "c2pa": ("c2pa",),
    "video": ("av",),
    "hdf5": ("h5py",),
}


def doctor(*, json: bool = False) -> int:
    """Check the installation: Python, libraries, extras, devices, a face rendered twice, a writable folder.

    Args:
        json: print the findings as JSON.
    """
    checks = [_check(name, function) for name, function in _CHECKS.items()]
    extras = {name: all(importlib.util.find_spec(m) is not None for m in modules) for name, modules in EXTRAS.items()}
    ok = all(check["ok"] for check in checks)
    if json:
        sys.stdout.write(json_module.dumps({"ok": ok, "checks": checks, "extras": extras}) + "\n")
        return 0 if ok else 1
    for check in checks:
        sys.stdout.write(f"{'ok  ' if check['ok'] else 'FAIL'} {check['name']}: {check['detail']}\n")
    for name, present in extras.items():
        note = "installed" if present else f"not installed (pip install 'spooflab[{name}]')"
        sys.stdout.write(f"     extra {name}: {note}\n")
    return 0 if ok else 1


def _check(name: str, function: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": function()}
    except Exception as error:  # a doctor reports every failure and goes on to the next check
        return {"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}"}


def _python() -> str:
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _libraries() -> str:
    return ", ".join(
        f"{n} {importlib.metadata.version(n)}" for n in ("spooflab", "torch", "kornia", "numpy", "pyarrow")
    )


def _accelerator() -> str:
    import torch

    if not torch.cuda.is_available():
        return "no CUDA device; everything runs on the CPU"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _rendering() -> str:
    import hashlib

    from spooflab.generators.config import GenerationConfig
    from spooflab.generators.lab import Lab
    from spooflab.generators.plan import make_plan

    config = GenerationConfig(n=2, attacks=("replay_phone",), devices=("front_phone",), bonafide_share=0.5)
    lab = Lab(config)
    specs = make_plan(config, lab.refs(), lab.device_ids).specs
    digests = [[hashlib.sha256(lab.make(spec).image).hexdigest()[:12] for spec in specs] for _ in range(2)]
    if digests[0] != digests[1]:
        raise RuntimeError(f"the same plan gave different pixels: {digests}")
    return f"bona fide and replay rendered twice, identical ({digests[0][0]}, {digests[0][1]})"


def _disk() -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
        return f"temporary folder {tempfile.gettempdir()} is writable"


_CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "libraries": _libraries,
    "accelerator": _accelerator,
    "rendering": _rendering,
    "disk": _disk,
}
