"""The blended swap, piece by piece and whole."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.attacks.digital.poisson import membrane
from spooflab.generators.attacks.digital.swap_blend import SwapBlend, SwapBlendParams
from spooflab.generators.attacks.digital.swap_colour import from_lab, moments, to_lab, transfer
from spooflab.generators.attacks.digital.swap_mask import depth_inside, face_width, hull, soft_mask
from spooflab.generators.attacks.digital.swap_warp import ThinPlate, dense_map, face_spline, folded_share
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.landmarks import MEAN_HEAD, box_of
from spooflab.seeds import generator

SIZE = 160


def _face(name: str, *, yaw: float = 0.0, tone: float = 0.5, size: int = SIZE) -> Face:
    """Return smooth random colours with a mean head's landmarks, turned by `yaw` degrees."""
    gen = generator(11, name)
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    points = (MEAN_HEAD @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T)[:, :2] * size * 0.25 + (size / 2, size * 0.42)
    noise = F.interpolate(torch.randn(1, 3, 12, 12, generator=gen), size=(size, size), mode="bicubic")
    colour = torch.tensor([1.2, 0.9, 0.7])[:, None, None]
    radiance = (tone * colour * (1 + 0.25 * noise)).clamp(0.01, 1.5)
    return Face(
        radiance=radiance,
        landmarks=torch.tensor(points, dtype=torch.float32)[None],
        box=torch.tensor([box_of(points)]),
        subject_id=(name,),
        source_id=(f"{name}/0",),
    )


def _params(count: int = 1, **fields: Any) -> SwapBlendParams:
    params = SwapBlend().sample(count, generator(5, "swap", count))
    plain = {"self_swap": torch.zeros(count, dtype=torch.bool), **fields}
    return dataclasses.replace(params, **plain)


def _plain(blend: int = 0) -> SwapBlendParams:
    return _params(blend=torch.tensor([blend]), opacity=torch.ones(1), elastic=torch.zeros(1), inset=torch.zeros(1),
                   misalign=torch.zeros(1, 2), colour=torch.zeros(1))  # fmt: skip


def test_draws_are_deterministic_and_in_range() -> None:
    one, two = (SwapBlend().sample(500, generator(1, "d")) for _ in range(2))
    for field in dataclasses.fields(one):
        assert torch.equal(getattr(one, field.name), getattr(two, field.name)), field.name
    assert float(one.blend.float().mean()) == pytest.approx(0.35, abs=0.07)
    assert float(one.self_swap.float().mean()) == pytest.approx(0.15, abs=0.05)
    assert 0.7 <= float(one.opacity.min()) <= float(one.opacity.max()) <= 1
    assert float(one.feather.min()) > 0
    with pytest.raises(ValueError, match="poisson_share"):
        SwapBlend(poisson_share=2)


@pytest.mark.parametrize("blend", [0, 1])
def test_identity_swap_changes_nothing(blend: int) -> None:
    face = _face("a")
    changed = SwapBlend().apply(face, face, dataclasses.replace(_plain(blend), colour=torch.ones(1))).face
    assert float((changed.radiance - face.radiance).abs().max()) < 2e-3


def test_identity_of_the_target_is_kept() -> None:
    face, donor = _face("a"), _face("b", yaw=10)
    changed = SwapBlend().apply(face, donor, _plain()).face
    assert changed.subject_id == ("a",)
    assert changed.source_id == ("a/0",)
    assert torch.equal(changed.landmarks, face.landmarks)
    assert torch.equal(changed.box, face.box)
    assert changed.spoof_mask is not None
    assert changed.spoof_mask.shape == (1, 1, SIZE, SIZE)
    assert 0 <= float(changed.spoof_mask.min()) < float(changed.spoof_mask.max()) <= 1
    assert float((changed.radiance - face.radiance).abs().max()) > 0.05


@pytest.mark.parametrize("blend", [0, 1])
def test_unmasked_pixels_keep_their_bits(blend: int) -> None:
    face = _face("a")
    changed = SwapBlend().apply(face, _face("b"), _plain(blend)).face
    assert changed.spoof_mask is not None
    outside = (changed.spoof_mask == 0).expand_as(face.radiance)
    assert 0.2 < float(outside.float().mean()) < 0.95
    assert torch.equal(changed.radiance[outside], face.radiance[outside])


def test_whole_mask_shows_the_warped_donor() -> None:
    """Within a hard mask, without colour transfer, each pixel is the donor at the spline's place (an own look-up)."""
    face, donor = _face("a"), _face("b", yaw=12)
    params = dataclasses.replace(_plain(), feather=torch.tensor([0.02]))
    changed = SwapBlend().apply(face, donor, params).face
    assert changed.spoof_mask is not None
    spline = face_spline(face.landmarks, donor.landmarks)
    picture = donor.radiance[0].permute(1, 2, 0).numpy()
    for row, column in ((60, 80), (90, 70), (100, 95), (75, 60)):
        assert float(changed.spoof_mask[0, 0, row, column]) == 1
        x, y = (spline(torch.tensor([[[column + 0.5, row + 0.5]]]))[0, 0] - 0.5).tolist()
        x0, y0, a, b = int(x), int(y), x - int(x), y - int(y)
        top = (1 - a) * picture[y0, x0] + a * picture[y0, x0 + 1]
        wanted = (1 - b) * top + b * ((1 - a) * picture[y0 + 1, x0] + a * picture[y0 + 1, x0 + 1])
        np.testing.assert_allclose(changed.radiance[0, :, row, column].numpy(), wanted, atol=4e-3)


@pytest.mark.parametrize("size", [SIZE, 384])
@pytest.mark.parametrize("yaw", [-25.0, 0.0, 20.0])
def test_warp_takes_donor_landmarks_onto_the_targets(yaw: float, size: int) -> None:
    face, donor = _face("a", size=size), _face("b", yaw=yaw, size=size)
    moved = donor.landmarks * 1.1 + torch.tensor([4.0, -6.0])
    found = dense_map(face_spline(face.landmarks, moved), 0, 0, size, size)
    at = face.landmarks[0, :60]
    grid = (at / size * 2 - 1)[None, None]
    seen = F.grid_sample(found.permute(0, 3, 1, 2), grid, align_corners=False)[0, :, 0].T
    assert float((seen - moved[0, :60]).norm(dim=-1).max()) <= 0.5
    inside = soft_mask(hull(face.landmarks, torch.tensor([0.15])), *torch.tensor([[6.0], [2.0], [0.0]]),
                       torch.tensor([0]), size, size)  # fmt: skip
    assert float(folded_share(found, inside)[0]) < 0.02


def test_thin_plate_is_exact_for_affine_maps_and_meets_its_controls() -> None:
    gen = generator(2, "tps")
    at = 100 * torch.rand(2, 30, 2, generator=gen)
    matrix = torch.tensor([[1.1, 0.2], [-0.3, 0.9]])
    points = 200 * torch.rand(2, 50, 2, generator=gen) - 50
    affine = ThinPlate.fit(at, at @ matrix + 5)
    torch.testing.assert_close(affine(points), points @ matrix + 5, atol=1e-2, rtol=0)
    to = at + 5 * torch.randn(2, 30, 2, generator=gen)
    torch.testing.assert_close(ThinPlate.fit(at, to)(at), to, atol=5e-2, rtol=0)


def test_thin_plate_equals_scipy() -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    gen = generator(3, "tps")
    at, to = 100 * torch.rand(1, 25, 2, generator=gen), 100 * torch.rand(1, 25, 2, generator=gen)
    points = 100 * torch.rand(1, 40, 2, generator=gen)
    reference = interpolate.RBFInterpolator(at[0].double().numpy(), to[0].double().numpy(), kernel="thin_plate_spline")
    np.testing.assert_allclose(
        ThinPlate.fit(at, to)(points)[0].numpy(), reference(points[0].double().numpy()), atol=0.15
    )


def test_folded_warp_is_a_reason() -> None:
    face, donor = _face("a"), _face("b")
    mirrored = donor.landmarks * torch.tensor([-1.0, 1.0]) + torch.tensor([float(SIZE), 0.0])
    with pytest.raises(SkipSample) as caught:
        SwapBlend().apply(face, donor.replace(landmarks=mirrored), _plain())
    assert caught.value.reason == "swap_folds"


def test_hull_outside_the_picture_is_a_reason() -> None:
    face = _face("a")
    with pytest.raises(SkipSample) as caught:
        SwapBlend().apply(face.replace(landmarks=face.landmarks + 1000), _face("b"), _plain())
    assert caught.value.reason == "swap_outside"


def test_polygon_depth_against_a_loop() -> None:
    polygon = torch.tensor([[[10.0, 10.0], [40.0, 12.0], [30.0, 25.0], [38.0, 45.0], [8.0, 40.0]]])
    gen = generator(4, "poly")
    points = 50 * torch.rand(1, 200, 2, generator=gen)
    found = depth_inside(polygon, points)[0]
    corners = polygon[0].tolist()
    for (x, y), depth in zip(points[0].tolist(), found.tolist(), strict=True):
        nearest, inside = math.inf, False
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            t = min(1.0, max(0.0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)))
            nearest = min(nearest, math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)))
            if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
                inside = not inside
        assert depth == pytest.approx(nearest if inside else -nearest, abs=1e-3)


def _mask(inset: float, feather: float, elastic: float = 0.0) -> Tensor:
    outline = torch.tensor([[[30.0, 30.0], [130.0, 30.0], [130.0, 130.0], [30.0, 130.0]]])
    one = torch.ones(1)
    return soft_mask(outline, inset * one, feather * one, elastic * one, torch.tensor([7]), SIZE, SIZE)[0, 0]


def test_feather_keeps_its_bounds() -> None:
    mask = _mask(4.0, 12.0)[80]  # along a row through the square's middle
    x = torch.arange(SIZE) + 0.5
    depth = torch.minimum(x - 30, 130 - x)
    assert float(mask[depth < 4 - 0.1].max()) == 0
    assert float(mask[depth > 16 + 0.1].min()) == 1
    t = ((depth - 4) / 12).clamp(0, 1)
    torch.testing.assert_close(mask, t * t * (3 - 2 * t), atol=0.05, rtol=0)


def test_elastic_moves_the_outline_and_seed_names_it() -> None:
    still, moved, again = _mask(0, 4), _mask(0, 4, 4.0), _mask(0, 4, 4.0)
    assert torch.equal(moved, again)
    changed = ((still > 0.5) != (moved > 0.5)).sum() / 400  # mean shift along the 400 px outline
    assert 1.0 < float(changed) < 7.0


def test_hull_holds_the_features_and_not_the_ears() -> None:
    face = _face("a")
    outline = hull(face.landmarks, torch.tensor([0.15]))
    assert bool((depth_inside(outline, face.landmarks[:, 17:]) > 0).all())
    width = float(face_width(face.landmarks)[0])
    beyond = face.landmarks[:, [0, 16]] + torch.tensor([[[-0.1 * width, 0.0], [0.1 * width, 0.0]]])
    assert bool((depth_inside(outline, beyond) < 0).all())


def test_lab_against_skimage() -> None:
    colour = pytest.importorskip("skimage.color")
    gen = generator(6, "lab")
    linear = torch.rand(1, 3, 16, 16, generator=gen)
    encoded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
    wanted = colour.rgb2lab(encoded[0].permute(1, 2, 0).double().numpy())
    np.testing.assert_allclose(to_lab(linear)[0].permute(1, 2, 0).numpy(), wanted, atol=0.05)


def test_lab_round_trip_keeps_radiance_above_white() -> None:
    linear = torch.rand(1, 3, 32, 32, generator=generator(7, "lab")) ** 3 * 4
    torch.testing.assert_close(from_lab(to_lab(linear)), linear, atol=2e-4, rtol=1e-3)


def test_full_colour_transfer_meets_both_moments() -> None:
    gen = generator(8, "colour")
    source, target = (
        torch.randn(2, 3, 20, 20, generator=gen) * 5 + 40,
        torch.randn(2, 3, 20, 20, generator=gen) * 9 + 60,
    )
    weight = torch.rand(2, 1, 20, 20, generator=gen)
    moved = transfer(source, target, weight, torch.tensor([1.0, 0.5]))
    for found, wanted in zip(moments(moved, weight), moments(target, weight), strict=True):
        torch.testing.assert_close(found[0], wanted[0], atol=1e-2, rtol=0)
    half = (moments(source, weight)[0][1] + moments(target, weight)[0][1]) / 2
    torch.testing.assert_close(moments(moved, weight)[0][1], half, atol=1e-2, rtol=0)
    values, share = source[0, 1].flatten().double().numpy(), weight[0, 0].flatten().double().numpy()
    mean = np.average(values, weights=share)
    assert float(moments(source, weight)[0][0, 1]) == pytest.approx(mean, abs=1e-3)
    assert float(moments(source, weight)[1][0, 1]) == pytest.approx(
        math.sqrt(np.average((values - mean) ** 2, weights=share)), abs=1e-3)  # fmt: skip


def test_colour_transfer_brings_skin_together() -> None:
    """A dark donor on a pale target: the swapped region's mean is the target's, within the seam's feather."""
    face, donor = _face("a", tone=0.6), _face("b", tone=0.15)
    plain = _plain()
    matched = SwapBlend().apply(face, donor, dataclasses.replace(plain, colour=torch.ones(1))).face
    unmatched = SwapBlend().apply(face, donor, plain).face
    assert matched.spoof_mask is not None
    inside = (matched.spoof_mask == 1)[0, 0]
    gap = [
        abs(float(f.radiance[0, :, inside].mean() - face.radiance[0, :, inside].mean())) for f in (matched, unmatched)
    ]
    assert gap[0] < 0.05 < 0.3 < gap[1]


def _region(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    return torch.hypot(y / height, x / width) < 0.38 + 0.06 * torch.sin(5 * torch.atan2(y, x))


def test_membrane_against_a_sparse_direct_solver() -> None:
    sparse, solver = pytest.importorskip("scipy.sparse"), pytest.importorskip("scipy.sparse.linalg")
    height, width = 45, 38
    difference, inside = torch.randn(2, height, width, generator=generator(9, "p")), _region(45, 38)
    found = membrane(difference, inside, tolerance=1e-6, max_steps=40)
    number = {at: k for k, at in enumerate(map(tuple, torch.nonzero(inside).tolist()))}
    matrix = sparse.lil_matrix((len(number), len(number)))
    right = np.zeros((len(number), 2))
    for (y, x), k in number.items():
        matrix[k, k] = 4
        for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if near in number:
                matrix[k, number[near]] = -1
            else:
                right[k] += difference[:, near[0], near[1]].double().numpy()
    wanted = solver.spsolve(matrix.tocsr(), right)
    np.testing.assert_allclose(found[:, inside].T.numpy(), wanted, atol=1e-4)
    assert torch.equal(found[:, ~inside], difference[:, ~inside])


def test_membrane_at_its_working_tolerance_is_close_to_exact() -> None:
    inside = _region(210, 170)
    y, x = torch.meshgrid((torch.arange(210) - 105) / 100, (torch.arange(170) - 85) / 100, indexing="ij")
    harmonic = torch.stack([x, x * y, x * x - y * y])  # equals its own membrane
    wild = torch.where(inside, torch.zeros_like(harmonic), harmonic)
    assert float((membrane(wild, inside) - harmonic).abs().max()) < 0.03


def test_poisson_keeps_the_donors_gradients() -> None:
    """With a constant shift between two pictures the clone removes the shift, which a feathered blend does not."""
    face = _face("a")
    donor = face.replace(radiance=face.radiance * 0.8)
    plain = [SwapBlend().apply(face, donor, _plain(blend)).face for blend in (0, 1)]
    gaps = [float((f.radiance - face.radiance).abs().mean()) for f in plain]
    assert gaps[1] < 0.1 * gaps[0]


def test_self_swap_ignores_the_donor_and_alters_the_face() -> None:
    face = _face("a")
    params = dataclasses.replace(_plain(), self_swap=torch.tensor([True]))
    one, two = (SwapBlend().apply(face, _face(name), params).face for name in ("b", "c"))
    assert torch.equal(one.radiance, two.radiance)
    assert float((one.radiance - face.radiance).abs().max()) > 0.02
    calm = dataclasses.replace(params, self_scale=torch.ones(1), self_shift=torch.zeros(1, 2),
                               self_lab=torch.zeros(1, 3), self_contrast=torch.ones(1))  # fmt: skip
    assert float((SwapBlend().apply(face, face, calm).face.radiance - face.radiance).abs().max()) < 2e-3


def test_batch_equals_rows_and_json_replays() -> None:
    count = 4
    faces = [_face(f"t{i}", yaw=4.0 * i) for i in range(count)]
    donors = [_face(f"d{i}", yaw=-3.0 * i) for i in range(count)]
    swap = SwapBlend(poisson_share=0.5, self_share=0.3)
    params = swap.sample(count, generator(21, "rows"))
    assert len(set(params.blend.tolist())) == 2
    whole = swap.apply(Face.stack(faces), Face.stack(donors), params).face
    assert whole.spoof_mask is not None
    for i in range(count):
        again = swap.parse(params.row(i).to_json())
        alone = swap.apply(faces[i], donors[i], again).face
        assert alone.spoof_mask is not None
        torch.testing.assert_close(whole.radiance[i : i + 1], alone.radiance, atol=1e-5, rtol=0)
        torch.testing.assert_close(whole.spoof_mask[i : i + 1], alone.spoof_mask, atol=1e-5, rtol=0)


def test_donor_of_another_size_and_an_earlier_mask() -> None:
    face = _face("a").replace(spoof_mask=torch.zeros(1, 1, SIZE, SIZE).index_fill(3, torch.arange(5), 0.7))
    changed = SwapBlend().apply(face, _face("b", size=96), _plain()).face
    assert changed.spoof_mask is not None
    assert changed.radiance.shape == (1, 3, SIZE, SIZE)
    torch.testing.assert_close(changed.spoof_mask[..., :5], torch.full((1, 1, SIZE, 5), 0.7))


def _classes(**boxes: tuple[int, int, int, int]) -> Tensor:
    """Return a parsing of skin with boxes (top, bottom, left, right) of other classes."""
    parsing = torch.full((1, 1, SIZE, SIZE), PARSING.index("skin"), dtype=torch.uint8)
    for name, (top, bottom, left, right) in boxes.items():
        parsing[..., top:bottom, left:right] = PARSING.index(name)
    return parsing


def test_careful_keeps_what_covers_the_target() -> None:
    face = _face("a").replace(parsing=_classes(hair=(30, 62, 60, 100), glasses=(64, 70, 50, 110)))
    careful = dataclasses.replace(_plain(), careful=torch.tensor([True]))
    naive = dataclasses.replace(_plain(), careful=torch.tensor([False]))
    kept, lost = (SwapBlend().apply(face, _face("b"), p).face for p in (careful, naive))
    assert kept.spoof_mask is not None
    assert lost.spoof_mask is not None
    for box in ((slice(40, 60), slice(64, 96)), (slice(66, 68), slice(52, 108))):
        assert torch.equal(kept.radiance[..., box[0], box[1]], face.radiance[..., box[0], box[1]])
        assert float(kept.spoof_mask[..., box[0], box[1]].max()) == 0
        assert float((lost.radiance - face.radiance)[..., box[0], box[1]].abs().max()) > 0.05
    assert float(kept.spoof_mask[..., 90:100, 75:85].min()) == 1


def test_careful_leaves_out_a_donors_hair_and_takes_its_glasses_off() -> None:
    face, donor = _face("a"), _face("b")
    donor = donor.replace(landmarks=face.landmarks)
    bar = (64, 68, 55, 105)
    dark = donor.radiance.clone()
    dark[..., bar[0] : bar[1], bar[2] : bar[3]] = 0.001
    framed = donor.replace(radiance=dark, parsing=_classes(glasses=bar))
    careful = dataclasses.replace(_plain(), careful=torch.tensor([True]))
    naive = dataclasses.replace(_plain(), careful=torch.tensor([False]))
    inner = (..., slice(65, 67), slice(60, 100))
    wanted = SwapBlend().apply(face, donor, naive).face.radiance[inner]
    off = {k: (SwapBlend().apply(face, framed, p).face.radiance[inner] - wanted).abs().mean() for k, p in
           (("careful", careful), ("naive", naive))}  # fmt: skip
    assert float(off["careful"]) < 0.25 * float(off["naive"])
    fringe = donor.replace(parsing=_classes(hair=(40, 66, 50, 110)))
    got = SwapBlend().apply(face, fringe, careful).face
    assert got.spoof_mask is not None
    assert float(got.spoof_mask[..., 50:62, 60:100].max()) == 0


def test_an_open_mouth_stays_under_a_donors_closed_one() -> None:
    face, donor = _face("a"), _face("b")
    mouth = face.landmarks.clone()
    mouth[:, 61:64, 1] -= 5
    mouth[:, 65:68, 1] += 7
    opened = face.replace(landmarks=mouth)
    x, y = (int(v) for v in mouth[0, 60:68].mean(0))
    careful = dataclasses.replace(_plain(), careful=torch.tensor([True]))
    kept = SwapBlend().apply(opened, donor, careful).face
    assert kept.spoof_mask is not None
    assert float(kept.spoof_mask[0, 0, y, x]) == 0
    assert torch.equal(kept.radiance[..., y, x], face.radiance[..., y, x])
    both = SwapBlend().apply(opened, donor.replace(landmarks=mouth), careful).face
    assert both.spoof_mask is not None
    assert float(both.spoof_mask[0, 0, y, x]) == 1


def test_each_effect_vanishes_when_off() -> None:
    face, donor = _face("a", tone=0.6), _face("b", tone=0.2)
    plain = dataclasses.replace(_plain(), feather=torch.tensor([0.01]))
    cases: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = {
        "colour_transfer": ({"colour": torch.ones(1)}, {}),
        "misalignment": ({"misalign": torch.tensor([[0.01, -0.01]]), "elastic": torch.tensor([0.02])}, {}),
    }
    for effect, (drawn, neutral) in cases.items():
        bits = SwapBlend(ablate=[effect]).sample(1, generator(0, "x")).ablated
        on = SwapBlend().apply(face, donor, dataclasses.replace(plain, **drawn)).face.radiance
        off = SwapBlend().apply(face, donor, dataclasses.replace(plain, **drawn, ablated=bits)).face.radiance
        wanted = SwapBlend().apply(face, donor, dataclasses.replace(plain, **neutral)).face.radiance
        assert float((on - off).abs().max()) > 0.02, effect
        torch.testing.assert_close(off, wanted)
    with pytest.raises(ConfigError, match="no effect"):
        SwapBlend(ablate=["gloss"])


def test_without_a_seam_the_outline_does_not_jump() -> None:
    face, donor = _face("a", tone=0.6), _face("a", tone=0.2)
    plain = dataclasses.replace(_plain(), feather=torch.tensor([0.002]))
    jumps = []
    for effects in ((), ("seam",)):
        bits = SwapBlend(ablate=effects).sample(1, generator(0, "x")).ablated
        got = SwapBlend().apply(face, donor, dataclasses.replace(plain, ablated=bits)).face
        jumps.append(float((got.radiance - face.radiance).diff(dim=-1).abs().amax()))
    assert jumps[0] > 0.2
    assert jumps[1] < 0.15 * jumps[0]


def test_no_donor_is_an_error() -> None:
    with pytest.raises(DataError, match="no donor"):
        SwapBlend().apply(_face("a"), None, _plain())
