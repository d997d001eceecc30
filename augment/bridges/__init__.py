"""Capture devices inside other people's training loops: one file per library, each imported by its own name.

Nothing of another library is imported here: `from spooflab.augment.bridges.albumentations import AlbumentationsDevice`.
"""

from spooflab.augment.bridges.batches import BatchDevice, collate_uint8
from spooflab.augment.bridges.keyed_camera import Camera, KeyedCamera
from spooflab.augment.bridges.keyed_dataset import KeyedDataset
from spooflab.augment.bridges.lens_map import move_boxes, move_masks, move_points

__all__ = [
    "BatchDevice",
    "Camera",
    "KeyedCamera",
    "KeyedDataset",
    "collate_uint8",
    "move_boxes",
    "move_masks",
    "move_points",
]
