"""Kornia: a capture device as a member of `AugmentationSequential`."""

from collections.abc import Sequence
from typing import Any

import torch
from kornia.augmentation import GeometricAugmentationBase2D
from kornia.geometry.boxes import Boxes
from kornia.geometry.keypoints import Keypoints
from torch import Tensor

from spooflab.augment.bridges.keyed_camera import Camera, KeyedCamera
from spooflab.augment.bridges.lens_map import move_masks, move_points, move_quads
from spooflab.augment.bridges.row_places import RowPlaces
from spooflab.augment.device_params import DeviceParams
from spooflab.errors import DataError


class KorniaDevice(GeometricAugmentationBase2D):  # type: ignore[misc]  # the library is not typed
    """Photographs a batch again, each row with a shot of its own; masks, boxes and keypoints follow the lens.

    Kornia hands its members no keys. Give them before the call, `device.set_keys(indices)`, and a row's shot follows
    from `(seed, epoch, key)`; otherwise its place in the epoch is its key. The shots are parameters as Kornia keeps
    them: `augment(images, params=augment._params)` replays them. A bent picture has no matrix, and `transform_matrix`
    says identity; there is no inverse.

    Args:
        camera: one device, or a shift over many.
        seed: root of every draw; torch's global generator plays no part.
        p, gentle: as in `KeyedCamera`.
        same_on_batch, keepdim: as in every Kornia augmentation.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        seed: int,
        p: float = 1.0,
        gentle: bool = False,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self.keyed = KeyedCamera(camera, seed=seed, p=p, gentle=gentle)
        self._places = RowPlaces()
        self._keys: list[object] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Draw other shots from now on."""
        self.keyed.set_epoch(epoch)
        self._places.restart()

    def set_keys(self, keys: Sequence[object] | Tensor) -> None:
        """Name the samples of the next batch."""
        self._keys = keys.tolist() if isinstance(keys, Tensor) else list(keys)

    def forward_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Return the seed of each row's shot, and which rows are photographed."""
        count = batch_shape[0]
        keys, self._keys = self._keys, None
        if keys is not None and len(keys) != count:
            raise DataError(f"{len(keys)} keys for {count} pictures", wanted="a key for each picture")
        seeds = self.keyed.seeds(self._places.take(count) if keys is None else keys)
        if self.same_on_batch:
            seeds = seeds[:1] * count
        return {
            "shot_seed": torch.tensor(seeds, dtype=torch.int64),
            "batch_prob": self.keyed.applied(seeds).float(),
            "forward_input_shape": torch.tensor(batch_shape, dtype=torch.int64),
        }

    def compute_transformation(self, input: Tensor, params: dict[str, Tensor], flags: dict[str, Any]) -> Tensor:
        """Return identity matrices: what a lens does is not a matrix."""
        return torch.eye(3, device=input.device, dtype=input.dtype).expand(len(input), 3, 3)

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Return the photographs (B, 3, H, W) in [0, 1] taken again."""
        return self.keyed.photograph(input, self._shots(params))

    def apply_transform_mask(
        self, input: Tensor, params: dict[str, Tensor], flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Return the masks (B, C, H, W) as the new photographs show them; labels stay."""
        return move_masks(input, self._shots(params).view.to(input.device))

    def apply_transform_box(
        self, input: Boxes, params: dict[str, Tensor], flags: dict[str, Any], transform: Tensor | None = None
    ) -> Boxes:
        """Return the upright boxes about what the boxes hold now. Kornia's ends are the last pixels inside."""
        corners = input.data
        view = self._shots(params).view.to(corners.device)
        ends = corners == corners.amax(-2, keepdim=True)
        x1, y1, x2, y2 = move_quads(corners + ends, view).to(corners.dtype).unbind(-1)
        x2, y2 = x2 - 1, y2 - 1
        out = input.clone()
        out._data = torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], -1).reshape(corners.shape)
        return out

    def apply_transform_keypoint(
        self, input: Keypoints, params: dict[str, Tensor], flags: dict[str, Any], transform: Tensor | None = None
    ) -> Keypoints:
        """Return the keypoints, counted from the first pixel's centre, where the new photographs show them."""
        view = self._shots(params).view.to(input.data.device)
        return Keypoints(move_points(input.data + 0.5, view) - 0.5)

    def inverse_transform(self, *args: Any, **kwargs: Any) -> Tensor:
        """Raise: noise, clipping and compression cannot be undone."""
        raise NotImplementedError("a photograph cannot be taken back")

    def _shots(self, params: dict[str, Tensor]) -> DeviceParams:
        height, width = params["forward_input_shape"][-2:].tolist()
        return self.keyed.shots(params["shot_seed"].tolist(), (height, width))
