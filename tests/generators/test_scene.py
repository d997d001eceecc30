"""The surroundings: coherent light, a blurred room, reflections and a hand."""

import math

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.pose import Pose
from spooflab.generators.scene import HAND_STYLES, ILLUMINATIONS, Scene, SceneParams, light_colour
from spooflab.generators.scene_room import _disc_blur, confusion_px
from spooflab.generators.scene_skin import skin_albedo
from spooflab.seeds import generator

SIZE = 128


def _params(count: int, name: str = "scene", **fields: Tensor) -> SceneParams:
    params = Scene().sample(count, generator(3, name))
    return SceneParams(**{**params.__dict__, **fields})


def _view(count: int = 1, **fields: float) -> View:
    return View.ideal(SIZE, SIZE, batch_size=count, **{"binning": 12, "k1": 0.01, **fields})


def _pose(count: int = 1, distance_mm: float = 220.0) -> Pose:
    spread = torch.arange(count) * 2.0
    return Pose(torch.tensor([[0.0, 0.0, distance_mm]]).repeat(count, 1), spread, -spread, spread)


def _half(count: int = 1) -> Tensor:
    return torch.tensor([[36.0, 75.0]]).repeat(count, 1)


def _directions(params: SceneParams) -> Tensor:
    x, y = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 40), indexing="xy")
    d = torch.stack([x, y, -torch.ones_like(x)], -1)
    return (d / d.norm(dim=-1, keepdim=True)).expand(params.batch_size, -1, -1, -1)


def test_sample_is_deterministic_and_covers_all_kinds() -> None:
    one, two = _params(200), _params(200)
    for name, value in one.__dict__.items():
        assert torch.equal(value, getattr(two, name)), name
    assert set(one.illumination.tolist()) == set(range(len(ILLUMINATIONS)))
    assert set(one.hand_style.tolist()) == set(range(len(HAND_STYLES)))
    assert 0.2 < one.outdoor.float().mean() < 0.4
    torch.testing.assert_close(one.key_direction.norm(dim=-1), torch.ones(200))
    behind = one.illumination == ILLUMINATIONS.index("back")
    assert bool((one.key_direction[behind, 2] > 0).all())
    assert bool((one.key_direction[~behind, 2] < 0).all())


def test_hand_share_is_kept() -> None:
    assert bool((Scene(hand_share=0).sample(50, generator(0, "h")).hand_style == 0).all())
    assert bool((Scene(hand_share=1).sample(50, generator(0, "h")).hand_style > 0).all())
    with pytest.raises(ValueError, match="hand_share"):
        Scene(hand_share=1.5)


def test_params_replay_from_json() -> None:
    params = _params(3).row(1)
    again = SceneParams.from_json(params.to_json())
    view, pose, half = _view(), _pose(), _half()
    scene = Scene()
    assert torch.equal(scene.background(view, params), scene.background(view, again))
    assert torch.equal(scene.reflection(params, _directions(params)), scene.reflection(again, _directions(again)))
    for a, b in zip(scene.hand(view, params, pose, half), scene.hand(view, again, pose, half), strict=True):
        assert torch.equal(a, b)


def test_rows_are_independent() -> None:
    count = 4
    params, view, pose, half, scene = _params(count), _view(count), _pose(count), _half(count), Scene(hand_share=1)
    whole = (scene.background(view, params), scene.reflection(params, _directions(params)), scene.ambient(params),
             *scene.hand(view, params, pose, half))  # fmt: skip
    for i in range(count):
        one = params.row(i)
        alone = (scene.background(view.row(i), one), scene.reflection(one, _directions(one)), scene.ambient(one),
                 *scene.hand(view.row(i), one, pose.row(i), half[i : i + 1]))  # fmt: skip
        for a, b in zip(whole, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, atol=1e-5, rtol=1e-5)


def test_shapes_and_ranges() -> None:
    params, scene = _params(6), Scene()
    background = scene.background(_view(6), params)
    assert background.shape == (6, 3, SIZE, SIZE)
    assert bool(torch.isfinite(background).all())
    assert float(background.min()) >= 0
    reflection = scene.reflection(params, _directions(params))
    assert reflection.shape == (6, 3, 40, 48)
    assert bool(torch.isfinite(reflection).all())
    assert float(reflection.min()) >= 0
    rgb, alpha = scene.hand(_view(6), params, _pose(6), _half(6))
    assert rgb.shape == (6, 3, SIZE, SIZE)
    assert alpha.shape == (6, 1, SIZE, SIZE)
    assert 0 <= float(alpha.min()) <= float(alpha.max()) <= 1 + 1e-6


def test_seeds_look_different() -> None:
    params = _params(8)
    images = Scene().background(_view(8), params)
    images = images / images.mean(dim=(1, 2, 3), keepdim=True)
    for i in range(8):
        for j in range(i):
            assert float((images[i] - images[j]).abs().mean()) > 0.05


def test_ambient_matches_lambert_on_a_facing_sheet() -> None:
    params = _params(40)
    light = Scene().ambient(params)
    for i in range(40):
        facing = max(0.0, -float(params.key_direction[i, 2]))
        torch.testing.assert_close(light[i], params.ambient_rgb[i] + params.key_rgb[i] * facing)
    normal = params.illumination == 0
    assert 0.5 < float(light[normal].mean()) < 1.3
    assert float(light[params.illumination == 3].mean()) < 0.4


def test_key_light_radiance_gives_its_illumination() -> None:
    """Integrated over the sphere with the cosine, the key light's disc illuminates a facing surface by key_rgb."""
    gen = generator(9, "key")
    direction = torch.tensor([[0.3, -0.5, -0.8]])
    direction = direction / direction.norm()
    params = _params(1, key_direction=direction, key_radius_deg=torch.tensor([8.0]), key_rgb=torch.ones(1, 3))
    dark = _params(1, key_direction=direction, key_radius_deg=torch.tensor([8.0]), key_rgb=torch.zeros(1, 3))
    # directions within 12 degrees of the light, uniform in solid angle
    cos_limit = math.cos(math.radians(12))
    cosine = cos_limit + (1 - cos_limit) * torch.rand(64 * 64, generator=gen)
    azimuth = 2 * math.pi * torch.rand(64 * 64, generator=gen)
    side = torch.linalg.cross(direction[0], torch.tensor([0.0, 1.0, 0.0]))
    side = side / side.norm()
    other = torch.linalg.cross(direction[0], side)
    sine = (1 - cosine**2).sqrt()
    rays = (
        cosine[:, None] * direction + (sine * azimuth.cos())[:, None] * side + (sine * azimuth.sin())[:, None] * other
    )
    scene = Scene()
    pairs = [rays[i : i + 16].reshape(1, 1, 16, 3) for i in range(0, 4096, 16)]  # small enough to skip the coarse grid
    light = torch.cat([scene.reflection(params, p) - scene.reflection(dark, p) for p in pairs]).mean(dim=(0, 2, 3))
    solid_angle = 2 * math.pi * (1 - cos_limit)
    illumination = light * solid_angle / math.pi * float(cosine.mean())
    torch.testing.assert_close(illumination, torch.ones(3), atol=0.1, rtol=0)


def test_room_before_the_instrument_is_about_as_bright_as_its_ambient() -> None:
    params = _params(60, key_rgb=torch.zeros(60, 3))
    x, y = torch.meshgrid(torch.linspace(-0.95, 0.95, 30), torch.linspace(-0.95, 0.95, 30), indexing="xy")
    z = (1 - x * x - y * y).clamp(min=0).sqrt()  # orthographic hemisphere: a plain mean is cosine weighted
    inside = x * x + y * y < 0.9
    d = torch.stack([x, y, -z.clamp(min=0.3)], -1)
    d = (d / d.norm(dim=-1, keepdim=True)).expand(60, -1, -1, -1)
    seen = Scene().reflection(params, d)[:, :, inside].mean(-1) / params.ambient_rgb
    assert 0.3 < float(seen.median()) < 1.6


def test_person_shows_dark_in_the_reflection() -> None:
    with_person, without = _params(20, person=torch.ones(20, dtype=torch.bool)), _params(
        20, person=torch.zeros(20, dtype=torch.bool))  # fmt: skip
    d = torch.tensor([0.0, 0.0, -1.0]).expand(20, 8, 8, 3)
    scene = Scene()
    dark, bright = scene.reflection(with_person, d), scene.reflection(without, d)
    assert float(dark.mean()) < 0.25 * float(bright.mean())


def test_confusion_disc_follows_the_thin_lens() -> None:
    view = View.ideal(64, 64, focal_mm=50, f_number=2, pitch_um=5, binning=1)
    # image distances of the focused and of the far plane, and similar triangles through the aperture
    focus, far, f, aperture = 1000.0, 3000.0, 50.0, 25.0
    image_focus, image_far = 1 / (1 / f - 1 / focus), 1 / (1 / f - 1 / far)
    disc_mm = aperture * abs(image_focus - image_far) / image_far
    found = confusion_px(view, torch.tensor([focus]), torch.tensor([far]))
    assert float(found[0]) == pytest.approx(disc_mm * 1000 / 5, rel=1e-4)


def test_disc_blur_of_a_point_is_an_even_disc() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 32, 32] = 1
    out = _disc_blur(image, torch.tensor([8.0]))[0, 0]
    assert float(out.sum()) == pytest.approx(1, abs=0.03)
    y, x = torch.meshgrid(torch.arange(64.0) - 32, torch.arange(64.0) - 32, indexing="ij")
    radius = torch.hypot(x, y)
    assert float(out[radius < 6].mean()) == pytest.approx(1 / (math.pi * 64), rel=0.06)
    assert float(out[radius > 10.5].max()) < 0.05 / (math.pi * 64)


def test_wider_aperture_blurs_more() -> None:
    params = _params(6, outdoor=torch.zeros(6, dtype=torch.bool))

    def roughness(f_number: float) -> float:
        view = View.ideal(256, 256, batch_size=6, focal_mm=30, pitch_um=5, binning=6, f_number=f_number)
        image = Scene().background(view, params, 500.0)
        return float((image[..., 1:] - image[..., :-1]).square().mean())

    assert roughness(1.4) < 0.6 * roughness(16)


def test_light_colour_orders_with_temperature_and_keeps_luminance() -> None:
    rgb = light_colour(torch.tensor([2700.0, 4000.0, 5500.0, 6500.0, 8000.0]))
    ratio = rgb[:, 0] / rgb[:, 2]
    assert bool((ratio[1:] < ratio[:-1]).all())
    torch.testing.assert_close(rgb @ torch.tensor([0.2126, 0.7152, 0.0722]), torch.ones(5))
    assert float((rgb[3] - 1).abs().max()) < 0.03  # 6500 K is the white point


def test_skin_covers_the_range_of_tones() -> None:
    tones = skin_albedo(torch.linspace(0, 1, 5), torch.zeros(5))
    assert bool((tones[1:] < tones[:-1]).all())
    assert bool((tones[:, 0] > tones[:, 1]).all())
    assert bool((tones[:, 1] > tones[:, 2]).all())


def _held(style: int, edge: int, **fields: Tensor) -> SceneParams:
    return _params(1, hand_style=torch.tensor([style]), hand_edge=torch.tensor([edge]),
                   hand_along=torch.zeros(1), hand_scale=torch.ones(1), **fields)  # fmt: skip


def test_stand_shows_no_hand() -> None:
    rgb, alpha = Scene().hand(_view(), _held(0, 0), _pose(), _half())
    assert float(alpha.max()) == 0
    assert float(rgb.abs().max()) == 0


@pytest.mark.parametrize(("edge", "rows", "columns"), [
    (0, slice(80, 128), slice(0, 128)), (1, slice(0, 128), slice(0, 64)), (2, slice(0, 128), slice(64, 128)),
])  # fmt: skip
def test_thumb_lies_at_its_edge(edge: int, rows: slice, columns: slice) -> None:
    view = _view(k1=0.0)
    distance = torch.tensor([[0.0, 0.0, 72 * 4.25 / (SIZE * 1.4e-3 * 12) / 0.55]])
    pose = Pose(distance, torch.zeros(1), torch.zeros(1), torch.zeros(1))
    half = torch.tensor([[36.0, 50.0]])
    _, alpha = Scene().hand(view, _held(1, edge), pose, half, shadow=False)
    assert float(alpha.sum()) > 100
    assert float(alpha[0, 0, rows, columns].sum()) > 0.97 * float(alpha.sum())


def test_thumb_reaches_as_far_as_drawn() -> None:
    view = _view(k1=0.0)
    mm_per_px = 300 * 1.4e-3 * 12 / 4.25
    pose = Pose(torch.tensor([[0.0, 0.0, 300.0]]), torch.zeros(1), torch.zeros(1), torch.zeros(1))
    params = _held(1, 1, hand_reach_mm=torch.tensor([25.0]), hand_tilt_deg=torch.zeros(1))
    _, alpha = Scene().hand(view, params, pose, torch.tensor([[36.0, 60.0]]), shadow=False)
    columns = torch.nonzero(alpha[0, 0].amax(0) > 0.5)[:, 0]
    tip_mm = (float(columns.max()) + 1 - SIZE / 2) * mm_per_px + 36
    assert tip_mm == pytest.approx(25.0, abs=1.5 * mm_per_px + 1)


def test_shadow_darkens_only_the_instrument() -> None:
    view, pose, half = _view(k1=0.0), _pose(), _half() * 0.8
    params = _held(1, 1)
    rgb, with_shadow = Scene().hand(view, params, pose, half)
    _, without = Scene().hand(view, params, pose, half, shadow=False)
    extra = (with_shadow - without)[0, 0]
    assert float(extra.max()) > 0.1
    assert float(extra.min()) > -1e-5
    assert float((rgb * with_shadow)[0, :, extra > 0.1].mean()) < float((rgb * with_shadow)[0, :, extra < 1e-6].max())


def test_hand_is_lit_from_the_side_of_the_key_light() -> None:
    view = _view(k1=0.0)
    pose = Pose(torch.tensor([[0.0, 0.0, 120.0]]), torch.zeros(1), torch.zeros(1), torch.zeros(1))
    sums = []
    for side in (-1.0, 1.0):
        key = torch.tensor([[side * 0.9, 0.0, -math.sqrt(1 - 0.81)]])
        params = _held(1, 0, key_direction=key, key_rgb=torch.ones(1, 3), ambient_rgb=torch.full((1, 3), 0.1),
                       hand_reach_mm=torch.tensor([30.0]), hand_tilt_deg=torch.tensor([0.0]))  # fmt: skip
        rgb, alpha = Scene().hand(view, params, pose, torch.tensor([[36.0, 20.0]]), shadow=False)
        weight = (rgb * alpha)[0, 1]
        seen = alpha[0, 0] > 0.9
        x = torch.arange(SIZE).expand(SIZE, SIZE)
        sums.append(float((weight * x)[seen].sum() / weight[seen].sum()))
    assert sums[1] - sums[0] > 1.0
