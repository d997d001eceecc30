"""The suite `gpu` measures on a CUDA device or not at all."""

import pytest
import torch

from spooflab.cli.main import run
from spooflab.experiments.bench import gpu

CPU = torch.device("cpu")


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_without_a_device_it_says_so_and_prints_no_figures(
    json: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert run(["bench", "gpu", *json]) == 0
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.strip() == "gpu: not run: PyTorch finds no CUDA device here"
    assert gpu.gpu_cases(1) == []
    monkeypatch.setattr(torch.version, "cuda", None)
    assert gpu.why_not() == "this PyTorch was built without CUDA"


def test_the_least_bytes_are_those_of_its_tensors() -> None:
    face, light, plane, small = (torch.zeros(3, 6, 6), torch.zeros(3, 8, 8), torch.zeros(8, 8), torch.zeros(3, 4, 4))
    assert gpu.least_bytes(6, 8, 4) == sum(t.nbytes for t in (face, light, light, plane, plane, small))


def test_copied_bytes_are_counted_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves half a second at each look: 2 x 1000 bytes in half a second."""
    clock = iter(range(1000))
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(clock) / 2)
    assert gpu.copy_bytes_per_s(CPU, 1000) == 4000


@pytest.mark.slow
def test_the_cases_run_and_name_their_device() -> None:
    """On the CPU and tiny: what is measured, not how fast."""
    rows = gpu.device_cases(CPU, batches=(2,), sensor_px=64, output_px=32, copy_bytes=1 << 16)
    assert [row["name"] for row in rows] == [
        f"{species} {kind} B=2 32 px" for species in gpu.SPECIES for kind in ("render", "augment")
    ]
    for row in rows:
        assert row["device"] == "cpu"
        assert row["ours_per_s"] > 0
        assert ("kornia" in row["peer"]) == ("render" in row["name"])
        assert (row["bandwidth_share"] is not None) == ("render" in row["name"])


def test_the_peer_draws_the_subpixels_it_is_asked_for() -> None:
    """White light through stripes of three colours, all of it kept: the picture's middle is white on average."""
    seen = gpu._supersampled(torch.ones(1, 3, 16, 16), 96, 48)
    torch.testing.assert_close(seen[..., 12:-12, 12:-12].mean((2, 3)), torch.ones(1, 3), atol=0.05, rtol=0)
