"""Light read from a face against closed forms and against lights that are known."""

import math
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.light import lighting
from spooflab.generators.faces.procedural.skinoptics import reflectance
from spooflab.generators.geometry import Light, estimate_light, read_geometry, shading, specular
from spooflab.generators.geometry.light_prior import harmonics, lamp, light_prior
from spooflab.generators.geometry.skin_prior import skin_albedo

_SOURCE = ProceduralFaces(n_subjects=12, sessions=1, size=256, seed=5)


@lru_cache(maxsize=6)
def _face(subject: int) -> Face:
    return _SOURCE.load(_SOURCE.refs()[subject])


def _directions(count: int) -> Tensor:
    k = torch.arange(count) + 0.5
    height, around = 1 - 2 * k / count, math.pi * (1 + math.sqrt(5)) * k
    flat = (1 - height**2).sqrt()
    return torch.stack([flat * around.cos(), flat * around.sin(), height])


def _ball(size: int) -> tuple[Tensor, Tensor]:
    """Return normals (3, S, S) of a ball that faces the camera, and where it is."""
    axis = (torch.arange(size) + 0.5) / size * 2.2 - 1.1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    z2 = 1 - x * x - y * y
    return torch.stack([x, y, -z2.clamp(min=0).sqrt()]) * (z2 > 0), (z2 > 0).float()


def test_harmonics_are_orthogonal_and_give_the_mean() -> None:
    values = harmonics(_directions(20000)).double()
    gram = values @ values.T / 20000
    expected = torch.diag(torch.tensor([1, 1 / 3, 1 / 3, 1 / 3, 1 / 15, 1 / 15, 4 / 5, 1 / 15, 4 / 15]).double())
    torch.testing.assert_close(gram, expected, atol=2e-3, rtol=0)


def test_a_lamps_irradiance_is_the_projection_of_the_clamped_cosine() -> None:
    toward = torch.tensor([0.48, -0.6, -0.64])
    directions = _directions(40000)
    values = harmonics(directions).double()
    cosine = (toward @ directions).clamp(min=0).double()
    # Least squares on a uniform sphere is the projection; the integral is done here by summation.
    projected = torch.linalg.lstsq(values.T, cosine[:, None]).solution[:, 0]
    torch.testing.assert_close(lamp(toward).double(), projected, atol=2e-3, rtol=0)
    # Order 2 holds over 99 % of the energy (Ramamoorthi & Hanrahan 2001).
    rest = cosine - lamp(toward).double() @ values
    assert float(rest.square().mean() / cosine.square().mean()) < 0.01


def test_shading_is_never_dark_to_the_point_of_nothing() -> None:
    key = torch.tensor([0.0, 0.0, -1.0])
    light = Light(lamp(key)[:, None].repeat(1, 3), key, torch.ones(3), 1.0, torch.full((3,), 0.4))
    lit = shading(light, _directions(500).reshape(3, 20, 25))
    assert lit.shape == (3, 20, 25)
    assert float(lit.amin()) > 0.005
    torch.testing.assert_close(shading(light, key[:, None])[:, 0], torch.full((3,), 0.25 + 0.5 + 5 / 16))


def _truth(key: tuple[float, float, float], strength: float, tint: tuple[float, float, float]) -> Tensor:
    direction = torch.nn.functional.normalize(torch.tensor(key), dim=0)
    around = torch.zeros(9)
    around[0], around[2] = 0.3, -0.08
    return (around + strength * lamp(direction))[:, None] * torch.tensor(tint)


@pytest.mark.parametrize("key", [(0.5, -0.4, -0.75), (-0.6, -0.5, -0.5), (0.1, -0.7, -0.6)])
def test_a_known_light_on_a_ball_of_skin_is_recovered(key: tuple[float, float, float]) -> None:
    normals, inside = _ball(96)
    albedo = torch.tensor([0.5, 0.3, 0.22])
    truth = _truth(key, 0.8, (1.0, 0.97, 0.93))
    radiance = (truth.T @ harmonics(normals.reshape(3, -1))).reshape(3, 96, 96).clamp(min=0) * albedo[:, None, None]
    light = estimate_light(radiance, normals, inside)
    front = (normals[2] < -0.3) & (radiance[1] > 0.02)
    made = (shading(light, normals) * light.skin_albedo[:, None, None])[:, front]
    # Level and albedo cannot be told apart, their product can.
    assert float((made / radiance[:, front]).log().abs().mean()) < 0.05
    direction = torch.nn.functional.normalize(torch.tensor(key), dim=0)
    assert math.degrees(math.acos(float((direction @ light.key_direction).clamp(-1, 1)))) < 15
    assert light.key_share > 0.4
    torch.testing.assert_close(light.key_direction.norm(), torch.tensor(1.0))


def test_moles_highlights_and_hair_hardly_move_the_light() -> None:
    normals, inside = _ball(96)
    truth = _truth((0.5, -0.5, -0.7), 0.8, (1.0, 1.0, 1.0))
    radiance = (truth.T @ harmonics(normals.reshape(3, -1))).reshape(3, 96, 96).clamp(min=0) * 0.4
    clean = estimate_light(radiance, normals, inside)
    spoilt = radiance.clone()
    spoilt[:, 20:34, 30:60] = 0.01
    spoilt[:, 60:66, 40:48] = 2.0
    spoilt *= 1 + 0.05 * torch.randn(1, 96, 96, generator=torch.Generator().manual_seed(2))
    light = estimate_light(spoilt, normals, inside)
    front = normals[2] < -0.3
    ratio = (shading(light, normals) / shading(clean, normals))[:, front].log()
    assert float((ratio - ratio.mean()).abs().mean()) < 0.04
    assert float(light.key_direction @ clean.key_direction) > math.cos(math.radians(8))


def test_light_scales_with_the_picture_up_to_the_skins_prior() -> None:
    normals, inside = _ball(64)
    radiance = (_truth((0.5, -0.5, -0.7), 0.8, (1.0, 1.0, 1.0)).T @ harmonics(normals.reshape(3, -1))).reshape(
        3, 64, 64
    )
    radiance = radiance.clamp(min=0) * torch.tensor([0.5, 0.3, 0.2])[:, None, None]
    dim, bright = (estimate_light(radiance * k, normals, inside) for k in (0.5, 1.0))
    front = normals[2] < -0.3
    for light, k in ((dim, 0.5), (bright, 1.0)):
        product = (shading(light, normals) * light.skin_albedo[:, None, None])[:, front]
        assert float((product / (radiance * k)[:, front]).log().abs().mean()) < 0.06
    # A darker picture is partly dimmer light and partly darker skin.
    assert 0.5 < float((dim.irradiance[0] / bright.irradiance[0]).mean()) < 0.95
    assert float(dim.skin_albedo.mean()) < float(bright.skin_albedo.mean())


def test_too_little_skin_gives_a_plausible_light() -> None:
    normals, _ = _ball(32)
    light = estimate_light(torch.full((3, 32, 32), 0.3), normals, torch.zeros(32, 32))
    assert bool(torch.isfinite(light.irradiance).all())
    assert bool((shading(light, _directions(100)) > 0).all())
    assert float(light.key_direction[2]) < 0


def test_skin_colours_are_told_apart_by_their_albedo() -> None:
    melanin, blood = torch.tensor([0.02, 0.08, 0.25]), torch.full((3,), 0.05)
    truth = reflectance(melanin, blood)
    for row in truth:
        # Exposed as pictures are: light skin takes 0.36, darker skin stays darker.
        radiance = row * 0.36 * (float(row.log().mean().exp()) / 0.45) ** 0.7 / row.log().mean().exp()
        found = skin_albedo(radiance)
        assert float((found.log().mean() - row.log().mean()).abs()) < 0.25
        chroma = (found.log() - found.log().mean()) - (row.log() - row.log().mean())
        assert float(chroma.abs().amax()) < 0.12


def test_prior_is_of_lights_that_come_from_the_front_and_above() -> None:
    prior = light_prior()
    assert float(prior.mean[3]) < 0
    assert float(prior.mean[2]) < 0
    assert abs(float(prior.mean[1])) < 1e-9
    assert bool((torch.linalg.eigvalsh(prior.precision) > 0).all())
    for toward in ((0.5, -0.5, -0.7), (-0.5, -0.5, -0.7)):
        direction = torch.nn.functional.normalize(torch.tensor(toward).double(), dim=0)
        around = torch.zeros(9, dtype=torch.float64)
        around[0] = 0.3
        pull = prior.key @ (lamp(direction) + around)
        assert float(direction @ pull / pull.norm()) > math.cos(math.radians(17))


def test_highlight_peaks_where_the_halfway_vector_meets_the_normal() -> None:
    key = torch.nn.functional.normalize(torch.tensor([0.6, -0.4, -0.7]), dim=0)
    light = Light(lamp(key)[:, None].repeat(1, 3), key, torch.ones(3), 1.0, torch.full((3,), 0.4))
    normals, inside = _ball(128)
    gloss = specular(light, normals, 0.35)[0] * inside * (normals[2] < -0.5)
    place = normals.reshape(3, -1)[:, int(gloss.argmax())]
    halfway = torch.nn.functional.normalize(key + torch.tensor([0.0, 0.0, -1.0]), dim=0)
    assert math.degrees(math.acos(float((place @ halfway).clamp(-1, 1)))) < 5
    assert float(gloss.amin()) >= 0
    # A smoother surface has a higher, narrower highlight.
    smooth = specular(light, normals, torch.full((128, 128), 0.2))[0] * inside * (normals[2] < -0.5)
    assert float(smooth.amax()) > 2 * float(gloss.amax())
    assert int((smooth > smooth.amax() / 2).sum()) < int((gloss > gloss.amax() / 2).sum())


def _true_shading(subject: int, normals: Tensor) -> Tensor:
    """Return (3, N) irradiance of the session's lamps and surroundings on camera-axes normals, as NumPy computes it."""
    _, nuisance = _SOURCE.params(_SOURCE.refs()[subject])
    scene = lighting(nuisance)
    world = (normals * torch.tensor([[1.0], [-1.0], [-1.0]])).double().numpy()
    up = 0.5 + 0.5 * world[1]
    sky, ground = scene.sky.double().numpy()[:, None], scene.ground.double().numpy()[:, None]
    out = (ground + (sky - ground) * up) * (0.8 + 0.2 * world[2])
    for one in scene.lamps:
        out = out + one.colour.double().numpy()[:, None] * np.maximum(one.direction.double().numpy() @ world, 0)
    return torch.from_numpy(out).float()


def test_light_of_rendered_faces_is_read() -> None:
    angles, errors, flat = [], [], []
    for subject in range(6):
        face = _face(subject)
        assert face.normals is not None
        assert face.parsing is not None
        geometry = read_geometry(face)
        skin = (face.parsing[0, 0] == PARSING.index("skin")).reshape(-1)
        normals = face.normals[0].reshape(3, -1)[:, skin]
        truth = _true_shading(subject, normals)
        ratio = (shading(geometry.light, normals) / truth).log().mean(0)
        errors.append(float((ratio - ratio.mean()).square().mean().sqrt()))
        flat.append(float(truth.mean(0).log().std()))
        _, nuisance = _SOURCE.params(_SOURCE.refs()[subject])
        key = nuisance.key_direction[0] * torch.tensor([1.0, -1.0, -1.0])
        angles.append(math.degrees(math.acos(float((key @ geometry.light.key_direction).clamp(-1, 1)))))
    assert sorted(angles)[3] < 15
    assert max(angles) < 35
    assert sum(errors) < 0.45 * sum(flat)


def test_albedo_times_shading_is_the_picture() -> None:
    face = _face(0)
    geometry = read_geometry(face)
    assert geometry.albedo.shape == face.radiance[0].shape
    back = geometry.albedo * geometry.shading
    kept = (geometry.albedo > 0.0021) & (geometry.albedo < 1.49)
    torch.testing.assert_close(back[kept], face.radiance[0][kept], atol=1e-5, rtol=1e-4)
    skin = geometry.skin > 0.9
    # What is left of the light in the albedo is less than what the picture had.
    spread = [v.mean(0)[skin].log().std() for v in (geometry.albedo, face.radiance[0])]
    assert float(spread[0]) < 0.75 * float(spread[1])
    torch.testing.assert_close(
        geometry.albedo[:, skin].median(1).values, geometry.light.skin_albedo, rtol=0.15, atol=0.02
    )


def test_skin_without_a_parsing_is_mostly_the_parsings() -> None:
    for subject in (1, 4):
        face = _face(subject)
        assert face.parsing is not None
        skin = read_geometry(face.replace(parsing=None)).skin
        label = face.parsing[0, 0]
        truth = (label == PARSING.index("skin")) | (label == PARSING.index("nose"))
        picked = skin > 0.5
        assert float((picked & truth).sum()) / float(picked.sum()) > 0.9
        assert float((picked & truth).sum()) / float(truth.sum()) > 0.6
        for name in ("hair", "glasses", "eyes", "brows", "background", "clothes"):
            other = label == PARSING.index(name)
            if int(other.sum()) > 60:
                assert float(skin[other].mean()) < 0.15, name
    face = _face(3)
    assert face.parsing is not None
    skin = read_geometry(face.replace(parsing=None)).skin
    assert float(skin[face.parsing[0, 0] == PARSING.index("glasses")].mean()) < 0.2


def test_reading_is_the_same_each_time_and_row_by_row() -> None:
    face = _face(0)
    one, other = read_geometry(face), read_geometry(face)
    for name in ("skin", "albedo", "shading"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    assert torch.equal(one.light.irradiance, other.light.irradiance)
    with pytest.raises(ValueError, match="batch of 2"):
        read_geometry(Face.stack([face, face]))
