"""The device as the transform of a Hugging Face data set."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from spooflab.augment import CaptureDevice, DeviceShift
from spooflab.augment.bridges import collate_uint8, move_boxes, move_points
from spooflab.augment.bridges.datasets import DatasetsDevice
from spooflab.errors import DataError

datasets = pytest.importorskip("datasets")


def _pictures(photos: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in photos]


def _arrays(batch: list[dict[str, object]]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(np.array(sample["image"])) for sample in batch])


def test_set_transform_with_workers_and_epochs(shift: DeviceShift, photos: torch.Tensor) -> None:
    data = datasets.Dataset.from_dict({"image": _pictures(photos), "key": list(range(8))})
    data = data.cast_column("image", datasets.Image())
    device = DatasetsDevice(shift, seed=1, key="key")
    data.set_transform(device)
    assert isinstance(data[0]["image"], Image.Image)
    alone = _arrays([data[i] for i in range(8)])
    assert torch.equal(_arrays([{"image": i} for i in data[2:5]["image"]]), alone[2:5])
    loader = DataLoader(data, batch_size=3, num_workers=2, collate_fn=_arrays, persistent_workers=True)
    assert torch.equal(torch.cat(list(loader)), alone)
    device.set_epoch(1)
    second = torch.cat(list(loader))
    assert not any(torch.equal(a, b) for a, b in zip(second, alone, strict=True))
    copied = data.with_transform(device)
    assert torch.equal(_arrays([copied[0]])[0], second[0])


@pytest.mark.slow
def test_spawned_workers_follow_the_epoch(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = DatasetsDevice(shift, seed=1, key="key")
    data = datasets.Dataset.from_dict({"image": _pictures(photos), "key": list(range(8))})
    data = data.cast_column("image", datasets.Image())
    data.set_transform(device)
    alone = collate_uint8([data[i] for i in range(8)])["image"]
    loader = DataLoader(
        data,
        batch_size=4,
        num_workers=2,
        collate_fn=collate_uint8,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    assert torch.equal(torch.cat([batch["image"] for batch in loader]), alone)
    device.set_epoch(1)
    second = torch.cat([batch["image"] for batch in loader])
    assert not any(torch.equal(a, b) for a, b in zip(second, alone, strict=True))


def test_masks_follow(bent: CaptureDevice, scene) -> None:  # type: ignore[no-untyped-def]
    device = DatasetsDevice(bent, seed=1, key="id", masks=["mask", "palette"])
    palette = Image.fromarray(scene.mask)
    palette.putpalette([5, 6, 7] * 256)
    row = {"image": [Image.fromarray(scene.image)], "mask": [scene.mask], "palette": [palette], "id": ["x"]}
    out = device(row)
    assert row["mask"][0] is scene.mask
    assert np.array_equal(np.array(out["palette"][0]), out["mask"][0])
    view = device.keyed.shots(device.keyed.seeds(["x"]), scene.mask.shape).view
    box = move_boxes(torch.tensor([[scene.box]], dtype=torch.float32), view)[0, 0].numpy()
    dot = move_points(torch.tensor([[scene.dot]]), view)[0, 0].numpy()
    scene.check(np.array(out["image"][0]), out["mask"][0], box, dot)


def test_pictures_of_every_kind_and_content_keys(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = DatasetsDevice(shift, seed=1)
    as_tensor = device({"image": [photos[0]]})["image"][0]
    as_array = device({"image": [photos[0].permute(1, 2, 0).numpy()]})["image"][0]
    assert np.array_equal(as_array, as_tensor.permute(1, 2, 0).numpy())
    grey = device({"image": [Image.fromarray(photos[0, 0].numpy())]})["image"][0]
    assert grey.mode == "RGB"
    assert torch.equal(DatasetsDevice(shift, seed=1, p=0)({"image": [photos[0]]})["image"][0], photos[0])


def test_columns_are_named_in_errors(shift: DeviceShift, photos: torch.Tensor) -> None:
    with pytest.raises(DataError, match="'id' among image, label"):
        DatasetsDevice(shift, seed=1, key="id")({"image": [photos[0]], "label": [1]})


@pytest.mark.parametrize("column", ["image", "mask"])
def test_empty_places_are_named(shift: DeviceShift, photos: torch.Tensor, column: str) -> None:
    batch = {"image": [photos[0], photos[1]], "mask": [photos[0], photos[1]]}
    batch[column][1] = None
    with pytest.raises(DataError, match=f"'{column}' is None in row 1"):
        DatasetsDevice(shift, seed=1, masks=["mask"])(batch)


def test_keyless_bfloat16(shift: DeviceShift, photos: torch.Tensor) -> None:
    device = DatasetsDevice(shift, seed=1)
    soft = (photos[:2].float() / 255).bfloat16()
    first, second = device({"image": list(soft)})["image"]
    assert first.dtype == torch.bfloat16
    assert torch.equal(device({"image": [soft[1]]})["image"][0], second)
