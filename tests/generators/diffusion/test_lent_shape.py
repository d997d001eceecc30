"""A donor's shape in a face's pose: measured on renders, where that head can be rendered itself."""

import dataclasses

import pytest
import torch

from spooflab.errors import SkipSample
from spooflab.generators.diffusion.lent_shape import lent_shape
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import render, sample_identity, sample_nuisance

pytestmark = pytest.mark.slow  # together half a minute


def _head(person: int, session: int) -> Face:
    """Return one of two people in one of two sessions."""
    one, two = (torch.Generator().manual_seed(seed) for seed in (person, 100 + session))
    identity, nuisance = sample_identity(1, one), sample_nuisance(1, two)
    bare = dataclasses.replace(identity, glasses_style=torch.zeros(1, dtype=torch.int64))
    return render(bare, nuisance, size=192)


def _apart(first: torch.Tensor, second: torch.Tensor) -> float:
    eyes = (second[0, 36:42].mean(0) - second[0, 42:48].mean(0)).norm()
    # Camera and head's size differ from session to session: what a shape is does not hang on them.
    pair = [
        (points - points.mean(1, keepdim=True)) / (points - points.mean(1, keepdim=True)).norm()
        for points in (first, second)
    ]
    scale = (second - second.mean(1, keepdim=True)).norm() / eyes
    return float((pair[0] - pair[1]).norm(dim=-1).mean() * scale)


def test_none_of_it_changes_nothing() -> None:
    face, donor = _head(1, 0), _head(2, 1)
    assert torch.equal(lent_shape(face, donor, 0.0), face.landmarks)
    torch.testing.assert_close(lent_shape(face, face, 1.0), face.landmarks, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("person", "other"), [(1, 2), (3, 4), (5, 6), (7, 8)])
def test_it_nears_the_donor_rendered_in_the_faces_session(person: int, other: int) -> None:
    face, donor, wanted = _head(person, 0), _head(other, 1), _head(other, 0).landmarks
    before = _apart(face.landmarks, wanted)
    half, whole = (_apart(lent_shape(face, donor, share), wanted) for share in (0.5, 1.0))
    assert whole < 0.75 * before
    assert half < before


def test_no_head_no_shape() -> None:
    face = _head(1, 0)
    collapsed = face.replace(landmarks=torch.zeros(1, 68, 2))
    with pytest.raises(SkipSample):
        lent_shape(face, collapsed, 0.5)
