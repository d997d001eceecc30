"""Identity as CLIP sees it, for a plain IP-Adapter: the looks of a head, more than who it is."""

import dataclasses
from typing import Self

import numpy as np
import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.identity import check_faces
from spooflab.generators.diffusion.model_source import ModelSource
from spooflab.generators.diffusion.pipeline import Precision
from spooflab.generators.diffusion.transformers_model import TransformersModel, codes, load_transformers
from spooflab.generators.face_net.frame import Frame, crop, frame_of
from spooflab.generators.face_net.network import SHARE

_LOADER = "CLIPVisionModelWithProjection"
_CLASSES = (_LOADER, "CLIPModel")
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained on (Radford et al. 2021), per channel of sRGB codes in [0, 1]."""
_FACE_SHARE = 0.7


class ClipIdentity:
    """An `IdentityEncoder`: CLIP's projected embedding of an upright square round the head, not normalised.

    The square is turned until the eyes are level, and the face, brows to chin, takes 0.7 of its side: hair and chin are
    seen, and the square of a face that is framed as ours are lies within the picture; past the edges it is mirrored.
    An adapter must have been trained with the same CLIP: IP-Adapter's own are ViT-H/14 for Stable Diffusion 1.5 and
    mostly ViT-bigG/14 for XL. Licences of weights differ; read them.

    Attributes:
        model: what was loaded, with its digest: for records.
        licence: as the model's card names it.
        width: numbers in a vector.
    """

    def __init__(self, loaded: TransformersModel, batch: int) -> None:
        self._loaded, self._batch = loaded, batch
        self.model, self.licence = loaded.model, loaded.licence
        self.width = int(loaded.network.config.projection_dim)
        self._side = int(loaded.network.config.image_size)

    @classmethod
    def load(
        cls,
        source: ModelSource,
        *,
        subfolder: str = "",
        device: torch.device | str = "cpu",
        dtype: Precision = "float32",
        batch: int = 16,
    ) -> Self:
        """Load a CLIP, or the vision half of one, from this machine: safetensors alone, nothing fetched.

        Args:
            source: a folder, or the hub's.
            subfolder: where the encoder lies within it, such as `models/image_encoder`.
            device: where it computes.
            dtype: of weights and activations.
            batch: faces at once.

        Raises:
            DataError: the model is missing, damaged or incomplete.
            ConfigError: it is of another kind, does not fit into memory, or a setting is out of range.
        """
        if batch < 1:
            raise ConfigError(f"batch is {batch}", wanted="1 or more")
        loaded = load_transformers(
            source, _LOADER, _CLASSES, subfolder=subfolder, device=device, dtype=dtype, needs_processor=False
        )
        return cls(loaded, batch)

    def embed(self, pictures: Tensor, landmarks: Tensor) -> Tensor:
        """Return (B, width); see `IdentityEncoder.embed`."""
        check_faces(pictures, landmarks)
        frames = [head_frame(points) for points in landmarks.float()]
        faces = torch.cat([crop(pictures[i : i + 1], frame, self._side) for i, frame in enumerate(frames)])
        with torch.inference_mode():
            made = [self._encoded(faces[i : i + self._batch]) for i in range(0, len(faces), self._batch)]
        vectors = torch.cat(made).clone()  # outside of inference mode: an ordinary tensor
        if not bool(vectors.isfinite().all()):
            raise DataError("CLIP gave values that are no numbers", next_step="use bfloat16 or float32")
        return vectors

    def _encoded(self, faces: Tensor) -> Tensor:
        loaded = self._loaded
        fed = loaded.placed(_standard(faces)) if loaded.processor is None else loaded.prepare(faces)
        embeds: Tensor = loaded.network(pixel_values=fed).image_embeds
        return embeds.float().cpu()


def head_frame(points: Tensor) -> Frame:
    """Return the upright square round the head of a face (68, 2)."""
    frame = frame_of(points)
    return dataclasses.replace(frame, side=frame.side * SHARE / _FACE_SHARE)


def _standard(faces: Tensor) -> Tensor:
    """Return what CLIP takes of faces of its own size, from the 8-bit codes that its processor would see."""
    seen = torch.from_numpy(codes(faces).astype(np.float32) / 255).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
    return (seen - mean) / std
