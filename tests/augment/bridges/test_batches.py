"""Whole batches: bytes from the workers, cameras where the batch is, and the hooks of training loops."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from spooflab.augment import DeviceShift
from spooflab.augment.bridges import BatchDevice, KeyedDataset, collate_uint8
from spooflab.augment.bridges.lightning import DeviceHook
from spooflab.errors import ConfigError, DataError


def test_collate_gives_bytes_of_every_kind_of_picture() -> None:
    pixels = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
    sample = (Image.fromarray(pixels), {"again": pixels, "name": "a"}, 3)
    batch = collate_uint8([sample, sample])
    assert batch[0].shape == (2, 3, 8, 9)
    assert batch[0].dtype == torch.uint8
    assert torch.equal(batch[0][1], torch.from_numpy(pixels).permute(2, 0, 1))
    assert torch.equal(batch[1]["again"], batch[0])
    assert batch[1]["name"] == ["a", "a"]
    assert batch[2].tolist() == [3, 3]


def test_collated_batches_are_photographed_by_their_keys(shift: DeviceShift, photos: torch.Tensor) -> None:
    data = KeyedDataset(TensorDataset(photos, torch.arange(8) % 2))
    device = BatchDevice(shift, seed=1, key=2)
    whole, labels, keys = device(next(iter(DataLoader(data, batch_size=8, collate_fn=collate_uint8))))
    assert whole.dtype == torch.uint8
    assert keys.tolist() == list(range(8))
    assert labels.tolist() == [0, 1] * 4
    order = torch.Generator().manual_seed(3)
    shuffled = DataLoader(data, batch_size=3, shuffle=True, generator=order, num_workers=2, collate_fn=collate_uint8)
    for batch in shuffled:
        new, _, keys = device(batch)
        assert torch.equal(new, whole[keys])
    device.set_epoch(1)
    again, _, _ = device([photos, labels, torch.arange(8)])
    assert not any(torch.equal(a, b) for a, b in zip(again, whole, strict=True))


def test_batches_on_the_accelerator(shift: DeviceShift, photos: torch.Tensor, device: torch.device) -> None:
    here = BatchDevice(shift, seed=1)(photos)
    there = BatchDevice(shift, seed=1)(photos.to(device))
    assert there.device.type == device.type
    assert float((there.cpu().float() - here.float()).abs().mean()) < 2


def test_batches_may_be_tensors_tuples_or_dictionaries(shift: DeviceShift, photos: torch.Tensor) -> None:
    bare = BatchDevice(shift, seed=1)(photos)
    assert torch.equal(BatchDevice(shift, seed=1)((photos, 1))[0], bare)
    named = BatchDevice(shift, seed=1, image="image")({"image": photos, "label": 1})
    assert torch.equal(named["image"], bare)
    assert named["label"] == 1
    assert torch.equal(BatchDevice(shift, seed=1, p=0)(photos), photos)
    half = BatchDevice(shift, seed=1, p=0.5)
    mixed = half(photos)
    same = [torch.equal(a, b) for a, b in zip(mixed, photos, strict=True)]
    assert 0 < sum(same) < 8
    assert all(s or torch.equal(m, b) for s, m, b in zip(same, mixed, bare, strict=True))


def test_rows_that_are_bona_fide_get_the_mild_pass(shift: DeviceShift, photos: torch.Tensor) -> None:
    labels = torch.tensor([0, 1] * 4)
    mixed = BatchDevice(shift, seed=1, gentle_rows=1)((photos, labels))[0]
    mild, full = BatchDevice(shift, seed=1, gentle=True)(photos), BatchDevice(shift, seed=1)(photos)
    assert torch.equal(mixed, torch.where(labels[:, None, None, None].bool(), mild, full))
    some = BatchDevice(shift, seed=1, gentle_rows=1, p=0.5)((photos, labels))[0]
    same = [torch.equal(a, b) for a, b in zip(some, photos, strict=True)]
    assert all(s or torch.equal(a, b) for s, a, b in zip(same, some, mixed, strict=True))
    with pytest.raises(DataError, match="gentle rows"):
        BatchDevice(shift, seed=1, gentle_rows=1)((photos, labels + 1))


def test_wrong_places_are_named(shift: DeviceShift, photos: torch.Tensor) -> None:
    with pytest.raises(DataError, match="'image' in a batch that is a dict"):
        BatchDevice(shift, seed=1, image="image")({"img": photos})
    with pytest.raises(DataError, match="2 keys for 8"):
        BatchDevice(shift, seed=1, key=1)((photos, torch.tensor([1, 2])))
    with pytest.raises(DataError, match="the batch's pictures are str"):
        BatchDevice(shift, seed=1)(("name", photos))
    with pytest.raises(ConfigError, match="without keys"):
        next(iter(DataLoader(TensorDataset(photos), num_workers=1, collate_fn=_InCollate(shift))))


class _InCollate:
    def __init__(self, shift: DeviceShift) -> None:
        self.device = BatchDevice(shift, seed=1)

    def __call__(self, samples: list[tuple[torch.Tensor]]) -> torch.Tensor:
        return self.device(torch.stack([s[0] for s in samples]))


class Trainer:
    """What Lightning's trainer shows of itself to a module's hooks."""

    training, current_epoch = True, 0


class LightningLike(nn.Module):
    """The parent that Lightning provides: a module with the hook's signature."""

    def __init__(self) -> None:
        super().__init__()
        self.trainer = Trainer()

    def on_after_batch_transfer(self, batch: object, dataloader_idx: int) -> object:
        return batch


@pytest.mark.slow
def test_the_lightning_hook_photographs_training_batches_only(shift: DeviceShift, photos: torch.Tensor) -> None:
    class Model(DeviceHook, LightningLike):
        batch_device = BatchDevice(shift, seed=1, key=1)

    model = Model()
    batch = [photos, torch.arange(8)]
    first = model.on_after_batch_transfer(batch, 0)[0]
    assert torch.equal(first, BatchDevice(shift, seed=1, key=1)(batch)[0])
    model.trainer.current_epoch = 1
    assert not torch.equal(model.on_after_batch_transfer(batch, 0)[0], first)
    model.trainer.training = False
    assert torch.equal(model.on_after_batch_transfer(batch, 0)[0], photos)


@pytest.mark.slow
def test_accelerates_loader_gives_the_same_photographs(shift: DeviceShift, photos: torch.Tensor) -> None:
    accelerate = pytest.importorskip("accelerate")
    data = KeyedDataset(TensorDataset(photos))
    loader = accelerate.Accelerator(cpu=True).prepare(DataLoader(data, batch_size=3, shuffle=True))
    device = BatchDevice(shift, seed=1, key=1)
    whole, keys = device([photos, torch.arange(8)])
    second = {}
    for epoch in range(2):
        device.set_epoch(epoch)
        for batch in loader:
            new, keys = device(batch)
            second |= dict(zip(keys.tolist(), new, strict=True))
            assert epoch == 1 or torch.equal(new, whole[keys])
    assert len(second) == 8
    assert not any(torch.equal(second[i], whole[i]) for i in range(8))


def test_keyed_data_sets_name_their_samples(photos: torch.Tensor) -> None:
    assert KeyedDataset([{"a": 1}])[0] == {"a": 1, "key": 0}  # type: ignore[arg-type]
    assert KeyedDataset(["a", "b"])[1] == ("b", 1)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="already"):
        KeyedDataset([{"key": 1}])[0]  # type: ignore[arg-type]
    with pytest.raises(DataError, match="map-style"):
        KeyedDataset(iter([]))  # type: ignore[arg-type]
