"""The gloss lobe: normalised, reciprocal in form, brightest where a mirror would be."""

import math

import pytest
import torch

from spooflab.generators.instruments.paper_gloss import (
    ggx_distribution,
    key_gloss,
    lobe_directions,
    schlick,
    smith_shadowing,
)


@pytest.mark.parametrize("alpha", [0.06, 0.2, 0.5, 0.8])
def test_distribution_integrates_to_one(alpha: float) -> None:
    """The projected area of the facets is the surface's: the integral of D cos over the hemisphere is 1."""
    theta = torch.linspace(0, math.pi / 2, 200_001, dtype=torch.float64)
    d = ggx_distribution(theta.cos(), torch.tensor(alpha, dtype=torch.float64))
    integral = torch.trapezoid(d * theta.cos() * 2 * math.pi * theta.sin(), theta)
    assert float(integral) == pytest.approx(1, abs=1e-4)


def test_distribution_has_its_closed_peak() -> None:
    assert float(ggx_distribution(torch.tensor(1.0), torch.tensor(0.1))) == pytest.approx(
        1 / (math.pi * 0.01), rel=1e-4
    )


def test_shadowing_and_fresnel_ends() -> None:
    assert float(smith_shadowing(torch.tensor(1.0), torch.tensor(0.3))) == pytest.approx(1)
    assert float(schlick(torch.tensor(1.0), 0.04)) == pytest.approx(0.04)
    assert float(schlick(torch.tensor(0.0), 0.04)) == pytest.approx(1)


@pytest.mark.parametrize(("alpha", "kept"), [(0.1, 0.9), (0.3, 0.75), (0.6, 0.5)])
def test_white_furnace_returns_about_the_fresnel_share(alpha: float, kept: float) -> None:
    """Under light from everywhere the lobe mirrors at most F (rough lobes lose what scatters twice)."""
    gen = torch.Generator().manual_seed(0)
    n = 60_000
    z = torch.rand(n, generator=gen)
    phi = 2 * math.pi * torch.rand(n, generator=gen)
    r = torch.sqrt(1 - z * z)
    lights = torch.stack([r * phi.cos(), r * phi.sin(), -z], -1)  # the camera's side is z < 0
    normal = torch.tensor([0.0, 0.0, -1.0]).expand(n, 3)
    eye = torch.tensor([0.0, 0.2, -1.0])
    eye = (eye / eye.norm()).expand(n, 3)
    total = torch.stack(
        [key_gloss(normal[i : i + 1], eye[i : i + 1], lights[i], torch.tensor(alpha), 0.04, torch.tensor(0.0))
         for i in range(0, n, 30)]
    )  # fmt: skip
    # each of n directions illuminates a facing surface by E = L dw / pi with dw = 2 pi / n
    reflected = float(total.mean() * 2)
    assert kept * 0.04 < reflected < 0.05


def test_lobe_is_brightest_at_the_mirror_angle() -> None:
    angles = torch.deg2rad(torch.linspace(-40, 40, 161))
    normal = torch.stack([angles.sin(), torch.zeros_like(angles), -angles.cos()], -1)
    eye = torch.tensor([0.0, 0.0, -1.0]).expand(161, 3)
    light = torch.tensor([math.sin(math.radians(30)), 0.0, -math.cos(math.radians(30))])
    gloss = key_gloss(normal, eye, light, torch.tensor(0.08), 0.04, torch.tensor(0.05))
    assert float(torch.rad2deg(angles[gloss.argmax()])) == pytest.approx(15, abs=0.6)


def test_a_larger_light_makes_a_dimmer_wider_highlight() -> None:
    normal = torch.tensor([[0.0, 0.0, -1.0]])
    eye = torch.tensor([[0.0, 0.0, -1.0]])
    light = torch.tensor([0.0, 0.0, -1.0])
    small, large = (key_gloss(normal, eye, light, torch.tensor(0.06), 0.04, torch.tensor(r)) for r in (0.01, 0.2))
    assert float(large) < 0.6 * float(small)


def test_no_gloss_from_behind() -> None:
    normal = torch.tensor([[0.0, 0.0, -1.0]])
    gloss = key_gloss(normal, normal, torch.tensor([0.0, 0.1, 0.995]), torch.tensor(0.1), 0.04, torch.tensor(0.1))
    assert float(gloss) == 0


def test_directions_mirror_the_eye_about_their_facets() -> None:
    normal = torch.tensor([[0.1, -0.2, -1.0], [0.0, 0.3, -1.0]])
    normal = normal / normal.norm(dim=-1, keepdim=True)
    eye = torch.tensor([[0.0, 0.0, -1.0]]).expand(2, 3)
    lobe = lobe_directions(normal, eye, 0.2, 7)
    assert lobe.shape == (7, 2, 3)
    assert torch.allclose(lobe.norm(dim=-1), torch.ones(7, 2), atol=1e-5)
    mirror = 2 * (normal * eye).sum(-1, keepdim=True) * normal - eye
    assert torch.allclose(lobe[0], mirror, atol=1e-6)
    facets = lobe + eye
    facets = facets / facets.norm(dim=-1, keepdim=True)
    tilt = torch.acos((facets * normal).sum(-1).clamp(-1, 1))[1:].tan()
    assert torch.allclose(tilt, torch.full_like(tilt, 0.2), atol=1e-3)
