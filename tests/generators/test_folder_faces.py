"""Photographs in a folder: framing, landmarks, light, and everything that is refused."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment.tone import srgb_encode, tone_curve
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.face import PARSING, FaceRef
from spooflab.generators.faces.folder import FolderFaces, read_confined
from spooflab.generators.faces.landmarks import (
    FIVE,
    MEAN_HEAD,
    box_of,
    five_of,
    pose_mean_head,
    read_landmarks,
    similarity,
)
from spooflab.generators.faces.photo import PhotoSettings, crop_light, exposure_gain, to_radiance

ASTRONAUT = {
    "right_eye": (201.2, 105.0),
    "left_eye": (245.2, 104.9),
    "nose": (220.5, 127.2),
    "mouth_right": (203.7, 145.2),
    "mouth_left": (242.3, 145.1),
}
BOX = (178.8, 63.1, 91.0, 111.1)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.asarray(data.astronaut())


def _sidecar(path: Path, names: list[str]) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *[f"{n}_{a}" for n in FIVE for a in "xy"], "box_x", "box_y", "box_w", "box_h"])
        for name in names:
            rows.writerow([name, *[v for n in FIVE for v in ASTRONAUT[n]], *BOX])
    return path


@pytest.fixture
def folder(tmp_path: Path, portrait: np.ndarray) -> Path:
    root = tmp_path / "photos"
    for name in ("b/one.png", "a/two.png", "top.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(portrait).save(root / name, compress_level=0)
    _sidecar(tmp_path / "landmarks.csv", ["b/one.png", "a/two.png"])
    (root / "notes.txt").write_text("no photograph")
    return root


def _faces(folder: Path, **options: object) -> FolderFaces:
    return FolderFaces(folder, **{"landmarks": folder.parent / "landmarks.csv", "licence": "CC0", **options})  # type: ignore[arg-type]  # tests pass many kinds


def _reason(source: FolderFaces, ref: FaceRef) -> str:
    with pytest.raises(SkipSample) as caught:
        source.load(ref)
    return caught.value.reason


def test_portrait_is_framed_with_its_landmarks(folder: Path) -> None:
    source = _faces(folder)
    refs = source.refs()
    assert [(r.subject_id, r.source_id) for r in refs] == [
        ("a", "a/two.png"), ("b", "b/one.png"), ("top.png", "top.png")]  # fmt: skip
    face = source.load(refs[0])
    assert face.radiance.shape == (1, 3, 384, 384)
    assert face.radiance.dtype == torch.float32
    assert not face.synthetic
    assert float(face.box[0, 2]) == pytest.approx(0.58 * 384, abs=0.01)
    assert float(face.box[0, 0] + face.box[0, 2] / 2) == pytest.approx(192, abs=0.01)
    # the five points land where the frame's similarity puts them: exactly with the mean head, nearly with the network
    scale = 0.58 * 384 / BOX[2]
    left, top = BOX[0] + BOX[2] / 2 - 192 / scale, BOX[1] + BOX[3] / 2 - 192 / scale
    wanted = (np.array([ASTRONAUT[n] for n in FIVE]) - (left, top)) * scale
    eyes = np.hypot(*(wanted[1] - wanted[0]))
    assert np.linalg.norm(face.landmarks5[0].numpy() - wanted, axis=1).max() < 0.2 * eyes
    exact = _faces(folder, dense="mean_head", geometry="none").load(refs[0])
    np.testing.assert_allclose(exact.landmarks5[0].numpy(), wanted, atol=0.05)
    assert torch.equal(exact.radiance, face.radiance)
    assert exact.depth_mm is None
    assert exact.parsing is None


def test_geometry_of_a_photograph_is_read(folder: Path) -> None:
    face = _faces(folder).load(_faces(folder).refs()[0])
    assert face.parsing is not None
    assert face.depth_mm is not None
    assert face.normals is not None
    assert face.parsing.shape == face.depth_mm.shape == (1, 1, 384, 384)
    assert face.parsing.dtype == torch.uint8
    assert face.depth_mm.dtype == face.normals.dtype == torch.float32
    background = face.parsing == PARSING.index("background")
    assert torch.equal(face.depth_mm.isinf(), background)
    torch.testing.assert_close(face.normals.norm(dim=1), torch.ones(1, 384, 384), atol=1e-4, rtol=0)
    x, y = (int(v) for v in face.landmarks[0, 30])
    assert int(face.parsing[0, 0, y, x]) == PARSING.index("nose")
    assert bool((face.parsing[0, 0, :20, :20] == PARSING.index("background")).all())  # a grey studio wall
    nose, cheek = face.depth_mm[0, 0, y, x], face.depth_mm[0, 0, y, int(face.landmarks[0, 1, 0]) + 12]
    assert 20 < float(cheek - nose) < 110
    assert abs(float(nose) - 500) < 60


def test_crop_shows_the_same_pixels_as_the_photograph(folder: Path, portrait: np.ndarray) -> None:
    """An independent bilinear look-up at the nose and eyes agrees with the resampled radiance up to its gain."""
    source = _faces(folder)
    face = source.load(source.refs()[0])
    light = to_radiance(portrait, 0.5)
    gain = float(exposure_gain(crop_light(light, 131.9, 26.2, BOX[2] / 0.58, PhotoSettings()))[0])
    scale = BOX[2] / (0.58 * 384)
    left, top = BOX[0] + BOX[2] / 2 - 192 * scale, BOX[1] + BOX[3] / 2 - 192 * scale
    for x, y in ((192, 230), (130, 190), (260, 190), (40, 350)):
        px, py = left + (x + 0.5) * scale - 0.5, top + (y + 0.5) * scale - 0.5
        x0, y0 = int(px), int(py)
        a, b = px - x0, py - y0
        patch = light[y0 : y0 + 2, x0 : x0 + 2]
        wanted = (
            (1 - b) * ((1 - a) * patch[0, 0] + a * patch[0, 1]) + b * ((1 - a) * patch[1, 0] + a * patch[1, 1])
        ) * gain
        np.testing.assert_allclose(face.radiance[0, :, y, x].numpy(), wanted, atol=0.03)


def test_unprocessing_is_undone_by_the_device_curve() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    for tone in (0.0, 0.5, 1.0):
        light = torch.from_numpy(to_radiance(pixels, tone)).permute(2, 0, 1)[None]
        again = tone_curve(srgb_encode(light), tone=torch.tensor([tone]), gamma=torch.ones(1))
        codes = (again[0].permute(1, 2, 0) * 255).round().numpy()
        assert np.abs(codes - pixels).max() <= 1


def test_full_tone_matches_the_published_inverse() -> None:
    y = np.linspace(0, 1, 256)
    smooth = 0.5 - np.sin(np.arcsin(1 - 2 * y) / 3)
    linear = np.where(smooth <= 0.04045, smooth / 12.92, ((smooth + 0.055) / 1.055) ** 2.4)
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    np.testing.assert_allclose(to_radiance(pixels, 1.0)[..., 0].ravel(), linear, atol=2e-5)


def test_exposure_gain_is_held_in_limits() -> None:
    assert float(exposure_gain(torch.full((1, 3, 64, 64), 0.02))[0]) == pytest.approx(1.6)
    assert float(exposure_gain(torch.full((1, 3, 64, 64), 1.0))[0]) == pytest.approx(0.85)
    assert float(exposure_gain(torch.full((1, 3, 64, 64), 3.0))[0]) == pytest.approx(0.8)


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0.0, 1.0], dtype=np.float32), 1000)[None, :, None].repeat(2000, 0).repeat(3, 2)
    out = crop_light(stripes, 100, 100, 1700, PhotoSettings(size=256))
    assert float((out - 0.5).abs().max()) < 0.02


@pytest.mark.parametrize(("edges", "mode"), [("reflect", "reflect"), ("replicate", "edge")])
def test_frame_over_the_edge_is_filled_as_said(edges: str, mode: str) -> None:
    rng = np.random.default_rng(0)
    light = rng.random((40, 50, 3)).astype(np.float32)
    out = crop_light(light, -20.0, -10.0, 64.0, PhotoSettings(size=64, edges=edges))  # type: ignore[arg-type]  # parametrised
    padded = np.pad(light, ((10, 14), (20, 0), (0, 0)), mode=mode)[:, :64]  # type: ignore[call-overload]  # parametrised
    np.testing.assert_allclose(out[0].permute(1, 2, 0).numpy(), padded, atol=1e-5)


def test_settings_rebuild_the_source_and_the_record_suffices(folder: Path) -> None:
    source = _faces(folder, size=96, edges="replicate")
    ref = source.refs()[1]
    settings = json.loads(json.dumps(source.settings()))
    (folder.parent / "landmarks.csv").unlink()  # the record holds the points
    assert settings.pop("kind") == "folder"
    again = FolderFaces(**settings)
    rebuilt = FaceRef(ref.subject_id, ref.source_id, ref.licence, json.loads(json.dumps(ref.record)))
    a, b = source.load(ref), again.load(rebuilt)
    assert torch.equal(a.radiance, b.radiance)
    assert torch.equal(a.landmarks, b.landmarks)
    assert again.settings() == source.settings()


def test_subjects_by_file_and_by_csv(folder: Path) -> None:
    assert [r.subject_id for r in _faces(folder, subjects="file").refs()] == ["a/two.png", "b/one.png", "top.png"]
    names = folder.parent / "who.csv"
    names.write_text("file,subject\na/two.png,ann\nb/one.png,ann\ntop.png,bob\n")
    assert [r.subject_id for r in _faces(folder, subjects=str(names)).refs()] == ["ann", "ann", "bob"]
    names.write_text("file,subject\na/two.png,ann\n")
    with pytest.raises(DataError, match=r"no row for b/one\.png"):
        _faces(folder, subjects=str(names)).refs()
    names.write_text("file,who\na/two.png,ann\n")
    with pytest.raises(DataError, match="columns"):
        _faces(folder, subjects=str(names)).refs()


def test_missing_landmarks_are_a_reason(folder: Path) -> None:
    source = _faces(folder)
    assert _reason(source, source.refs()[2]) == "no_landmarks"


def test_changed_file_is_refused(folder: Path) -> None:
    source = _faces(folder)
    ref = source.refs()[0]
    file = folder / "a/two.png"
    file.write_bytes(file.read_bytes() + b"\0")
    assert _reason(source, ref) == "file_changed"
    file.unlink()
    assert _reason(source, ref) == "unreadable"


def test_damaged_photograph_is_a_reason(folder: Path) -> None:
    (folder / "a/two.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    (folder / "b/one.png").write_bytes(b"")
    source = _faces(folder)
    for ref in source.refs()[:2]:
        assert _reason(source, ref) in ("undecodable", "truncated", "zero_byte", "unsupported_format")


def test_small_face_and_cut_face_are_reasons(folder: Path, portrait: np.ndarray) -> None:
    small = Image.fromarray(portrait).resize((256, 256))
    small.save(folder / "a/two.png")
    points = [[v / 2 for v in ASTRONAUT[n]] for n in FIVE]
    cut = [[x - 230, y] for x, y in ASTRONAUT.values()]
    (folder.parent / "l.json").write_text(json.dumps({
        "a/two.png": {"points": points},
        "b/one.png": {"points": cut, "box": [BOX[0] - 230, *BOX[1:]]},
    }))  # fmt: skip
    source = _faces(folder, landmarks=folder.parent / "l.json")
    assert _reason(source, source.refs()[0]) == "face_too_small"
    assert _reason(source, source.refs()[1]) == "face_out_of_frame"
    assert _faces(folder, landmarks=folder.parent / "l.json", min_eyes_px=20).load(source.refs()[0]).batch_size == 1


def test_paths_cannot_leave_the_root(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64)).save(secret)
    os.symlink(secret, folder / "z_link.png")
    os.symlink(tmp_path, folder / "z_folder")
    source = _faces(folder)
    refs = source.refs()
    assert [r.source_id for r in refs] == ["a/two.png", "b/one.png", "top.png", "z_link.png"]
    assert refs[-1].record["sha256"] == ""
    assert _reason(source, refs[-1]) == "path_escape"
    for path in ("../secret.png", str(secret), "a/../../secret.png", "z_folder/secret.png"):
        with pytest.raises(SkipSample) as caught:
            read_confined(folder, path)
        assert caught.value.reason == "path_escape"


def test_link_inside_the_root_is_read(folder: Path) -> None:
    os.symlink(folder / "a/two.png", folder / "b/link.png")
    assert read_confined(folder, "b/link.png") == (folder / "a/two.png").read_bytes()


@pytest.mark.slow
def test_without_a_sidecar_the_network_finds_the_face(tmp_path: Path, portrait: np.ndarray) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    Image.fromarray(portrait).save(root / "a.png", compress_level=0)
    Image.fromarray(portrait).convert("L").save(root / "grey.png", compress_level=0)
    Image.fromarray(portrait[300:]).save(root / "suit.png", compress_level=0)
    Image.fromarray(portrait).resize((200, 200)).save(root / "tiny.png", compress_level=0)
    source = FolderFaces(root, licence="CC0")
    assert source.settings()["detector"] == "network"
    colour, grey, suit, tiny = source.refs()
    truth = np.array([ASTRONAUT[n] for n in FIVE])
    for ref in (colour, grey):
        face = source.load(ref)
        five = face.landmarks5[0].double().numpy()
        matrix, shift = similarity(five, truth)  # the frame is the source's own: compare up to it
        assert np.linalg.norm(five @ matrix.T + shift - truth, axis=1).max() < 0.15 * 44
        assert float(face.box[0, 2]) == pytest.approx(0.58 * 384, abs=0.01)
    assert _reason(source, suit) == "no_face"
    assert _reason(source, tiny) == "face_too_small"


def test_found_face_is_made_again_from_its_record_by_the_same_weights_only(folder: Path) -> None:
    source = FolderFaces(folder, licence="CC0", size=96)
    ref = source.refs()[0]
    settings = json.loads(json.dumps(source.settings()))
    settings.pop("kind")
    a, b = source.load(ref), FolderFaces(**settings).load(ref)
    assert torch.equal(a.radiance, b.radiance)
    assert torch.equal(a.landmarks, b.landmarks)
    assert a.depth_mm is not None
    assert b.depth_mm is not None
    assert torch.equal(a.depth_mm, b.depth_mm)
    settings["sha256"] = {"weights_sha256": "0" * 64}
    with pytest.raises(ConfigError, match="SHA-256"):
        FolderFaces(**settings)


def test_named_detector_finds_what_the_sidecar_lacks(folder: Path) -> None:
    source = _faces(folder, detector="network")
    face = source.load(source.refs()[2])
    assert face.batch_size == 1
    with pytest.raises(ConfigError, match="'sidecar' without one"):
        FolderFaces(folder, detector="sidecar")


def test_tight_crop_gets_the_mean_head(tmp_path: Path, portrait: np.ndarray) -> None:
    x, y, w, h = (int(v) for v in BOX)
    tight = Image.fromarray(portrait[y : y + h, x : x + w]).resize((200, 240))
    tight.save(tmp_path / "face.jpg", quality=95)
    source = FolderFaces(tmp_path, licence="CC0", size=128, detector="template")
    face = source.load(source.refs()[0])
    assert face.radiance.shape == (1, 3, 128, 128)
    eyes = face.landmarks5[0, :2] / 128
    assert 0.25 < float(eyes[0, 0]) < 0.4 < 0.6 < float(eyes[1, 0]) < 0.75
    assert 0.3 < float(eyes[0, 1]) < 0.5
    assert float(face.landmarks.min()) > -1
    assert float(face.landmarks.max()) < 129


def test_exif_rotation_and_landmarks_agree(folder: Path, portrait: np.ndarray) -> None:
    """A photograph stored on its side with an orientation tag loads like the upright one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.rot90(portrait, 1).copy())
    buffer = io.BytesIO()
    turned.save(buffer, "PNG", exif=exif, compress_level=0)
    (folder / "b/one.png").write_bytes(buffer.getvalue())
    source = _faces(folder)
    upright, side = source.load(source.refs()[0]), source.load(source.refs()[1])
    torch.testing.assert_close(upright.radiance, side.radiance)


def test_bad_options_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        FolderFaces(tmp_path / "absent")
    with pytest.raises(ConfigError, match="tone"):
        FolderFaces(tmp_path, tone=2)
    with pytest.raises(ConfigError, match="edges"):
        FolderFaces(tmp_path, edges="wrap")  # type: ignore[arg-type]  # a wrong value on purpose
    with pytest.raises(DataError, match="no photograph"):
        FolderFaces(tmp_path).refs()


@pytest.mark.parametrize(("text", "message"), [
    ("file,x,y\n", "columns"),
    ("file," + ",".join(f"{n}_{a}" for n in FIVE for a in "xy") + "\np.png,1,2\n", "columns"),
    ("file," + ",".join(f"{n}_{a}" for n in FIVE for a in "xy") + "\np.png" + ",nan" * 10 + "\n", "finite"),
    ("file," + ",".join(f"{n}_{a}" for n in FIVE for a in "xy") + "\np.png" + ",abc" * 10 + "\n", "could not convert"),
    ("file," + ",".join(f"{n}_{a}" for n in FIVE for a in "xy") + ("\np.png" + ",1" * 10) * 2 + "\n", "twice"),
])  # fmt: skip
def test_bad_csv_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_landmarks(tmp_path / "l.csv")


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "{",
        '{"a": [1, 2]}',
        '{"a": {"points": [[1, 2]]}}',
        '{"a": {"points": "x"}}',
        '{"a": {"points": [[1,2],[3,4],[5,6],[7,8],[9,1]], "box": [0, 0, -1, 4]}}',
    ],
)
def test_bad_json_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(DataError):
        read_landmarks(tmp_path / "l.json")


def test_csv_with_68_points_is_kept(tmp_path: Path) -> None:
    points = MEAN_HEAD[:, :2] * 50 + 100
    header = ",".join(f"{a}{i}" for i in range(68) for a in "xy")
    (tmp_path / "l.csv").write_text(f"file,{header}\np.png,{','.join(map(str, points.ravel()))}\n")
    found = read_landmarks(tmp_path / "l.csv")["p.png"]
    np.testing.assert_allclose(found.dense(), points)
    assert found.box is None


def test_mean_head_is_symmetric_and_measured_in_eye_distances() -> None:
    mirror = [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        54,
        53,
        52,
        51,
        50,
        49,
        48,
        59,
        58,
        57,
        56,
        55,
        64,
        63,
        62,
        61,
        60,
        67,
        66,
        65,
    ]
    np.testing.assert_allclose(MEAN_HEAD, MEAN_HEAD[mirror] * (-1, 1, 1))
    five = five_of(MEAN_HEAD)
    assert float(five[1, 0] - five[0, 0]) == pytest.approx(1, abs=0.01)
    left, top, width, height = box_of(MEAN_HEAD[:, :2])
    assert 1.1 < height / width < 1.4
    assert left == pytest.approx(-width / 2)
    assert top < -0.8


def test_similarity_recovers_a_known_one() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(7, 2))
    turn = 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    matrix, shift = similarity(points, points @ turn.T + (3, -4))
    np.testing.assert_allclose(matrix, turn, atol=1e-12)
    np.testing.assert_allclose(shift, (3, -4), atol=1e-12)


@pytest.mark.parametrize("yaw", [-30, 0, 25])
@pytest.mark.parametrize("roll", [-20, 0, 15])
def test_five_points_pose_the_mean_head(yaw: float, roll: float) -> None:
    """A turned mean head, told by five points, comes back whole: jaw within 4 % of its width."""
    cy, sy, cr, sr = (
        np.cos(np.radians(yaw)),
        np.sin(np.radians(yaw)),
        np.cos(np.radians(roll)),
        np.sin(np.radians(roll)),
    )
    turned = MEAN_HEAD @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]).T
    flat = turned[:, :2] @ np.array([[cr, -sr], [sr, cr]]).T * 60 + (200, 150)
    found = pose_mean_head(five_of(flat))
    np.testing.assert_allclose(five_of(found), five_of(flat), atol=1e-3)
    assert np.linalg.norm(found - flat, axis=1).max() < 0.04 * 2.06 * 60
