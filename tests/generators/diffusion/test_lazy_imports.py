"""Who lists attacks or reads a configuration does not wait for libraries that only painting needs."""

import subprocess
import sys

import pytest

_MODULES = (
    "catalogue",
    "diffusion.config",
    "attacks.digital.attribute_diffusion",
    "attacks.digital.swap_diffusion",
    "attacks.digital.swap_refine",
    "attacks.masks.mask_controlnet",
)
_HEAVY = ("diffusers", "transformers", "onnxruntime", "torch._dynamo")


@pytest.mark.slow
def test_importing_attacks_and_their_configuration_imports_nothing_heavy() -> None:
    lines = ["import importlib, sys"]
    for name in _MODULES:
        lines.append(f"importlib.import_module('spooflab.generators.{name}')")
        lines.append(f"print('{name}', [heavy for heavy in {_HEAVY} if heavy in sys.modules])")
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True)
    assert run.stdout.splitlines() == [f"{name} []" for name in _MODULES]
