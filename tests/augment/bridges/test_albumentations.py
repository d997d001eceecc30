"""The device in a real Albumentations pipeline: geometry follows, and many workers give what one gives."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from spooflab.augment import CaptureDevice, DeviceShift
from spooflab.errors import DataError

A = pytest.importorskip("albumentations")
AlbumentationsDevice = pytest.importorskip("spooflab.augment.bridges.albumentations").AlbumentationsDevice


def test_mask_boxes_and_keypoints_follow(bent: CaptureDevice, scene) -> None:  # type: ignore[no-untyped-def]
    transform = A.Compose(
        [AlbumentationsDevice(bent, seed=1)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["names"]),
        keypoint_params=A.KeypointParams("xy"),
    )
    out = transform(
        image=scene.image,
        mask=scene.mask,
        masks=np.stack([scene.mask, scene.mask]),
        bboxes=[scene.box],
        names=["face"],
        keypoints=[(scene.dot[0] - 0.5, scene.dot[1] - 0.5)],
        key=3,
    )
    assert out["key"] == 3
    assert out["names"] == ["face"]
    assert np.array_equal(out["masks"][1], out["mask"])
    scene.check(out["image"], out["mask"], np.array(out["bboxes"][0]), np.array(out["keypoints"][0]) + 0.5)


class Photos(Dataset):
    def __init__(self, photos: torch.Tensor, transform: object) -> None:
        self.images, self.transform = photos.permute(0, 2, 3, 1).contiguous().numpy(), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.transform(image=self.images[index], key=index)["image"]


def _epoch(loader: DataLoader) -> torch.Tensor:
    return torch.cat(list(loader))


def test_workers_batches_and_other_transforms_change_nothing(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = AlbumentationsDevice(shift, seed=1)
    dataset = Photos(photos, A.Compose([A.NoOp(), device, A.NoOp()]))
    alone = _epoch(DataLoader(dataset, batch_size=8))
    torch.manual_seed(7)
    many = DataLoader(dataset, batch_size=3, num_workers=2, persistent_workers=True)
    assert torch.equal(_epoch(many), alone)
    assert torch.equal(_epoch(many), alone)
    device.set_epoch(1)  # the workers are running already
    second = _epoch(many)
    assert not any(torch.equal(a, b) for a, b in zip(second, alone, strict=True))
    assert torch.equal(_epoch(DataLoader(dataset, batch_size=8)), second)


def test_without_a_key_the_pixels_decide(shift: DeviceShift, photos: torch.Tensor) -> None:
    transform = A.Compose([AlbumentationsDevice(shift, seed=1)], seed=3)
    image = photos[0].permute(1, 2, 0).contiguous().numpy()
    first = transform(image=image)["image"]
    assert np.array_equal(transform(image=image)["image"], first)
    assert not np.array_equal(transform(image=image, key=0)["image"], first)


def test_probability_follows_the_key_and_force_overrules_it(shift: DeviceShift, photos: torch.Tensor) -> None:
    image = photos[0].permute(1, 2, 0).contiguous().numpy()
    rare = A.Compose([AlbumentationsDevice(shift, seed=1, p=0.4)])
    changed = [not np.array_equal(rare(image=image, key=k)["image"], image) for k in range(20)]
    assert changed == [not np.array_equal(rare(image=image, key=k)["image"], image) for k in range(20)]
    assert 2 < sum(changed) < 15
    one_of = A.Compose([A.OneOf([AlbumentationsDevice(shift, seed=1, p=0.01)], p=1)])
    assert not np.array_equal(one_of(image=image, key=0)["image"], image)


def test_floats_stay_floats_and_replay_repeats(shift: DeviceShift, photos: torch.Tensor) -> None:
    image = photos[0].permute(1, 2, 0).contiguous().numpy().astype(np.float32) / 255
    out = A.Compose([AlbumentationsDevice(shift, seed=1)])(image=image, key=0)["image"]
    assert out.dtype == np.float32
    recorded = A.ReplayCompose([AlbumentationsDevice(shift, seed=1)])(image=image, key=0)
    assert np.array_equal(recorded["image"], out)
    assert "AlbumentationsDevice" in repr(AlbumentationsDevice(shift, seed=1))


def test_grey_pictures_are_refused(shift: DeviceShift) -> None:
    with pytest.raises(DataError, match=r"\(H, W, 3\)"):
        AlbumentationsDevice(shift, seed=1)(image=np.zeros((32, 32), np.uint8), key=0)


def test_nothing_to_follow_is_no_error(bent: CaptureDevice, scene) -> None:  # type: ignore[no-untyped-def]
    transform = A.Compose(
        [AlbumentationsDevice(bent, seed=1)],
        bbox_params=A.BboxParams("coco", label_fields=["names"]),
        keypoint_params=A.KeypointParams("xy"),
    )
    out = transform(image=scene.image, bboxes=[], names=[], keypoints=[], key=0)
    assert len(out["bboxes"]) == len(out["keypoints"]) == 0
