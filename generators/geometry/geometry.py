"""Everything that can be read from one face picture: head, maps, light, bare skin and its albedo."""

from dataclasses import dataclass

from torch import Tensor

from spooflab.generators.enlarge import enlarge
from spooflab.generators.face import Face
from spooflab.generators.face_memory import FaceMemory
from spooflab.generators.geometry.head_fit import HeadFit, fit_head
from spooflab.generators.geometry.head_maps import HeadMaps, head_maps
from spooflab.generators.geometry.light import Light, estimate_light, shading
from spooflab.generators.geometry.skin_weight import skin_weight


@dataclass(frozen=True, eq=False)
class Geometry:
    """One face picture, read.

    Attributes:
        fit: the head in three dimensions.
        maps: its cover, depth, normals and rest coordinates at every pixel.
        light: the light on it.
        skin: (H, W) in [0, 1]: visible bare skin of the face (no brows, lips, eyes, nostrils, hair, glasses, hands).
        shading: (3, H, W) irradiance on the maps' normals, mean over the head outside of it; always positive.
        albedo: (3, H, W) radiance / shading, within [0.002, 1.5]: what the surface would be under white light. Cast
            shadows, highlights and everything that is not the head's smooth shape stay in it.
        parsing: (H, W) uint8 classes of `spooflab.generators.face.PARSING`, or None.
    """

    fit: HeadFit
    maps: HeadMaps
    light: Light
    skin: Tensor
    shading: Tensor
    albedo: Tensor
    parsing: Tensor | None


_KEPT = 8
_memory: FaceMemory[Geometry] = FaceMemory(_KEPT)
"""About 10 MB each at 384 px."""


def read_geometry(face: Face) -> Geometry:
    """Fit head and light to a batch of one; a pure function of the face's radiance, landmarks and parsing.

    Under `torch.inference_mode` the last few faces' geometries are kept (see `FaceMemory`): nobody may write into one.

    Raises:
        SkipSample: `head_fit_failed` or `profile_face`, see `fit_head`.
        ValueError: the batch is not one face.
    """
    if face.batch_size != 1:
        raise ValueError(f"a batch of {face.batch_size} faces: wanted one, take the rows apart")
    return _memory.of(face, _read)


def _read(face: Face) -> Geometry:
    fit = fit_head(face.landmarks[0], face.size)
    maps = head_maps(fit)
    parsing = None if face.parsing is None else face.parsing[0, 0]
    skin = skin_weight(face.radiance[0], face.landmarks[0], maps, parsing)
    light = estimate_light(face.radiance[0], maps.normals, skin)
    height, width = face.size
    lit = enlarge(shading(light, maps.normals_half), 2)[:, :height, :width].contiguous()
    albedo = (face.radiance[0] / lit).clamp_(0.002, 1.5)
    return Geometry(fit, maps, light, skin, lit, albedo, parsing)
