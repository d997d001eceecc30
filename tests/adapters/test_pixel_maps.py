"""What is true at each place: relief against planes and a plain fit, shares of area, and moving with the image."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spooflab.adapters import ImageSet
from spooflab.adapters.augmentation import AugmentParams, apply_augment, move_maps
from spooflab.adapters.pixel_maps import CHANNELS, RELIEF_MM, SIDE, area_shares, face_relief, inside_box
from spooflab.errors import DataError
from spooflab.images import encode_depth, encode_mask, encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA
from spooflab.sample import QC_FIGURES, Sample
from spooflab.store import Store

PX = 64
BOX = (16.0, 12.0, 32.0, 40.0)


def rays() -> tuple[np.ndarray, np.ndarray]:
    """Tangents of the pixels of a camera whose window is 28 degrees wide."""
    axis = (np.arange(PX) + 0.5 - PX / 2) / (2 * PX)
    return np.meshgrid(axis, axis)


def plane(normal: tuple[float, float, float], distance_mm: float) -> np.ndarray:
    x, y = rays()
    return distance_mm / (normal[0] * x + normal[1] * y + normal[2])


def ball(radius_mm: float = 90.0, distance_mm: float = 500.0) -> np.ndarray:
    """Depth of a ball in front of the camera; 0 beside it."""
    x, y = rays()
    a = x**2 + y**2 + 1
    inside = distance_mm**2 - a * (distance_mm**2 - radius_mm**2)
    return np.where(inside > 0, (distance_mm - np.sqrt(np.maximum(inside, 0))) / a, 0)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.5, 0.0, 1.0), (-0.3, 0.6, 1.0)])
def test_a_plane_is_flat_at_any_tilt(normal: tuple[float, float, float]):
    inside = inside_box(BOX, (PX, PX))
    exact, known = face_relief(torch.from_numpy(plane(normal, 450)), inside)
    assert torch.equal(known, inside)
    assert float(exact.abs().max()) < 1e-9
    stored, _ = face_relief(torch.from_numpy(plane(normal, 450).round()), inside)
    assert float(stored.abs().max()) < 0.75 / RELIEF_MM  # half a millimetre, and what the fit makes of it


def test_a_face_stands_out_of_its_plane():
    """The relief of a ball, against NumPy's least squares on inverse depths."""
    depth, inside = ball(), inside_box(BOX, (PX, PX)).numpy()
    known = inside & (depth > 0)
    rows, columns = np.nonzero(known)
    design = np.stack([np.ones(len(rows)), columns, rows], 1)
    fit, *_ = np.linalg.lstsq(design, 1 / depth[known], rcond=None)
    wanted = np.clip((1 / (design @ fit) - depth[known]) / RELIEF_MM, -1, 1)
    relief, seen = face_relief(torch.from_numpy(depth), torch.from_numpy(inside))
    np.testing.assert_array_equal(seen.numpy(), known)
    np.testing.assert_allclose(relief.numpy()[known], wanted, atol=1e-9)
    assert not relief.numpy()[~known].any()
    middle = relief[PX // 2, PX // 2].item() * RELIEF_MM
    assert 10 < middle < 30  # the ball's top, in millimetres before the plane through its front


def test_a_wall_behind_does_not_tilt_the_face():
    depth = torch.from_numpy(plane((0.2, 0.1, 1.0), 450))
    behind = torch.zeros(PX, PX, dtype=torch.bool)
    behind[12:20, 16:48] = True
    relief, _ = face_relief(torch.where(behind, 2500.0, depth), inside_box(BOX, (PX, PX)))
    assert float(relief[~behind].abs().max()) < 1e-9
    assert bool((relief[behind] == -1).all())


def test_few_or_no_depths_are_no_error():
    depth = torch.zeros(PX, PX, dtype=torch.float64)
    assert not face_relief(depth, inside_box(BOX, (PX, PX)))[1].any()
    depth[30, 30] = 500
    relief, known = face_relief(depth, inside_box(BOX, (PX, PX)))
    assert int(known.sum()) == 1
    assert float(relief.abs().max()) < 1e-9
    assert not inside_box((), (PX, PX)).any()


def stored(key: str, species: str, **pictures: bytes | None) -> Sample:
    return Sample.create(
        key=key, species=species, image=encode_png(np.full((PX, PX, 3), 90, np.uint8)), params={},
        qc=dict.fromkeys(QC_FIGURES, 1.0), landmarks=[], box=BOX, seed=0, device_id="d/u0", device_profile="d",
        subject_id="p", subject_group="g", source_id="s", face_source="procedural",
        instrument_id="" if species == "bonafide" else "i", digital_source_type=ALGORITHMIC_MEDIA,
        licence="Apache-2.0", code_version="test", **pictures,
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    half = np.zeros((PX, PX), np.uint8)
    half[:, : PX // 2] = 255
    face, flat = encode_depth(ball().round().astype(np.uint16)), plane((0.3, 0.0, 1.0), 400).round().astype(np.uint16)
    store = Store.create(tmp_path_factory.mktemp("store") / "data", {"n": 3}, shards=1)
    lease = store.claim(0)
    assert lease is not None
    store.commit(lease, [
        stored("a", "bonafide", depth=face),
        stored("b", "print_a4", mask=encode_mask(half), depth=encode_depth(flat)),
        stored("c", "replay_phone"),
    ])  # fmt: skip
    return store.root


def test_a_store_gives_the_maps_that_were_asked_for(root: Path):
    assert ImageSet.load(root, None, 32).maps is None
    images = ImageSet.load(root, ["c", "a", "b"], 32, maps=True)
    assert images.maps is not None
    assert images.maps.shape == (3, len(CHANNELS), SIDE, SIDE)
    bare, live, printed = (dict(zip(CHANNELS, row.double(), strict=True)) for row in images.maps)
    assert bool((live["mask_known"] == 1).all())  # nothing covers a bona fide, mask or no mask
    assert not live["covered"].any()
    assert bool((printed["covered"][:, :16] == 1).all())
    assert not printed["covered"][:, 16:].any()
    assert not bare["mask_known"].any()
    assert not bare["relief_known"].any()
    box = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    box[6:26, 8:24] = 1
    for maps in (bare, live, printed):
        torch.testing.assert_close(maps["face"], box)
    torch.testing.assert_close(printed["relief_known"], box)
    assert float(printed["relief"].abs().max()) < 0.02
    relief, known = face_relief(torch.from_numpy(ball().round()), inside_box(BOX, (PX, PX)))
    torch.testing.assert_close(live["relief_known"], area_shares(known).double())
    torch.testing.assert_close(live["relief"], relief.view(SIDE, 2, SIDE, 2).mean((1, 3)), atol=1e-3, rtol=0)
    assert torch.equal(images.subset([2]).maps[0], images.maps[2])
    with pytest.raises(DataError, match=r"maps: \(3, 5, 32, 32\)"):
        ImageSet(images.images[:2], images.labels[:2], images.domains[:2], ["a", "b"], ["x", "x"], images.maps)


def test_maps_move_with_the_image():
    """A smooth pattern is shrunk and moved, or moved as an image and shrunk."""
    gen = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 4, 4, generator=gen)
    fine = torch.nn.functional.interpolate(coarse, size=(PX, PX), mode="bicubic").clamp(0, 1).mul(255).round().byte()
    params = AugmentParams(
        torch.tensor([False, True, False, True]), torch.tensor([[4, -6], [0, 0], [-3, 5], [1, 3]]), torch.ones(4, 3)
    )
    moved = area_shares(apply_augment(fine, params)).double()
    maps = move_maps(area_shares(fine.double() / 255), params, PX).double()
    inner = slice(4, -4)
    # Whole places (two pixels each) move to the rounding of float16; half ones are mixed, as smooth as the pattern is.
    torch.testing.assert_close(maps[:2, :, inner, inner], moved[:2, :, inner, inner], atol=1e-3, rtol=0)
    torch.testing.assert_close(maps[2:, :, inner, inner], moved[2:, :, inner, inner], atol=0.02, rtol=0)
    # The mirror image that enters is mirrored about a pixel's middle there, and about its edge here.
    torch.testing.assert_close(maps, moved, atol=0.06, rtol=0)
    still = AugmentParams(torch.zeros(4, dtype=torch.bool), torch.zeros(4, 2, dtype=torch.int64), torch.ones(4, 3))
    assert not torch.allclose(maps, move_maps(area_shares(fine.double() / 255), still, PX).double(), atol=0.1)
