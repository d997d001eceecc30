"""Albumentations: a capture device as a dual transform."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spooflab.augment.bridges.keyed_camera import Camera, KeyedCamera, content_key
from spooflab.augment.bridges.lens_map import move_boxes, move_masks, move_points
from spooflab.augment.view import View
from spooflab.errors import ConfigError, DataError

try:
    from albumentations import DualTransform
    from albumentations.core.type_definitions import Targets
except ImportError as error:
    raise ConfigError(f"albumentations: {error}", next_step="pip install 'spooflab[interop]'") from error


class AlbumentationsDevice(DualTransform):  # type: ignore[misc]  # the library is not typed
    """Photographs an image again; mask, masks, bboxes and keypoints follow the lens.

    Give the sample's key with the image: `transform(image=image, key=index)`. Without one, a digest of the pixels is
    the key, which serves as long as no random transform comes before. Keypoints keep their angle and scale.

    Args:
        camera: one device, or a shift over many.
        seed: root of every draw; the library's own seeds and generators play no part.
        key: name of the argument that holds the key.
        p, gentle: as in `KeyedCamera`.
    """

    _targets = (Targets.IMAGE, Targets.MASK, Targets.BBOXES, Targets.KEYPOINTS)

    def __init__(self, camera: Camera, *, seed: int, key: str = "key", p: float = 1.0, gentle: bool = False) -> None:
        self.keyed = KeyedCamera(camera, seed=seed, p=p, gentle=gentle)
        self.key = key
        super().__init__(p=p)

    def set_epoch(self, epoch: int) -> None:
        """Draw other shots from now on, in running workers too."""
        self.keyed.set_epoch(epoch)

    @property
    def targets(self) -> dict[str, Callable[..., Any]]:
        """Return what handles each argument; the key passes through."""
        return {
            "image": self.apply,
            "mask": self.apply_to_mask,
            "masks": self.apply_to_masks,
            "bboxes": self.apply_to_bboxes,
            "keypoints": self.apply_to_keypoints,
            self.key: _unchanged,
        }

    @classmethod
    def is_serializable(cls) -> bool:
        """Return False: devices are not part of the library's format."""
        return False

    def __call__(self, *args: Any, force_apply: bool = False, **data: Any) -> Any:
        """Transform the data, or leave it, as the sample's key decides; `force_apply` always transforms."""
        if not args and not self.replay_mode and not force_apply and not bool(self.keyed.applied([self._seed(data)])):
            return data
        return super().__call__(*args, force_apply=True, **data)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return the sample's shot."""
        height, width = params["shape"][:2]
        return {"shot": self.keyed.shots([self._seed(data)], (height, width))}

    def apply(self, img: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Return the image (H, W, 3), uint8 or float32 in [0, 1], taken again."""
        if img.ndim != 3 or img.shape[2] != 3:
            raise DataError(f"an image of shape {img.shape}", wanted="(H, W, 3)")
        photo = torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1)))[None]
        return np.ascontiguousarray(self.keyed.photograph(photo, params["shot"])[0].numpy().transpose(1, 2, 0))

    def apply_to_mask(self, mask: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Return the mask (H, W) or (H, W, C) as the new image shows it; labels stay."""
        planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(mask).transpose(2, 0, 1)))[None]
        moved = move_masks(planes, params["shot"].view)[0].numpy().transpose(1, 2, 0)
        return np.ascontiguousarray(moved).reshape(mask.shape)

    def apply_to_bboxes(self, bboxes: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Return the boxes (N, 4+), corners as shares of the image, about what they hold now."""
        if not len(bboxes):
            return bboxes
        view: View = params["shot"].view
        size = np.array([view.width, view.height] * 2, dtype=np.float64)
        moved = move_boxes(_points(bboxes[:, :4] * size), view)[0].numpy()
        return np.concatenate([moved / size, bboxes[:, 4:]], 1).astype(bboxes.dtype)

    def apply_to_keypoints(self, keypoints: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Return the keypoints (N, 2+), counted from the first pixel's centre, where the image shows them now."""
        if not len(keypoints):
            return keypoints
        moved = move_points(_points(keypoints[:, :2] + 0.5), params["shot"].view)[0].numpy() - 0.5
        return np.concatenate([moved, keypoints[:, 2:]], 1).astype(keypoints.dtype)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Return the arguments to show."""
        return ("key",)

    def _seed(self, data: Mapping[str, Any]) -> int:
        key = data.get(self.key)
        return self.keyed.seeds([content_key(data["image"]) if key is None else key])[0]


def _points(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None]


def _unchanged(value: Any, **params: Any) -> Any:
    return value
