"""`spooflab diffusion train|evaluate` as users meet it: what is refused, and a whole run on photographs."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetInpaintPipeline
from PIL import Image
from safetensors.torch import load_file

from spooflab.augment.tone import srgb_encode
from spooflab.cli.main import run
from spooflab.generators.faces.landmarks import FIVE
from spooflab.generators.faces.procedural import ProceduralFaces

PLAN = {"steps": 2, "batch": 2, "warm": 0}


def _written(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({"size": 32, "face_px": 96, **changes}), encoding="utf-8")
    return path


def _refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["diffusion", *words]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    return seen.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "CONFIG"], "no --out"),
        (["show", "CONFIG", "--out", "OUT"], "--out belongs to train"),
        (["evaluate", "CONFIG", "--out", "OUT"], "--out belongs to train"),
        (["train", "CONFIG", "--out", "OUT", "--workers", "0"], "--workers 0"),
        (["train", "none.yaml", "--out", "OUT"], "none.yaml"),
        (["evaluate", "embedded", "--people", "1"], "--people 1"),
    ],
)
def test_wrong_words_are_told(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {"CONFIG": str(_written(tmp_path / "c.yaml")), "OUT": str(tmp_path / "out")}
    assert told in _refusal(capsys, *(paths.get(word, word) for word in words))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stepz": 3}, "stepz"),
        ({"vae": {"steps": 3, "batches": 2}}, "batches"),
        ({"vae": {"batch": 2}}, "vae.steps"),
        ({"parts": {"unet": "lora"}}, "name a base"),
        ({"masks": 0}, "material.steps"),
        ({"precision": "fp8"}, "precision"),
        ({"shape": {"vae": [12, 16]}}, "vae"),
    ],
)
def test_wrong_configurations_are_told(
    changes: dict[str, Any], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _written(tmp_path / "c.yaml", **changes)
    error = _refusal(capsys, "train", str(config), "--out", str(tmp_path / "out"))
    assert told in error
    assert not (tmp_path / "out").exists()


def test_one_person_alone_is_told_before_anything_is_learnt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = _written(
        tmp_path / "c.yaml", masks=0, material={"steps": 0}, faces={"kind": "procedural", "subjects": 1, "sessions": 1}
    )
    assert "one person alone" in _refusal(capsys, "train", str(config), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out" / "vae").exists()


def _photographs(folder: Path, count: int) -> Path:
    """Write rendered faces, enlarged to 288 px, as PNG with a sidecar of their five points; return the sidecar."""
    source = ProceduralFaces(n_subjects=count // 2, sessions=2, size=96, seed=8)
    folder.mkdir()
    sidecar = folder.parent / "landmarks.csv"
    with sidecar.open("w", newline="") as file, torch.inference_mode():
        rows = csv.writer(file)
        rows.writerow(["file", *[f"{n}_{a}" for n in FIVE for a in "xy"], "box_x", "box_y", "box_w", "box_h"])
        for ref in source.refs():
            face = source.load(ref)
            pixels = (srgb_encode(face.radiance.clamp(0, 1))[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            name = f"{ref.subject_id}/{ref.source_id}.png"
            (folder / name).parent.mkdir(exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).resize((288, 288)).save(folder / name)
            rows.writerow([name, *(3 * face.landmarks5[0]).flatten().tolist(), *(3 * face.box[0]).tolist()])
    return sidecar


def _command(config: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "spooflab.cli", "diffusion", "train", str(config), "--out", str(out)]


def _alone() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers
def test_photographs_to_a_model_that_plain_diffusers_loads(tmp_path: Path) -> None:
    """A hundred photographs, fifty steps, killed in the middle: the same files as of the run that was not."""
    sidecar = _photographs(tmp_path / "photos", 100)
    config = _written(
        tmp_path / "c.yaml",
        faces={
            "kind": "folder", "root": str(tmp_path / "photos"), "landmarks": str(sidecar), "dense": "mean_head",
            "geometry": "none",
        },
        masks=0, face_px=64, material={"steps": 0},
        shape={"vae": [8, 8, 16], "unet": [8, 16], "text": 16, "text_layers": 1, "identity": 8, "heads": 2},
        vae={**PLAN, "steps": 5}, identity={**PLAN, "steps": 5},
        denoiser={"steps": 50, "batch": 4, "save_every": 10, "sheet_every": 50},
    )  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = subprocess.run(_command(config, whole), env=_alone(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(whole / "model")
    cut.mkdir()
    (cut / "examples").symlink_to(whole / "examples")
    state = cut / "denoiser" / "state.safetensors"
    with subprocess.Popen(
        _command(config, cut), env=_alone(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as p:
        until = time.monotonic() + 240
        while not state.exists() and p.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        p.send_signal(signal.SIGKILL)
    assert p.returncode == -signal.SIGKILL
    assert not (cut / "model").exists()
    again = subprocess.run(_command(config, cut), env=_alone(), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    files = sorted(path.relative_to(whole) for path in (whole / "model").rglob("*") if path.is_file())
    assert len(files) > 10
    for name in files:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert len(np.load(whole / "examples" / "00000.npz")["picture"]) == 32  # sixteen people twice
    moved = load_file(whole / "denoiser" / "state.safetensors")
    assert any("to_v_ip" in key and bool(value.any()) for key, value in moved.items())
    pipeline = StableDiffusionControlNetInpaintPipeline.from_pretrained(cut / "model", safety_checker=None)
    pipeline.load_ip_adapter(
        cut / "model", subfolder="", weight_name="ip_adapter.safetensors", image_encoder_folder=None
    )
    pipeline.set_progress_bar_config(disable=True)
    picture = torch.rand(1, 3, 32, 32)
    made = pipeline(
        "a photo of a face", image=picture, mask_image=torch.ones(1, 1, 32, 32), control_image=picture,
        ip_adapter_image_embeds=[torch.zeros(2, 1, 8)], num_inference_steps=2, guidance_scale=2.0, output_type="pt",
        height=32, width=32,
    ).images  # fmt: skip
    assert bool(made.isfinite().all())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers
def test_a_model_is_measured(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shares are shares, nothing beside the masks changes, and the same model measures the same."""
    words = ["diffusion", "evaluate", str(trained / "model"), "--people", "2", "--json"]
    assert run(words) == 0
    first = capsys.readouterr().out
    facts = json.loads(first)
    assert (facts["swaps"], facts["masks"]) == (2, 2)
    assert set(facts["named_of"]) == {"silicone", "latex"}
    for name in ("found", "nearer_to_source", "nearer_without_identity", "nearer_untouched", "named"):
        assert 0 <= facts[name] <= 1
    assert facts["changed_outside"] == 0
    assert 0 < facts["landmark_error_untouched"] < 0.2
    assert run(words) == 0
    assert capsys.readouterr().out == first
