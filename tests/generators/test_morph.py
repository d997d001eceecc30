"""The morph: its triangles and maps against other libraries, then the whole."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.attacks.digital.morph import KINDS, WARPS, Morph, MorphParams
from spooflab.generators.attacks.digital.morph_retouch import blur, soften
from spooflab.generators.attacks.digital.morph_warp import controls, delaunay, piecewise_maps, plate_maps
from spooflab.generators.attacks.digital.swap_mask import hull, soft_mask
from spooflab.generators.face import Face
from spooflab.generators.faces.landmarks import MEAN_HEAD, box_of
from spooflab.seeds import generator

SIZE = 128


def _face(name: str, *, size: int = SIZE, level: float = 0.4) -> Face:
    """Return smooth random colours under a head whose landmarks vary with the name."""
    gen = generator(11, name)
    wobble = torch.randn(68, 2, generator=gen) * 0.008 * size
    points = torch.tensor(MEAN_HEAD[:, :2] * size * 0.22 + (size / 2, size * 0.42), dtype=torch.float32) + wobble
    points = points + torch.rand(2, generator=gen) * 0.04 * size
    noise = F.interpolate(torch.randn(1, 3, 10, 10, generator=gen), size=(size, size), mode="bicubic")
    yy = torch.linspace(0, 1, size)[:, None].expand(size, size)
    return Face(
        radiance=(level * (1 + 0.3 * noise)).clamp(0.02, 0.98),
        landmarks=points[None],
        box=torch.tensor([box_of(points.double().numpy())]),
        subject_id=(name,),
        source_id=(f"{name}/0",),
        depth_mm=(400 + 50 * yy)[None, None],
        normals=torch.tensor([0.0, 0.0, -1.0])[None, :, None, None].expand(1, 3, size, size).clone(),
        parsing=(yy > 0.5).to(torch.uint8)[None, None] * 3,
    )


def _params(**fields: Any) -> MorphParams:
    plain = {
        "kind": torch.tensor([0]), "warp": torch.tensor([0]), "retouch": torch.zeros(1), "colour": torch.zeros(1),
        "poisson": torch.tensor([False]), "alpha_shape": torch.tensor([0.5]), "alpha_texture": torch.tensor([0.5]),
    }  # fmt: skip
    return dataclasses.replace(Morph().sample(1, generator(3, "m")), **{**plain, **fields})


def _controls(name: str) -> Tensor:
    return controls(_face(name).landmarks, SIZE, SIZE)[0]


def test_draws_are_in_range_and_reach_every_kind() -> None:
    params = Morph().sample(600, generator(1, "d"))
    assert 0.3 <= float(params.alpha_shape.min()) <= float(params.alpha_shape.max()) <= 0.7
    assert float((params.alpha_shape == params.alpha_texture).float().mean()) == pytest.approx(0.5, abs=0.07)
    assert set(params.kind.tolist()) == set(range(len(KINDS)))
    assert float((params.warp == WARPS.index("triangles")).float().mean()) == pytest.approx(2 / 3, abs=0.07)
    with pytest.raises(ValueError, match="splicing_share"):
        Morph(splicing_share=-1)
    with pytest.raises(ConfigError, match="no effect"):
        Morph(ablate=["gloss"])


def test_triangles_equal_scipys() -> None:
    spatial = pytest.importorskip("scipy.spatial")
    for name in ("a", "b", "c"):
        points = _controls(name).double().numpy()
        wanted = {tuple(sorted(t)) for t in spatial.Delaunay(points).simplices.tolist()}
        assert {tuple(sorted(t)) for t in delaunay(points).tolist()} == wanted


def test_triangles_tile_the_rectangle_and_skip_twins() -> None:
    points = np.concatenate([_controls("a").double().numpy(), _controls("a")[:3].double().numpy()])
    triangles = delaunay(points)
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert area.min() > 0
    assert area.sum() == pytest.approx(SIZE * SIZE)
    with pytest.raises(ValueError, match="corners"):
        delaunay(np.random.default_rng(1).random((9, 2)))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_piecewise_map_equals_skimages() -> None:
    transform = pytest.importorskip("skimage.transform")
    at, to = _controls("a"), _controls("b")
    reference = transform.PiecewiseAffineTransform()
    reference.estimate(at.double().numpy(), to.double().numpy())
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    wanted = reference(np.stack([x.ravel(), y.ravel()], 1)).reshape(SIZE, SIZE, 2)
    found = piecewise_maps(at, [to], SIZE, SIZE)[0][0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_plate_map_meets_every_control() -> None:
    at, to = _controls("a"), _controls("b")
    found = plate_maps(at, [to], SIZE, SIZE)[0]
    seen = F.grid_sample(found.permute(0, 3, 1, 2), (at[:60] / SIZE * 2 - 1)[None, None], align_corners=False)[
        0, :, 0
    ].T
    assert float((seen - to[:60]).norm(dim=-1).max()) < 0.5


@pytest.mark.parametrize("warp", range(len(WARPS)))
def test_the_ends_are_target_and_donor(warp: int) -> None:
    face, donor = _face("a"), _face("b")
    for alpha, wanted in ((0.0, face), (1.0, donor)):
        params = _params(
            warp=torch.tensor([warp]), alpha_shape=torch.tensor([alpha]), alpha_texture=torch.tensor([alpha])
        )
        got = Morph().apply(face, donor, params).face
        torch.testing.assert_close(got.landmarks, wanted.landmarks)
        torch.testing.assert_close(got.box, wanted.box)
        assert got.depth_mm is not None
        assert wanted.depth_mm is not None
        torch.testing.assert_close(got.radiance[..., 2:-2, 2:-2], wanted.radiance[..., 2:-2, 2:-2], atol=4e-3, rtol=0)
        torch.testing.assert_close(got.depth_mm, wanted.depth_mm, atol=1e-3, rtol=0)
        assert got.parsing is not None
        assert wanted.parsing is not None
        assert float((got.parsing != wanted.parsing).float().mean()) < 0.02


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_landmarks_lie_at_the_blend_and_are_facts(kind: int) -> None:
    face, donor = _face("a"), _face("b")
    got = Morph().apply(face, donor, _params(kind=torch.tensor([kind]), alpha_shape=torch.tensor([0.3])))
    torch.testing.assert_close(got.face.landmarks, 0.7 * face.landmarks + 0.3 * donor.landmarks)
    assert float(got.facts["alpha_shape"][0]) == pytest.approx(0.3)
    assert float(got.facts["alpha_texture"][0]) == pytest.approx(0.5)
    assert got.instrument_id == ()


@pytest.mark.parametrize("warp", range(len(WARPS)))
def test_exchanging_the_faces_and_both_weights_changes_nothing(warp: int) -> None:
    face, donor = _face("a"), _face("b")
    fields = {"warp": torch.tensor([warp]), "alpha_shape": torch.tensor([0.4]), "alpha_texture": torch.tensor([0.65])}
    one = Morph().apply(face, donor, _params(**fields)).face
    fields |= {"alpha_shape": torch.tensor([0.6]), "alpha_texture": torch.tensor([0.35])}
    two = Morph().apply(donor, face, _params(**fields)).face
    torch.testing.assert_close(one.radiance, two.radiance, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.landmarks, two.landmarks)
    assert one.normals is not None
    assert two.normals is not None
    torch.testing.assert_close(one.normals, two.normals)


def test_landmark_pixels_are_the_mean_of_both_faces_pixels() -> None:
    """At a landmark both maps are known, so the morph there is the mean of two code values."""
    from spooflab.augment.tone import srgb_encode

    face, donor = _face("a"), _face("b")
    got = Morph().apply(face, donor, _params()).face
    where = [0, 8, 16, 27, 30, 36, 45, 48, 54]

    def at(picture: Tensor, points: Tensor) -> Tensor:
        return F.grid_sample(picture, (points / SIZE * 2 - 1)[:, None], align_corners=False)[0, :, 0]

    wanted = (at(srgb_encode(face.radiance), face.landmarks[:, where])
              + at(srgb_encode(donor.radiance), donor.landmarks[:, where])) / 2  # fmt: skip
    found = at(srgb_encode(got.radiance), got.landmarks[:, where])
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)


def test_a_splice_keeps_the_picture_away_from_the_face() -> None:
    face, donor = _face("a"), _face("b")
    got = Morph().apply(face, donor, _params(kind=torch.tensor([1]))).face
    assert got.spoof_mask is not None
    outside = (got.spoof_mask == 0).expand_as(face.radiance)
    assert 0.1 < float(outside.float().mean()) < 0.8
    assert torch.equal(got.radiance[outside], face.radiance[outside])
    whole = Morph().apply(face, donor, _params()).face.spoof_mask
    assert whole is not None
    assert float(whole.min()) == 1


def test_ghosting_off_leaves_the_donor_out_beyond_the_inner_face() -> None:
    face, donor = _face("a"), _face("b")
    other = donor.replace(radiance=_face("c").radiance)  # the same landmarks, other pixels
    params = _params()
    on = [Morph().apply(face, d, params).face.radiance for d in (donor, other)]
    off = dataclasses.replace(params, ablated=Morph(ablate=["ghosting"]).sample(1, generator(0, "x")).ablated)
    without = [Morph().apply(face, d, off).face.radiance for d in (donor, other)]
    inner = soft_mask(hull(torch.lerp(face.landmarks, donor.landmarks, 0.5), params.rise), torch.zeros(1),
                      torch.ones(1), torch.zeros(1), params.seed, SIZE, SIZE)  # fmt: skip
    outside = (inner == 0).expand_as(on[0])
    assert float((on[0] - on[1]).abs()[outside].mean()) > 0.02
    assert float((without[0] - without[1]).abs()[outside].max()) == 0
    assert float((without[0] - without[1]).abs()[~outside].mean()) > 0.02


def test_the_other_effects_vanish_when_off() -> None:
    face, donor = _face("a"), _face("b", level=0.25)
    splice = {"kind": torch.tensor([1]), "feather": torch.tensor([0.005]), "alpha_texture": torch.tensor([0.7])}
    for effect, on, neutral in (
        ("colour_match", {"colour": torch.ones(1)}, {"colour": torch.zeros(1)}),
        ("retouch", {"retouch": torch.tensor([0.8])}, {"retouch": torch.zeros(1)}),
        ("seam", {}, {"poisson": torch.tensor([True])}),
    ):
        bits = Morph(ablate=[effect]).sample(1, generator(0, "x")).ablated
        shown = Morph().apply(face, donor, _params(**{**splice, **on})).face.radiance
        off = Morph().apply(face, donor, _params(**{**splice, **on, "ablated": bits})).face.radiance
        wanted = Morph().apply(face, donor, _params(**{**splice, **neutral})).face.radiance
        assert float((shown - off).abs().max()) > 0.01, effect
        torch.testing.assert_close(off, wanted)


def test_a_seam_is_a_jump_and_the_clone_has_none() -> None:
    face, donor = _face("a", level=0.5), _face("a", level=0.2)
    params = _params(kind=torch.tensor([1]), feather=torch.tensor([0.002]), alpha_texture=torch.ones(1))
    jumps = []
    for bits in (0, 1 << Morph.EFFECTS.index("seam")):
        got = Morph().apply(face, donor, dataclasses.replace(params, ablated=torch.tensor([bits]))).face
        jumps.append(float((got.radiance - face.radiance)[..., :, 1:].diff(dim=-1).abs().amax()))
    assert jumps[0] > 0.1
    assert jumps[1] < 0.2 * jumps[0]


def test_rows_json_and_donors_of_another_size() -> None:
    count = 3
    faces, donors = [_face(f"t{i}") for i in range(count)], [_face(f"d{i}", size=96) for i in range(count)]
    morph = Morph()
    params = morph.sample(count, generator(21, "rows"))
    whole = morph.apply(Face.stack(faces), Face.stack(donors), params).face
    for i in range(count):
        alone = morph.apply(faces[i], donors[i], morph.parse(params.row(i).to_json())).face
        assert torch.equal(whole.radiance[i : i + 1], alone.radiance)
        wanted = torch.lerp(faces[i].landmarks, donors[i].landmarks * SIZE / 96, float(params.alpha_shape[i]))
        torch.testing.assert_close(alone.landmarks, wanted)


def test_bad_input_is_a_reason() -> None:
    face = _face("a")
    with pytest.raises(DataError, match="no donor"):
        Morph().apply(face, None, _params())
    mirrored = face.landmarks * torch.tensor([-1.0, 1.0]) + torch.tensor([float(SIZE), 0.0])
    with pytest.raises(SkipSample) as caught:
        Morph().apply(face, _face("b").replace(landmarks=mirrored), _params(alpha_shape=torch.tensor([0.3])))
    assert caught.value.reason == "morph_folds"


def test_blur_keeps_what_is_flat_and_has_its_width() -> None:
    torch.testing.assert_close(blur(torch.full((1, 3, 30, 41), 0.3), 3.0), torch.full((1, 3, 30, 41), 0.3))
    dot = torch.zeros(1, 1, 81, 81)
    dot[..., 38:44, 38:44] = 1
    for radius in (1.0, 3.0, 6.0):
        spread = blur(dot, radius)[0, 0].sum(0)
        x = torch.arange(81.0)
        middle = (spread * x).sum() / spread.sum()
        variance = float((spread * (x - middle).square()).sum() / spread.sum()) - 35 / 12
        assert 0.5 * radius < variance**0.5 < 1.5 * radius


def test_soften_removes_detail_and_keeps_edges() -> None:
    edge = (torch.arange(60) >= 30).float().expand(1, 1, 60, 60) * 0.6 + 0.2
    fine = 0.02 * (torch.arange(60) % 2 * 2 - 1).float().expand(1, 1, 60, 60)
    smooth = soften(edge + fine, torch.ones(1, 1, 60, 60), radius_px=3.0, threshold=0.08)
    assert float((smooth - edge)[..., :20].abs().mean()) < 0.004
    assert float((smooth[..., 31] - smooth[..., 28]).mean()) > 0.5
