"""Style banks from folders and files, and the module that draws from them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from spooflab.augment.style import (
    AmplitudeMix,
    HistogramMatch,
    LinearTransport,
    ReinhardTransfer,
    SlicedTransport,
    StyleBank,
    TargetStyle,
    level_cdf,
    measure,
)
from spooflab.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path: Path, targets: torch.Tensor) -> Path:
    root = tmp_path / "targets"
    root.mkdir()
    for i, picture in enumerate(targets):
        pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(root / f"{2 - i}.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    (root / "notes.txt").write_text("no picture", encoding="utf-8")
    return root


def test_a_folder_is_measured_in_the_order_of_its_names(folder: Path, targets: torch.Tensor) -> None:
    bank = StyleBank.from_folder(folder)
    assert bank.pictures == ("0.png", "1.png", "2.png")
    assert [name for name, _ in bank.refused] == ["broken.jpg"]
    torch.testing.assert_close(bank.statistics.cdf, level_cdf(targets.flip(0)))
    torch.testing.assert_close(bank.statistics.mean, measure(targets.flip(0)).mean)


def test_banks_are_kept_exactly(folder: Path, tmp_path: Path) -> None:
    bank = StyleBank.from_folder(folder)
    bank.save(tmp_path / "bank.safetensors")
    again = StyleBank.load(tmp_path / "bank.safetensors")
    assert again.pictures == bank.pictures
    for name, value in bank.statistics.__dict__.items():
        assert torch.equal(getattr(again.statistics, name), value)
    assert (tmp_path / "bank.safetensors").stat().st_size < 3 * 30_000


def test_damaged_banks_are_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    with pytest.raises(DataError, match="cannot be read"):
        StyleBank.load(path)
    path.write_bytes(b"12345")
    with pytest.raises(DataError, match="cannot be read"):
        StyleBank.load(path)
    save_file({"mean": torch.zeros(1, 3)}, str(path))
    with pytest.raises(DataError, match="cannot be read"):
        StyleBank.load(path)
    bank = StyleBank.from_folder(folder)
    bank.statistics.mean[0, 0] = torch.nan
    bank.save(path)
    with pytest.raises(DataError, match="NaN"):
        StyleBank.load(path)
    StyleBank(bank.statistics, ("one",)).save(path)
    with pytest.raises(DataError, match="wanted"):
        StyleBank.load(path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("covariance", lambda t: -t, "covariance is negative"),
        ("covariance", lambda t: t + torch.tensor([[0.0, 0.1, 0], [0, 0, 0], [0, 0, 0]]), "not symmetric"),
        ("cdf", lambda t: t * 2, "cdf goes from"),
        ("cdf", lambda t: t.flip(-1), "does not rise to 1"),
        ("cdf", lambda t: t / 2, "does not rise to 1"),
        ("mean", lambda t: t - 1, "mean goes from"),
        ("colours", lambda t: t + 1, "colours goes from"),
        ("lab_std", lambda t: -t, "lab_std is negative"),
        ("amplitude", lambda t: -t, "amplitude is negative"),
        ("amplitude", lambda t: t.half(), "amplitude is torch.float16"),
        ("mean", lambda t: t.float(), "mean is torch.float32"),
    ],
)
def test_impossible_statistics_are_refused(
    folder: Path, tmp_path: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor], said: str
) -> None:
    path = tmp_path / "bank.safetensors"
    bank = StyleBank.from_folder(folder)
    changed = dataclasses.replace(bank.statistics, **{name: change(getattr(bank.statistics, name))})
    dataclasses.replace(bank, statistics=changed).save(path)
    with pytest.raises(DataError, match=said):
        StyleBank.load(path)


@pytest.mark.parametrize("pictures", ['"abc"', '{"a": 1, "b": 2, "c": 3}', "[1, 2, 3]", "[" * 100_000])
def test_pictures_that_are_no_list_of_names_are_refused(folder: Path, tmp_path: Path, pictures: str) -> None:
    path = tmp_path / "bank.safetensors"
    tensors = StyleBank.from_folder(folder).statistics.__dict__
    save_file(tensors, str(path), metadata={"format": "spooflab style bank 1", "pictures": pictures})
    with pytest.raises(DataError, match="cannot be read"):
        StyleBank.load(path)


def test_a_missing_folder_to_save_in_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        StyleBank.from_folder(folder).save(tmp_path / "nowhere" / "bank.safetensors")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_of_a_network_leaves_the_statistics_alone(
    folder: Path, pictures: torch.Tensor, dtype: torch.dtype
) -> None:
    style = TargetStyle(folder)
    params = style.sample(3, torch.Generator().manual_seed(0))
    before = style.apply_style(pictures, params)
    model = torch.nn.Sequential(style, torch.nn.Linear(2, 2)).to(dtype)
    assert model[1].weight.dtype == dtype
    assert torch.equal(style.apply_style(pictures, params), before)
    assert style.to("meta").style_mean.device.type == "meta"


@pytest.mark.parametrize("method", [AmplitudeMix, ReinhardTransfer, HistogramMatch, LinearTransport, SlicedTransport])
def test_the_order_in_memory_does_not_matter(folder: Path, method: type[torch.nn.Module]) -> None:
    style = TargetStyle(folder, methods=[method()])
    photos = torch.rand(3, 3, 61, 83, generator=torch.Generator().manual_seed(0))
    params = style.sample(3, torch.Generator().manual_seed(0))
    turned = photos.contiguous(memory_format=torch.channels_last)
    assert torch.equal(style.apply_style(turned, params), style.apply_style(photos, params))


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        StyleBank.from_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no picture"):
        StyleBank.from_folder(tmp_path)
    (tmp_path / "x.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"1 refused, the first x\.png"):
        TargetStyle(tmp_path)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_the_generator_decides_and_types_stay(folder: Path, pictures: torch.Tensor, dtype: torch.dtype) -> None:
    style = TargetStyle(folder)
    photos = (pictures * 255).byte() if dtype == torch.uint8 else pictures.to(dtype)
    first = style(photos, generator=torch.Generator().manual_seed(1))
    assert first.dtype == dtype
    assert torch.equal(style(photos, generator=torch.Generator().manual_seed(1)), first)
    assert not torch.equal(style(photos, generator=torch.Generator().manual_seed(2)), first)


def test_a_row_is_the_same_alone(folder: Path, pictures: torch.Tensor) -> None:
    style = TargetStyle(folder)
    photos = pictures.repeat(7, 1, 1, 1)
    params = style.sample(21, torch.Generator().manual_seed(0))
    assert set(params.method.tolist()) == set(range(5))
    assert set(params.picked.tolist()) == set(range(3))
    assert 0.5 <= float(params.weight.min()) <= float(params.weight.max()) <= 1
    together = style.apply_style(photos, params)
    for i in range(21):
        assert torch.equal(style.apply_style(photos[i : i + 1], params.row(i)), together[i : i + 1])
    few = style.sample(4, torch.Generator().manual_seed(0))
    assert torch.equal(few.seed, params.seed[:4])


def test_on_the_accelerator(folder: Path, pictures: torch.Tensor, device: torch.device) -> None:
    style = TargetStyle(folder)
    params = style.sample(3, torch.Generator().manual_seed(4))
    here = style.apply_style(pictures, params)
    there = style.to(device).apply_style(pictures.to(device), params)
    torch.testing.assert_close(there.cpu(), here, atol=0.02, rtol=0)


def test_chosen_methods_and_files(folder: Path, tmp_path: Path, pictures: torch.Tensor) -> None:
    StyleBank.from_folder(folder).save(tmp_path / "bank.safetensors")
    style = TargetStyle(tmp_path / "bank.safetensors", methods=[HistogramMatch()], weight=(1, 1))
    styled = style(pictures[:1], generator=torch.Generator().manual_seed(1))
    picked = int(style.sample(1, torch.Generator().manual_seed(1)).picked)
    gap = level_cdf(styled) - StyleBank.from_folder(folder).statistics.cdf[picked : picked + 1]
    assert float(gap.abs().mean()) < 0.01
    with pytest.raises(ConfigError, match="weight"):
        TargetStyle(folder, weight=(0.5, 2))
    with pytest.raises(ConfigError, match="without methods"):
        TargetStyle(folder, methods=[])


def test_large_pictures_are_counted_on_a_grid() -> None:
    gen = torch.Generator().manual_seed(0)
    large = torch.rand(1, 3, 1100, 1200, generator=gen)
    style = measure(large)
    np.testing.assert_allclose(style.mean.numpy(), large.mean((2, 3)).numpy(), atol=0.005)
    np.testing.assert_allclose(style.cdf[0, 0].numpy(), (np.arange(256) + 0.5) / 255, atol=0.01)
