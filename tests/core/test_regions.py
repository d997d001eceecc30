import numpy as np
from skimage.draw import polygon2mask

from spooflab.regions import REGIONS, attacked_share, draw_regions

N = {name: number for number, name in enumerate(REGIONS)}


def face(scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A schematic upright face of 68 points on 100 x 100 pixels."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([50 + 40 * np.cos(angle), 45 + 45 * np.sin(angle)], -1)
    points[17:22] = np.stack([np.linspace(18, 42, 5), np.full(5, 32)], -1)
    points[22:27] = np.stack([np.linspace(58, 82, 5), np.full(5, 32)], -1)
    points[27:31] = [(50, 38), (50, 45), (50, 52), (50, 58)]
    points[31:36] = np.stack([np.linspace(42, 58, 5), np.full(5, 62)], -1)
    for start, x in ((36, 30), (42, 70)):
        points[start : start + 6] = [(x - 8, 42), (x - 3, 39), (x + 3, 39), (x + 8, 42), (x + 3, 45), (x - 3, 45)]
    ring = np.linspace(np.pi, -np.pi, 13)[:-1]
    points[48:60] = np.stack([50 + 15 * np.cos(ring), 74 - 7 * np.sin(ring)], -1)
    ring = np.linspace(np.pi, -np.pi, 9)[:-1]
    points[60:] = np.stack([50 + 10 * np.cos(ring), 74 - 3 * np.sin(ring)], -1)
    return (points * scale + shift).astype(np.float32)


def test_parts_lie_where_the_landmarks_are() -> None:
    regions = draw_regions(face(), 100, 100)
    assert regions.shape == (100, 100)
    for name, (x, y) in {
        "eyes": (30, 42), "nose": (50, 55), "mouth": (50, 74), "lips": (50, 79), "skin": (25, 60), "forehead": (50, 22),
        "brows": (30, 32), "outside": (3, 3),
    }.items():  # fmt: skip
        assert regions[y, x] == N[name], name


def test_areas_agree_with_scikit_image() -> None:
    points = face(scale=4.0)
    regions = draw_regions(points, 400, 400)
    for part, index in (("eyes", (range(36, 42), range(42, 48))), ("mouth", (range(60, 68),))):
        wanted = sum(polygon2mask((400, 400), points[list(i)][:, ::-1] - 0.5).sum() for i in index)
        assert abs((regions == N[part]).sum() - wanted) < 0.06 * wanted, part


def test_a_shifted_face_gives_shifted_regions() -> None:
    still, moved = draw_regions(face(), 160, 160), draw_regions(face(shift=(20.0, 10.0)), 160, 160)
    assert np.array_equal(np.roll(still, (10, 20), (0, 1)), moved)


def test_shares_of_a_half_covered_face() -> None:
    regions = draw_regions(face(), 100, 100)
    mask = np.zeros((100, 100), np.uint8)
    mask[60:] = 255
    shares = attacked_share(regions, mask)
    assert shares["eyes"] == 0
    assert shares["mouth"] == 1
    assert 0.05 < shares["skin"] < 0.95
    assert "outside" not in shares


def test_a_face_outside_the_picture_has_no_regions() -> None:
    regions = draw_regions(face(shift=(1000.0, 0.0)), 64, 64)
    assert not regions.any()
    assert set(attacked_share(regions, np.full((64, 64), 255, np.uint8)).values()) == {0.0}
