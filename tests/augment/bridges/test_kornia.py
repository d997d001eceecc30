"""The device as a member of Kornia's AugmentationSequential."""

import kornia.augmentation as K
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from spooflab.augment import CaptureDevice, DeviceShift
from spooflab.augment.bridges.kornia import KorniaDevice
from spooflab.errors import ConfigError, DataError


def test_masks_boxes_and_keypoints_follow(bent: CaptureDevice, scene) -> None:  # type: ignore[no-untyped-def]
    augment = K.AugmentationSequential(
        KorniaDevice(bent, seed=1), data_keys=["input", "mask", "bbox_xyxy", "keypoints", "label"]
    )
    image = torch.from_numpy(scene.image).permute(2, 0, 1)[None].float() / 255
    x1, y1, x2, y2 = scene.box
    photo, mask, box, dot, label = augment(
        image,
        torch.from_numpy(scene.mask)[None, None].float(),
        torch.tensor([[[x1, y1, x2, y2]]]),
        torch.tensor([[scene.dot]]) - 0.5,
        torch.tensor([1]),
    )
    assert label.tolist() == [1]
    scene.check(
        (photo[0] * 255).permute(1, 2, 0).numpy(), mask[0, 0].numpy(), box[0, 0].numpy(), dot[0, 0].numpy() + 0.5
    )


def test_keys_decide_whatever_the_batch(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = KorniaDevice(shift, seed=1)
    augment = K.AugmentationSequential(device, data_keys=["input"])
    images = photos.float() / 255
    device.set_keys(range(8))
    together = augment(images)
    torch.manual_seed(5)
    device.set_keys(torch.tensor([6, 2]))
    assert torch.equal(augment(images[[6, 2]]), together[[6, 2]])
    device.set_epoch(1)
    device.set_keys(range(8))
    assert not any(torch.equal(a, b) for a, b in zip(augment(images), together, strict=True))


def test_without_keys_the_place_in_the_epoch_decides(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = KorniaDevice(shift, seed=1)
    images = photos.float() / 255
    whole = device(images)
    device.set_epoch(0)
    assert torch.equal(torch.cat([device(part) for part in images.split(3)]), whole)
    assert not torch.equal(device(images), whole)  # further on in the same epoch


def test_parameters_replay(shift: DeviceShift, photos: torch.Tensor) -> None:
    augment = K.AugmentationSequential(KorniaDevice(shift, seed=1), K.RandomHorizontalFlip(p=0.5), data_keys=["input"])
    images = photos.float() / 255
    first = augment(images)
    params = augment._params
    augment(images)
    assert torch.equal(augment(images, params=params), first)


def test_probability_batch_sharing_and_types(shift: DeviceShift, photos: torch.Tensor) -> None:
    images = photos.float() / 255
    rare = KorniaDevice(shift, seed=3, p=0.5)
    rare.set_keys(range(8))
    changed = [not torch.equal(a, b) for a, b in zip(rare(images), images, strict=True)]
    assert changed == rare.keyed.applied(rare.keyed.seeds(range(8))).tolist()
    assert 0 < sum(changed) < 8
    same = KorniaDevice(shift, seed=1, same_on_batch=True)(images[:1].expand(3, -1, -1, -1))
    assert torch.equal(same[0], same[2])
    assert KorniaDevice(shift, seed=1, keepdim=True)(images[0]).shape == images[0].shape
    assert KorniaDevice(shift, seed=1)(images.to(torch.bfloat16)).dtype == torch.bfloat16


def test_a_lens_is_no_matrix_and_has_no_inverse(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = KorniaDevice(shift, seed=1)
    out = device(photos.float() / 255)
    assert torch.equal(device.transform_matrix, torch.eye(3).expand(8, 3, 3))
    with pytest.raises(NotImplementedError, match="taken back"):
        device.inverse(out)


class InWorker(Dataset):
    def __init__(self, device: KorniaDevice) -> None:
        self.device = device

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.device(torch.rand(1, 3, 32, 32))


def test_workers_must_name_their_samples(shift: DeviceShift, photos: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="without keys"):
        list(DataLoader(InWorker(KorniaDevice(shift, seed=1)), num_workers=1))
    device = KorniaDevice(shift, seed=1)
    device.set_keys([1, 2])
    with pytest.raises(DataError, match="2 keys for 8"):
        device(photos.float() / 255)
