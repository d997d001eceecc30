"""One person's face shape in another's place: where a swap's landmarks would lie."""

from torch import Tensor

from spooflab.generators.face import Face
from spooflab.generators.face_memory import FaceMemory
from spooflab.generators.faces.procedural.landmarks import landmark_points
from spooflab.generators.geometry.head_fit import HeadFit, fit_head

_KEPT = 64
_memory: FaceMemory[HeadFit] = FaceMemory(_KEPT)
"""About 0.4 MB each."""


def lent_shape(face: Face, donor: Face, share: float) -> Tensor:
    """Return (1, 68, 2) pixels: the landmarks that `face` would have with a share of the donor's shape.

    Both heads are fitted; the donor's shape is set into the face's pose, expression and camera, and the difference
    between the two heads' projected landmarks is added to the face's own, which keep what no head explains.

    Args:
        face, donor: batches of one.
        share: 0 leaves the landmarks as they are, 1 takes all of the donor's shape.

    Raises:
        SkipSample: `head_fit_failed` or `profile_face`, of either face.
    """
    if share == 0:
        return face.landmarks
    worn, other = (_memory.of(each, _fit) for each in (face, donor))
    lent, own = (
        landmark_points(worn.project(worn.with_shape(s, worn.expression).points)) for s in (other.shape, worn.shape)
    )
    return face.landmarks + share * (lent - own)[None]


def _fit(face: Face) -> HeadFit:
    return fit_head(face.landmarks[0], face.size)
