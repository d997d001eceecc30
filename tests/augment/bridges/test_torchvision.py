"""The device as a torchvision v2 transform."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from spooflab.augment import CaptureDevice, DeviceShift
from spooflab.errors import DataError

tv_tensors = pytest.importorskip("torchvision.tv_tensors")
v2 = pytest.importorskip("torchvision.transforms.v2")
TorchvisionDevice = pytest.importorskip("spooflab.augment.bridges.torchvision").TorchvisionDevice


def _sample(scene, layout: str) -> dict[str, object]:  # type: ignore[no-untyped-def]
    boxes = tv_tensors.BoundingBoxes([scene.box], format="XYXY", canvas_size=scene.mask.shape, dtype=torch.float32)
    sample = {
        "image": tv_tensors.Image(torch.from_numpy(scene.image).permute(2, 0, 1)),
        "mask": tv_tensors.Mask(torch.from_numpy(scene.mask)),
        "boxes": v2.functional.convert_bounding_box_format(boxes, new_format=layout),
        "key": 3,
        "label": "face",
    }
    if hasattr(tv_tensors, "KeyPoints"):
        dot = [[scene.dot[0] - 0.5, scene.dot[1] - 0.5]]
        sample["dot"] = tv_tensors.KeyPoints(dot, canvas_size=scene.mask.shape, dtype=torch.float32)
    return sample


@pytest.mark.parametrize("layout", ["XYXY", "XYWH", "CXCYWH"])
def test_tv_tensors_follow(bent: CaptureDevice, scene, layout: str) -> None:  # type: ignore[no-untyped-def]
    sample = _sample(scene, layout)
    out = v2.Compose([TorchvisionDevice(bent, seed=1)])(sample)
    assert {name: type(value) for name, value in out.items()} == {n: type(v) for n, v in sample.items()}
    assert out["boxes"].format.value == layout
    box = v2.functional.convert_bounding_box_format(out["boxes"], new_format="XYXY")[0]
    dot = out["dot"][0].numpy() + 0.5 if "dot" in out else np.array(scene.dot)
    scene.check(out["image"].permute(1, 2, 0).numpy(), out["mask"].numpy(), box.numpy(), dot)


def test_images_of_every_kind_give_the_same_photograph(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = TorchvisionDevice(shift, seed=1)
    plain = device({"image": photos[0], "key": 4})["image"]
    assert type(plain) is torch.Tensor
    picture = device({"image": Image.fromarray(photos[0].permute(1, 2, 0).numpy()), "key": 4})["image"]
    assert isinstance(picture, Image.Image)
    assert torch.equal(v2.functional.pil_to_tensor(picture), plain)
    scaled, target = device(tv_tensors.Image(photos[0].float() / 255), {"key": 4})
    assert torch.equal((scaled * 255).round().to(torch.uint8), plain)
    assert target == {"key": 4}
    assert torch.equal(device(photos[0]), device(photos[0]))  # by its pixels


class Photos(Dataset):
    def __init__(self, photos: torch.Tensor, transform: object) -> None:
        self.photos, self.transform = photos, transform

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform({"image": self.photos[index], "key": index})["image"]


def test_workers_and_epochs(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = TorchvisionDevice(shift, seed=1)
    dataset = Photos(photos, v2.Compose([device, v2.Identity()]))
    alone = torch.cat(list(DataLoader(dataset, batch_size=8)))
    many = DataLoader(dataset, batch_size=3, num_workers=2, persistent_workers=True)
    assert torch.equal(torch.cat(list(many)), alone)
    device.set_epoch(1)
    second = torch.cat(list(many))
    assert not any(torch.equal(a, b) for a, b in zip(second, alone, strict=True))


def test_what_is_not_photographed_is_left_alone(shift: DeviceShift, scene) -> None:  # type: ignore[no-untyped-def]
    sample = _sample(scene, "XYXY")
    out = TorchvisionDevice(shift, seed=1, p=0)(sample)
    assert all(torch.equal(out[name], sample[name]) for name in ("image", "mask", "boxes"))


def test_turned_boxes_and_samples_without_images_are_refused(bent: CaptureDevice, scene) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="without an image"):
        TorchvisionDevice(bent, seed=1)(tv_tensors.Mask(torch.from_numpy(scene.mask)))
    if hasattr(tv_tensors, "is_rotated_bounding_format"):
        turned = tv_tensors.BoundingBoxes([[9.0, 9, 5, 5, 30]], format="XYWHR", canvas_size=scene.mask.shape)
        with pytest.raises(DataError, match="upright"):
            TorchvisionDevice(bent, seed=1)(_sample(scene, "XYXY") | {"boxes": turned})


def test_keyless_bfloat16(shift: DeviceShift, photos: torch.Tensor) -> None:
    soft = (photos[0].float() / 255).bfloat16()
    device = TorchvisionDevice(shift, seed=1)
    assert device(soft).dtype == torch.bfloat16
    assert torch.equal(device(soft), device(soft.clone()))


def test_images_of_two_sizes_are_refused(shift: DeviceShift, photos: torch.Tensor) -> None:
    small, large = tv_tensors.Image(photos[0]), Image.new("RGB", (64, 50))
    with pytest.raises(DataError, match="40 x 48 and 50 x 64"):
        TorchvisionDevice(shift, seed=1)({"a": small, "b": large, "key": 1})
    device = TorchvisionDevice(shift, seed=1)
    pair = device({"labels": torch.tensor([1.0]), "a": small, "b": tv_tensors.Image(photos[0]), "key": 1})
    assert torch.equal(pair["a"], pair["b"])
    assert pair["labels"].tolist() == [1.0]
