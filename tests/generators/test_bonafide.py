"""The genuine presentation: nothing but the lens comes between the face and the sensor."""

import torch

from spooflab.augment.lens import window_rays
from spooflab.augment.view import View
from spooflab.generators.bonafide import Bonafide, BonafideParams
from spooflab.generators.face import Face

UNIT_GAIN = BonafideParams(gain=torch.ones(1))


def chart(size: int = 128) -> Face:
    """A dark field with a bright dot at every landmark."""
    steps = torch.arange(68)
    points = torch.stack([16.5 + steps % 9 * 12, 16.5 + steps // 9 * 12], -1)[None].float()
    radiance = torch.full((1, 3, size, size), 0.1)
    columns, rows = (points[0] - 0.5).long().unbind(-1)
    radiance[:, :, rows, columns] = 1.0
    return Face(radiance, points, torch.tensor([[20.0, 10, 80, 100]]), ("a",), ("a-0",))


def test_an_ideal_view_of_the_same_size_changes_nothing() -> None:
    face = chart()
    view = View.ideal(128, 128, pitch_um=40.0)  # diffraction far below a pixel
    made = Bonafide().render(face, view, UNIT_GAIN)
    assert (made.irradiance - face.radiance).abs().max() < 0.02
    flat = Bonafide().render(face.replace(radiance=torch.full_like(face.radiance, 0.37)), view, UNIT_GAIN)
    assert (flat.irradiance - 0.37).abs().max() < 1 / 255 / 4
    torch.testing.assert_close(made.landmarks, face.landmarks, atol=1e-3, rtol=0)
    torch.testing.assert_close(made.box, face.box, atol=1e-3, rtol=0)


def test_landmarks_lie_on_what_they_mark_behind_a_barrel_lens() -> None:
    face, view = chart(), View.ideal(256, 256, k1=-0.12, skew=0.01, pitch_um=20.0)
    made = Bonafide().render(face, view, UNIT_GAIN)
    assert made.facts["zoom"].item() > 1.05
    places = made.landmarks[0]
    inside = ((places > 2) & (places < 254)).all(-1)
    assert inside.sum() > 40
    for x, y in places[inside].tolist():
        patch = made.irradiance[0, 0, int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        assert patch.max() > 0.3


def test_no_ray_leaves_the_source_so_no_border_is_smeared() -> None:
    rays, zoom = window_rays(View.ideal(64, 96, batch_size=1, k1=-0.15))
    assert rays.abs().max() <= 1 + 1e-6
    assert zoom.item() > 1
    _, pincushion = window_rays(View.ideal(64, 96, k1=0.1))
    assert pincushion.item() == 1
