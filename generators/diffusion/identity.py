"""What tells a painter whose face it is: one vector for each face, from an encoder that a person names.

No encoder is bundled. Many public face embedders may be used for research alone, or were trained on photographs of
people who were not asked: read the licence of the weights and of their training set before a data set rests on them.
"""

from typing import Protocol

from torch import Tensor

from spooflab.errors import DataError
from spooflab.generators.diffusion.transformers_model import check_pictures

_LEAST_EYES_PX = 4.0


class IdentityEncoder(Protocol):
    """Makes the vector that an IP-Adapter (Ye et al. 2023) of the same encoder was trained on.

    Attributes:
        model: which weights it is, with their digest: for records.
        width: numbers in a vector.
    """

    model: str
    width: int

    def embed(self, pictures: Tensor, landmarks: Tensor) -> Tensor:
        """Return one vector for each face; a row does not depend on the others but for libraries' last digits.

        Args:
            pictures: (B, 3, H, W) sRGB in [0, 1], float32 on the CPU.
            landmarks: (B, 68, 2) pixels, iBUG order.

        Returns:
            (B, width) float32 on the CPU.

        Raises:
            DataError: shapes, ranges, or landmarks that place no face in the picture.
        """
        ...


def check_faces(pictures: Tensor, landmarks: Tensor) -> None:
    """Raise `DataError` unless each picture has a face in it.

    Args:
        pictures: (B, 3, H, W) sRGB in [0, 1], float32 on the CPU.
        landmarks: (B, 68, 2) pixels, at least 4 between the eyes, the middle of the face within the picture.
    """
    check_pictures(pictures)
    if landmarks.shape != (len(pictures), 68, 2) or not bool(landmarks.isfinite().all()):
        raise DataError(f"landmarks {tuple(landmarks.shape)}", wanted=f"({len(pictures)}, 68, 2), finite")
    height, width = pictures.shape[-2:]
    eyes = (landmarks[:, 42:48].mean(1) - landmarks[:, 36:42].mean(1)).norm(dim=-1)
    middle = (landmarks.amax(1) + landmarks.amin(1)) / 2
    inside = (middle >= 0).all(1) & (middle[:, 0] < width) & (middle[:, 1] < height)
    for row in range(len(pictures)):
        if float(eyes[row]) < _LEAST_EYES_PX or not bool(inside[row]):
            x, y = middle[row].tolist()
            raise DataError(
                f"face {row}: {float(eyes[row]):.1f} px between the eyes, its middle at ({x:.0f}, {y:.0f})",
                wanted=f"{_LEAST_EYES_PX:.0f} px or more, within {width} x {height} pixels",
            )
