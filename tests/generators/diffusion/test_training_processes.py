"""Two processes that share each batch, as `torchrun` starts them, against one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
from spooflab.generators.diffusion.training.parts import make_parts
from spooflab.seeds import seed


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(training: DiffusionTrainConfig, trained: Path, tmp_path: Path) -> None:
    """The autoencoder moves to the same weights but for the order of sums, which Adam's first steps enlarge."""
    config, out = tmp_path / "c.yaml", tmp_path / "two"
    config.write_text(json.dumps(training.model_dump(mode="json")), encoding="utf-8")
    out.mkdir()
    (out / "examples").symlink_to(trained / "examples")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "spooflab.cli",
         "diffusion", "train", str(config), "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(out / "model")]  # one of them speaks
    lines = (out / "vae" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2]
    files = [{p.relative_to(folder) for p in (folder / "model").rglob("*")} for folder in (out, trained)]
    assert files[0] == files[1]
    torch.manual_seed(seed(training.seed, "weights") % 2**32)
    begun = make_parts(training).vae.state_dict()
    one, two = (load_file(f / "model" / "vae" / "diffusion_pytorch_model.safetensors") for f in (trained, out))
    moved = torch.cat([(one[key] - begun[key]).flatten() for key in begun])
    apart = torch.cat([(one[key] - two[key]).flatten() for key in begun])
    assert float(moved.abs().mean()) > 1e-4
    assert float(apart.abs().mean()) < 0.02 * float(moved.abs().mean())
