"""torchvision v2: a capture device as a transform of images and the tv_tensors that belong to them."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from spooflab.augment.bridges.keyed_camera import Camera, KeyedCamera, content_key
from spooflab.augment.bridges.lens_map import move_boxes, move_masks, move_points
from spooflab.augment.bridges.picture_pixels import rgb_pixels
from spooflab.errors import ConfigError, DataError

try:
    from PIL.Image import Image as Picture
    from torchvision import tv_tensors
    from torchvision.transforms import v2
except ImportError as error:
    raise ConfigError(f"torchvision: {error}", next_step="pip install 'spooflab[interop]'") from error

_KEY: ContextVar[Any] = ContextVar("key", default=None)
_KEYPOINTS: Any = getattr(tv_tensors, "KeyPoints", None)  # since 0.23


class TorchvisionDevice(v2.Transform):  # type: ignore[misc]  # the library is not typed
    """Photographs the image of a sample again; Mask, BoundingBoxes and KeyPoints follow the lens.

    The key is the entry `key` of any dictionary among the inputs: `transform({"image": image, "key": index})`, or
    `transform(image, target)` with `key="image_id"`. Without one, a digest of the pixels is the key, which serves as
    long as no random transform comes before.

    Args:
        camera: one device, or a shift over many.
        seed: root of every draw; torch's global generator plays no part.
        key: name of the entry that holds the key.
        p, gentle: as in `KeyedCamera`.
    """

    def __init__(self, camera: Camera, *, seed: int, key: str = "key", p: float = 1.0, gentle: bool = False) -> None:
        super().__init__()
        self.keyed = KeyedCamera(camera, seed=seed, p=p, gentle=gentle)
        self.key = key

    def set_epoch(self, epoch: int) -> None:
        """Draw other shots from now on, in running workers too."""
        self.keyed.set_epoch(epoch)

    def forward(self, *inputs: Any) -> Any:
        """Transform the sample as every v2 transform does."""
        found = [i[self.key] for i in inputs if isinstance(i, Mapping) and self.key in i]
        token = _KEY.set(found[0] if found else None)
        try:
            return super().forward(*inputs)
        finally:
            _KEY.reset(token)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Return the sample's shot, None where it is left as it is."""
        photo = _planes(_images(flat_inputs)[0])
        key = _KEY.get()
        seeds = self.keyed.seeds([content_key(photo) if key is None else key])
        if not bool(self.keyed.applied(seeds)):
            return {"shot": None}
        return {"shot": self.keyed.shots(seeds, (photo.shape[-2], photo.shape[-1]))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return one entry of the sample as the new photograph has it."""
        shot = params["shot"]
        if shot is None:
            return inpt
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            return _boxes(inpt, shot.view)
        if isinstance(inpt, tv_tensors.Mask):
            plain = inpt.as_subclass(Tensor)
            moved = move_masks(plain.reshape(1, -1, *plain.shape[-2:]), shot.view)
            return tv_tensors.wrap(moved.reshape(plain.shape), like=inpt)
        if _KEYPOINTS is not None and isinstance(inpt, _KEYPOINTS):
            plain = inpt.as_subclass(Tensor)
            moved = move_points(plain.float().reshape(1, -1, 2) + 0.5, shot.view) - 0.5
            return tv_tensors.wrap(_as_type(moved, plain.dtype).reshape(plain.shape), like=inpt)
        if not _is_image(inpt):
            raise DataError(
                f"a {type(inpt).__name__}", wanted="Image, PIL image, tensor, Mask, BoundingBoxes or KeyPoints"
            )
        return self._photo(inpt, shot)

    _get_params, _transform = make_params, transform  # their names before torchvision 0.21

    def _photo(self, image: Any, shot: Any) -> Any:
        photo = _planes(image)
        frames = photo.reshape(-1, *photo.shape[-3:])
        taken = torch.cat([self.keyed.photograph(frame[None], shot) for frame in frames]).reshape(photo.shape)
        if isinstance(image, Picture):
            return v2.functional.to_pil_image(taken)
        return tv_tensors.wrap(taken, like=image) if isinstance(image, tv_tensors.Image) else taken


def _is_image(value: Any) -> bool:
    if isinstance(value, Picture | tv_tensors.Image):
        return True
    return isinstance(value, Tensor) and not isinstance(value, tv_tensors.TVTensor)


def _images(flat_inputs: list[Any]) -> list[Any]:
    """Return what v2 transforms as images: the Images and PIL images, or else the first plain tensor."""
    named = [i for i in flat_inputs if isinstance(i, Picture | tv_tensors.Image)]
    images = named or [i for i in flat_inputs if _is_image(i)][:1]
    if not images:
        raise DataError("a sample without an image", wanted="an Image, a PIL image or a tensor (3, H, W)")
    sizes = [tuple(v2.functional.get_size(image)) for image in images]
    if len(set(sizes)) > 1:
        other = next(size for size in sizes if size != sizes[0])
        raise DataError(
            f"images of {sizes[0][0]} x {sizes[0][1]} and {other[0]} x {other[1]} pixels in one sample",
            wanted="one size (height x width): the images of a sample share a shot, and its lens",
            next_step="resize before, or transform the images one by one",
        )
    return images


def _planes(image: Any) -> Tensor:
    if isinstance(image, Picture):
        return torch.from_numpy(rgb_pixels(image)).permute(2, 0, 1)
    plain: Tensor = image.as_subclass(Tensor)
    return plain


def _boxes(boxes: Any, view: Any) -> Any:
    if getattr(tv_tensors, "is_rotated_bounding_format", lambda _: False)(boxes.format):
        raise DataError(f"bounding boxes in {boxes.format.value}", wanted="upright boxes: a lens bends turned ones")
    corners = v2.functional.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat.XYXY)
    moved = move_boxes(corners.as_subclass(Tensor).float()[None], view)[0]
    wrapped = tv_tensors.BoundingBoxes(
        _as_type(moved, boxes.dtype), format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=boxes.canvas_size
    )
    back = v2.functional.convert_bounding_box_format(wrapped, new_format=boxes.format)
    return v2.functional.clamp_bounding_boxes(tv_tensors.wrap(back.as_subclass(Tensor), like=boxes))


def _as_type(moved: Tensor, dtype: torch.dtype) -> Tensor:
    return moved.to(dtype) if dtype.is_floating_point else moved.round().to(dtype)
