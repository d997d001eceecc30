"""GGX, thin sheets, subsurface transport and the light of masks against closed forms and plain integration."""

import math

import numpy as np
import pytest
import torch

from spooflab.errors import ConfigError, DataError
from spooflab.generators.attacks.masks.filter import box, moved, slopes
from spooflab.generators.attacks.masks.light import cast_shadow, edge_occlusion
from spooflab.generators.instruments import ggx, subsurface, thin_sheet
from spooflab.generators.instruments.mask_material import choose_masks, load_masks, mask_of

INDEX = 1.5


def hemisphere(count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines (count,) of polar angles at the middles of equal steps, and the solid angle of each ring."""
    theta = (torch.arange(count, dtype=torch.float64) + 0.5) * (math.pi / 2 / count)
    return theta.cos(), 2 * math.pi * theta.sin() * (math.pi / 2 / count)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0])
def test_facets_project_to_the_whole_surface(alpha: float) -> None:
    cosine, ring = hemisphere(4000)
    total = (ggx.distribution(cosine, alpha) * cosine * ring).sum()
    assert float(total) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.9])
def test_masking_is_whole_head_on_none_grazing_and_keeps_the_projected_area(alpha: float) -> None:
    cosine = torch.tensor([1.0, 1e-4], dtype=torch.float64)
    seen = ggx.masking(cosine, alpha)
    assert float(seen[0]) == pytest.approx(1.0)
    assert float(seen[1]) < 0.01
    # Heitz 2014, eq. 24: what is seen of all facets projects to the cosine of the view, whatever the roughness.
    view = torch.tensor([math.sin(0.9), 0.0, math.cos(0.9)], dtype=torch.float64)
    theta = (torch.arange(800, dtype=torch.float64) + 0.5) * (math.pi / 2 / 800)
    phi = (torch.arange(800, dtype=torch.float64) + 0.5) * (2 * math.pi / 800)
    t, p = torch.meshgrid(theta, phi, indexing="ij")
    facing = (t.sin() * p.cos() * view[0] + t.cos() * view[2]).clamp(min=0)
    weight = t.sin() * (math.pi / 2 / 800) * (2 * math.pi / 800)
    area = (ggx.distribution(t.cos(), alpha) * facing * weight).sum() * ggx.masking(view[2], alpha)
    assert float(area) == pytest.approx(float(view[2]), abs=5e-3)


def test_height_correlated_visibility_lies_between_its_limits() -> None:
    n_l, n_v = torch.rand(200, generator=torch.Generator().manual_seed(1)) * 0.9 + 0.05, torch.full((200,), 0.4)
    both = ggx.visibility(n_l, n_v, 0.3) * 4 * n_l * n_v
    one, other = ggx.masking(n_l, 0.3), ggx.masking(n_v, 0.3)
    assert (both >= one * other - 1e-5).all()
    assert (both <= torch.minimum(one, other) + 1e-5).all()


def furnace(alpha: float, f0: float, n_v: float) -> float:
    """Mirror a uniformly white room by plain integration over lamps that fill the hemisphere."""
    theta = (torch.arange(300, dtype=torch.float64) + 0.5) * (math.pi / 2 / 300)
    phi = (torch.arange(300, dtype=torch.float64) + 0.5) * (2 * math.pi / 300)
    t, p = torch.meshgrid(theta, phi, indexing="ij")
    n_l = t.cos()
    v_l = t.sin() * p.cos() * math.sqrt(1 - n_v * n_v) + n_l * n_v
    lobe = ggx.lamp_gloss(n_l, torch.full_like(n_l, n_v), v_l, alpha, f0)
    # A room of radiance 1 sends d(omega) to a facing surface; a white diffuser under irradiance 1 has radiance 1 / pi.
    return float((lobe / math.pi * t.sin()).sum() * (math.pi / 2 / 300) * (2 * math.pi / 300))


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("n_v", [0.3, 0.9])
def test_a_white_furnace_gives_no_more_than_it_gets(alpha: float, n_v: float) -> None:
    whole = furnace(alpha, 1.0, n_v)
    assert whole <= 1.01
    assert whole > 0.35  # single scattering loses up to 60 % on rough mirrors (Kulla & Conty 2017)


@pytest.mark.parametrize("alpha", [0.15, 0.4, 0.8])
@pytest.mark.parametrize("n_v", [0.4, 0.95])
def test_directional_albedo_is_the_furnace_of_a_dielectric(alpha: float, n_v: float) -> None:
    fitted = float(ggx.directional_albedo(torch.tensor(n_v), alpha, 0.04))
    assert fitted == pytest.approx(furnace(alpha, 0.04, n_v), abs=0.02)


def test_a_wider_lamp_keeps_the_energy_of_its_highlight() -> None:
    cosine, ring = hemisphere(2000)
    v_l = cosine  # seen and lit about the normal
    energy = [
        float((ggx.lamp_gloss(cosine, torch.ones_like(cosine), v_l, 0.1, 0.04, radius) * ring).sum())
        for radius in (0.0, 0.3)
    ]
    assert energy[1] == pytest.approx(energy[0], rel=0.15)


def test_fresnel_meets_its_known_points() -> None:
    cosine = torch.tensor([1.0, 0.0], dtype=torch.float64)
    ends = ggx.fresnel(cosine, INDEX)
    assert float(ends[0]) == pytest.approx(0.04)
    assert float(ends[1]) == pytest.approx(1.0)
    # At Brewster's angle the p-polarised half vanishes: half of the s-polarised reflectance is left.
    angle = math.atan(INDEX)
    inside = math.asin(math.sin(angle) / INDEX)
    s = (math.sin(angle - inside) / math.sin(angle + inside)) ** 2
    at = ggx.fresnel(torch.tensor(math.cos(angle), dtype=torch.float64), INDEX)
    assert float(at) == pytest.approx(s / 2, rel=1e-6)
    assert ggx.refractive_index(0.04) == pytest.approx(1.5)
    fine = torch.linspace(0.2, 1, 50)
    assert (ggx.schlick(fine, 0.04) - ggx.fresnel(fine, INDEX)).abs().max() < 0.02


def test_a_sheet_is_the_sum_of_its_internal_reflections() -> None:
    cosine, absorb, thickness = 0.6, 0.2, 0.8
    sine = math.sqrt(1 - cosine**2)
    inside = math.sqrt(1 - (sine / INDEX) ** 2)
    once = math.exp(-absorb * thickness / inside)
    passed, mirrored = 0.0, 0.0
    for r in (
        ((cosine - INDEX * inside) / (cosine + INDEX * inside)) ** 2,
        ((inside - INDEX * cosine) / (inside + INDEX * cosine)) ** 2,
    ):
        light, out, back = (1 - r) * once, 0.0, r
        for bounce in range(60):
            if bounce % 2 == 0:
                out += light * (1 - r)
            else:
                back += light * (1 - r)
            light *= r * once
        passed, mirrored = passed + out / 2, mirrored + back / 2
    reflectance, transmittance = thin_sheet.slab(torch.tensor(cosine, dtype=torch.float64), INDEX, absorb, thickness)
    assert float(transmittance) == pytest.approx(passed, abs=1e-9)
    assert float(reflectance) == pytest.approx(mirrored, abs=1e-9)


def test_a_clear_sheet_loses_nothing_and_two_interfaces_are_its_first_term() -> None:
    cosine = torch.linspace(0.05, 1, 40, dtype=torch.float64)
    reflectance, transmittance = thin_sheet.slab(cosine, INDEX, 0.0, 1.0)
    torch.testing.assert_close(reflectance + transmittance, torch.ones_like(cosine))
    head_on = thin_sheet.two_interfaces(torch.tensor(1.0, dtype=torch.float64), INDEX)
    assert float(head_on) == pytest.approx(0.96**2)
    assert float(transmittance[-1]) == pytest.approx(0.96**2 / (1 - 0.04**2))
    assert (transmittance.diff() > 0).all()  # darker towards grazing


def test_rays_are_shifted_as_snell_says() -> None:
    angle, thickness = math.radians(50), 1.5
    inside = math.asin(math.sin(angle) / INDEX)
    wanted = thickness * math.sin(angle - inside) / math.cos(inside)
    got = thin_sheet.shift_mm(torch.tensor(math.cos(angle), dtype=torch.float64), INDEX, thickness)
    assert float(got) == pytest.approx(wanted, rel=1e-9)
    length = thin_sheet.path_mm(torch.tensor(math.cos(angle), dtype=torch.float64), INDEX, thickness)
    assert float(length) == pytest.approx(thickness / math.cos(inside))


@pytest.mark.parametrize("d", [0.5, 2.0])
def test_the_diffusion_profile_keeps_the_light_and_its_transform_is_exact(d: float) -> None:
    r = (torch.arange(200_000, dtype=torch.float64) + 0.5) * (60 * d / 200_000)
    ring = subsurface.profile(r, d) * 2 * math.pi * r * (60 * d / 200_000)
    assert float(ring.sum()) == pytest.approx(1.0, abs=1e-4)
    assert float((ring * r).sum()) == pytest.approx(subsurface.MEAN_RADIUS * d, rel=1e-3)
    # The Hankel transform by plain integration: J0 as the mean of cos over the circle.
    angle = (np.arange(64) + 0.5) * (math.pi / 64)
    for f in (0.05 / d, 0.3 / d):
        j0 = torch.from_numpy(np.cos(2 * math.pi * f * r[::20, None].numpy() * np.cos(angle)).mean(1))
        whole = (ring[::20] * j0).sum() / ring[::20].sum()
        assert float(subsurface.transfer(torch.tensor(f), d)) == pytest.approx(float(whole), abs=2e-3)


def test_softening_is_monotone_and_leaves_even_light_alone() -> None:
    light = torch.zeros(3, 60, 60)
    light[:, :, 30:] = 1
    weight = torch.ones(60, 60)
    spread = [subsurface.soften(light, weight, torch.full((3,), d)) for d in (0.3, 1.0, 3.0)]
    contrast = [float(s[0, 30, 33] - s[0, 30, 26]) for s in spread]
    assert contrast[0] > contrast[1] > contrast[2] > 0
    even = subsurface.soften(torch.full((3, 40, 40), 0.7), torch.ones(40, 40), torch.tensor([4.0, 2.0, 1.0]))
    torch.testing.assert_close(even, torch.full_like(even, 0.7), atol=1e-4, rtol=0)
    # Light that falls beside the solid does not enter it.
    half = torch.zeros(60, 60)
    half[:, :30] = 1
    assert float(subsurface.soften(light, half, torch.full((3,), 3.0))[:, :, :29].max()) < 1e-4


def test_red_goes_furthest_in_skin_like_silicone() -> None:
    d = subsurface.scale_mm(torch.tensor([6.0, 3.6, 2.6]), torch.tensor([0.6, 0.42, 0.32]))
    assert (d.diff() < 0).all()
    assert float(subsurface.scale_mm(torch.tensor(3.5), torch.tensor(0.33))) == pytest.approx(1.0)


@pytest.mark.parametrize("least", [1, 7, 97, 321, 511])
def test_fast_lengths_have_small_factors(least: int) -> None:
    got = subsurface.fast_length(least)
    smooth = sorted(2**a * 3**b * 5**c for a in range(11) for b in range(7) for c in range(5))
    assert got == next(n for n in smooth if n >= least)


def test_edges_hide_the_sky_as_a_long_wall_does() -> None:
    """The form factor from a point to an endless wall, by integration over its height and length."""
    s, h = 2.0, 3.0
    z = (torch.arange(600, dtype=torch.float64) + 0.5) * (h / 600)
    y = (torch.arange(4000, dtype=torch.float64) + 0.5) * (400 / 4000) - 200
    zz, yy = torch.meshgrid(z, y, indexing="ij")
    r2 = s * s + zz * zz + yy * yy
    factor = (zz * s / (math.pi * r2 * r2)).sum() * (h / 600) * (400 / 4000)
    assert float(edge_occlusion(torch.tensor(s), h)) == pytest.approx(float(factor), abs=2e-3)
    assert float(edge_occlusion(torch.tensor(0.0), h)) == pytest.approx(0.5, abs=1e-3)


def test_a_step_in_depth_casts_its_shadow_away_from_the_lamp() -> None:
    depth = torch.full((80, 80), 500.0)
    depth[:, 40:] = 480.0  # the right half stands 20 mm nearer
    lamp = torch.tensor([0.8, 0.0, -0.6])  # from the right
    shadow = cast_shadow(depth, lamp, 1.0)
    assert shadow[40, 34] > 0.8  # beside the step, 20 mm deep: the shadow is 20 * 0.8 / 0.6 = 27 mm long
    assert shadow[40, 5] < 0.1
    assert shadow[40, 60] < 0.1
    assert cast_shadow(depth, torch.tensor([-0.8, 0.0, -0.6]), 1.0)[40, 34] < 0.1


def test_small_filters_agree_with_numpy() -> None:
    image = torch.randn(20, 23, generator=torch.Generator().manual_seed(3))
    for radius in (0, 1, 3):
        padded = np.pad(image.numpy(), radius, mode="edge")
        side = 2 * radius + 1
        plain = sum(padded[i : i + 20, j : j + 23] for i in range(side) for j in range(side)) / side**2
        np.testing.assert_allclose(box(image, radius).numpy(), plain, atol=1e-4)
    dx, dy = slopes(image)
    np.testing.assert_allclose(dx.numpy(), np.gradient(image.numpy(), axis=1), atol=1e-5)
    np.testing.assert_allclose(dy.numpy(), np.gradient(image.numpy(), axis=0), atol=1e-5)
    torch.testing.assert_close(moved(image, 2.0, -1.0)[1:, :-2], image[:-1, 2:], atol=1e-4, rtol=0)


def test_the_bank_is_strict_and_names_what_is_wrong(tmp_path) -> None:  # type: ignore[no-untyped-def]  # pytest's fixture
    bank = load_masks()
    for species in ("mask_rigid", "mask_silicone", "mask_transparent", "mask_half", "mannequin"):
        assert len(choose_masks(None, species)) >= 3
    assert all(mask_of(mask.number, mask.species) is mask for mask in bank.values())
    with pytest.raises(ConfigError, match="rigid_gypsum_colour"):
        choose_masks(["rigid_gypsum_colour"], "mask_silicone")
    with pytest.raises(DataError, match="not in the bank"):
        mask_of(1, "mask_rigid")
    wrong = tmp_path / "masks.yaml"
    wrong.write_text("instruments:\n  - {id: x, species: mask_rigid, source: nowhere at all, colour: 3}\n")
    with pytest.raises(ConfigError, match="colour"):
        load_masks(wrong)
    clear = tmp_path / "clear.yaml"
    clear.write_text(
        "instruments:\n  - {id: x, species: mask_transparent, source: nowhere at all, "
        "finish: {paint: bare, colour: [0.5, 0.5, 0.5], alpha: [0.1, 0.2]}, "
        "shell: {thickness_mm: [1, 2], gap_mm: [1, 2]}}\n"
    )
    with pytest.raises(ConfigError, match="clear"):
        load_masks(clear)
