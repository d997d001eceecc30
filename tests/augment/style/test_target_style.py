"""Style banks from folders and files, and the module that draws from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from spooflab.augment.style import HistogramMatch, StyleBank, TargetStyle, level_cdf, measure
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
