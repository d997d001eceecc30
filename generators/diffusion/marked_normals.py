"""The embedded ControlNet's condition: a face's landmark curves, before the normals of the mask that it wears."""

from torch import Tensor

from spooflab.generators.diffusion.conditions import landmark_map, normal_map


def marked_normals(landmarks: Tensor, size: tuple[int, int], normals: Tensor | None) -> Tensor:
    """Return (B, 3, height, width) in [0, 1]: landmark curves on black, or on normals where a mask is worn.

    Curves on black leave the face's shape to its identity; normals under them hold a mask's relief as well.

    Args:
        landmarks: (B, 68, 2) pixels.
        size: height and width.
        normals: (B, 3, height, width) unit vectors in camera axes, 0 where unknown; None for a face without a mask.
    """
    lines = landmark_map(landmarks, size)
    if normals is None:
        return lines
    # The curves' hues are pure: their strongest channel is the share of a pixel that they cover.
    covered = lines.amax(1, keepdim=True)
    return lines + (1 - covered) * normal_map(normals)
