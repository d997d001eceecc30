"""The shipped network on rendered people that are new to it, on a photograph, and on pictures without a face."""

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment.tone import srgb_encode
from spooflab.errors import SkipSample
from spooflab.generators.face import PARSING, Face
from spooflab.generators.face_net.find import find_face, look, to_codes
from spooflab.generators.face_net.frame import Frame, frame_of
from spooflab.generators.face_net.geometry import with_geometry
from spooflab.generators.face_net.predict import MIRROR, FaceNet
from spooflab.generators.faces.landmarks import five_of, pose_mean_head
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.render import render

pytestmark = pytest.mark.slow  # together half a minute

FIVE = np.array([[201.2, 105.0], [245.2, 104.9], [220.5, 127.2], [203.7, 145.2], [242.3, 145.1]])
"""Eyes, nose and mouth corners of the portrait, told by another detector."""
EYES = 44.0


@pytest.fixture(scope="module")
def net() -> FaceNet:
    return FaceNet.load()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.asarray(pytest.importorskip("skimage.data").astronaut())


@pytest.fixture(scope="module")
def people() -> Face:
    source = ProceduralFaces(n_subjects=6, sessions=1, size=256, seed=4711)
    return Face.stack([source.load(ref) for ref in source.refs()])


def _reason(net: FaceNet, pixels: np.ndarray, **options: float) -> str:
    with pytest.raises(SkipSample) as caught:
        find_face(net, pixels, **options)
    return caught.value.reason


def _off(points: torch.Tensor, truth: np.ndarray = FIVE) -> float:
    """Mean distance of the five points, in distances between the eyes."""
    five = five_of(points.double().numpy())
    return float(np.linalg.norm(five - truth, axis=1).mean() / np.hypot(*(truth[1] - truth[0])))


def test_landmarks_beat_the_mean_head_on_new_people(net: FaceNet, people: Face) -> None:
    """Both start from the five true points; the mean head keeps them, the network may not."""
    network, head = [], []
    for i in range(people.batch_size):
        truth, five = people.landmarks[i], people.landmarks5[i].double().numpy()
        rough = pose_mean_head(five)
        seen = net.refine(
            srgb_encode(people.radiance[i : i + 1].clamp(0, 1)), frame_of(torch.from_numpy(rough).float())
        )
        eyes = np.hypot(*(five[1] - five[0]))
        network.append(float((seen.points - truth).norm(dim=-1).mean()) / eyes)
        head.append(np.linalg.norm(rough - truth.double().numpy(), axis=1).mean() / eyes)
    assert np.mean(network) < 0.06
    assert np.mean(network) < 0.75 * np.mean(head)


def test_geometry_of_new_people_is_near_the_truth(net: FaceNet, people: Face) -> None:
    read = with_geometry(people, net)
    assert read.parsing is not None
    assert read.depth_mm is not None
    assert read.normals is not None
    assert people.parsing is not None
    assert people.depth_mm is not None
    assert people.normals is not None
    right = (read.parsing == people.parsing).float().mean()
    assert float(right) > 0.85
    skin = (people.parsing == PARSING.index("skin")) & (read.parsing == PARSING.index("skin"))
    cosine = (read.normals * people.normals).sum(1, keepdim=True)[skin]
    assert float(cosine.mean()) > 0.85
    for i in range(people.batch_size):
        on = skin[i]
        a, b = read.depth_mm[i][on], people.depth_mm[i][on]
        assert float(((a - a.mean()) - (b - b.mean())).abs().mean()) < 9
        assert abs(float(a.mean()) - 500) < 15


def test_geometry_rows_are_independent_and_repeat(net: FaceNet, people: Face) -> None:
    both = with_geometry(people, net)
    one = people.replace(
        radiance=people.radiance[2:3], landmarks=people.landmarks[2:3], box=people.box[2:3],
        depth_mm=None, normals=None, parsing=None, subject_id=("a",), source_id=("a",),
    )  # fmt: skip
    alone = with_geometry(one, net, normals=False)
    assert alone.normals is None
    assert alone.depth_mm is not None
    assert both.depth_mm is not None
    assert torch.equal(alone.depth_mm, both.depth_mm[2:3])


def test_reading_of_a_mirrored_picture_is_the_mirrored_reading(net: FaceNet, portrait: np.ndarray) -> None:
    picture = to_codes(portrait)
    frame = Frame(224.0, 110.0, 190.0)
    a = net.read(picture, frame)
    b = net.read(picture.flip(-1), Frame(512 - 224.0, 110.0, 190.0))
    back = b.points[list(MIRROR)]
    back = torch.stack([512 - back[:, 0], back[:, 1]], 1)
    torch.testing.assert_close(a.points, back, atol=0.02, rtol=0)
    torch.testing.assert_close(a.parsing, b.parsing.flip(-1), atol=1e-3, rtol=0)
    torch.testing.assert_close(a.forward, b.forward * torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0)


def test_portrait_is_found_and_read(net: FaceNet, portrait: np.ndarray) -> None:
    found = find_face(net, portrait)
    assert found.count == 1
    assert _off(found.reading.points) < 0.14
    assert found.eyes_px == pytest.approx(EYES, rel=0.12)
    assert abs(found.reading.yaw_deg) < 25
    again = find_face(net, portrait)
    assert torch.equal(found.reading.points, again.reading.points)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_size_of_the_photograph_matters_little(net: FaceNet, portrait: np.ndarray, scale: float) -> None:
    side = int(512 * scale)
    pixels = np.asarray(Image.fromarray(portrait).resize((side, side), Image.Resampling.LANCZOS))
    assert _off(find_face(net, pixels).reading.points / scale) < 0.15


def test_huge_photograph_is_read_in_its_own_pixels(net: FaceNet, portrait: np.ndarray) -> None:
    huge = portrait.repeat(9, 0).repeat(9, 1)  # 4608 pixels: thrice the working size
    found = find_face(net, huge)
    assert _off(found.reading.points / 9) < 0.15
    assert found.eyes_px == pytest.approx(9 * EYES, rel=0.12)
    near = look(net, huge, found.reading.points)
    assert float((near.points - found.reading.points).norm(dim=-1).mean()) < 0.05 * found.eyes_px


def test_place_and_turn_in_the_photograph_matter_little(net: FaceNet, portrait: np.ndarray) -> None:
    wide = np.full((600, 900, 3), 90, np.uint8)
    wide[60:380, 500:820] = portrait[0:320, 60:380]
    assert _off(find_face(net, wide).reading.points - torch.tensor([440.0, 60.0])) < 0.15
    turned = Image.fromarray(portrait).rotate(-20, Image.Resampling.BICUBIC, center=(224, 110), fillcolor=(90, 90, 90))
    a = np.radians(20)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    assert _off(find_face(net, np.asarray(turned)).reading.points, (FIVE - (224, 110)) @ turn.T + (224, 110)) < 0.15


def test_grey_photograph_is_read(net: FaceNet, portrait: np.ndarray) -> None:
    grey = portrait.mean(2, keepdims=True).repeat(3, 2).astype(np.uint8)
    assert _off(find_face(net, grey).reading.points) < 0.15


def test_of_several_faces_the_largest_is_taken(net: FaceNet, portrait: np.ndarray) -> None:
    part = Image.fromarray(portrait[0:260, 90:350])
    pair = np.full((420, 820, 3), 120, np.uint8)
    pair[20:280, 20:280] = np.asarray(part)
    pair[10:400, 400:790] = np.asarray(part.resize((390, 390), Image.Resampling.LANCZOS))
    found = find_face(net, pair)
    assert found.count == 2
    wanted = (FIVE - (90, 0)) * 1.5 + (400, 10)
    assert _off(found.reading.points, wanted) < 0.15


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "brick", "grass", "gravel", "moon", "page"])
def test_pictures_without_a_face_are_said_to_have_none(net: FaceNet, name: str) -> None:
    pixels = np.asarray(getattr(pytest.importorskip("skimage.data"), name)())
    pixels = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, 2)
    assert _reason(net, pixels) == "no_face"


def test_flat_and_noisy_pictures_have_no_face(net: FaceNet) -> None:
    assert _reason(net, np.full((300, 400, 3), 128, np.uint8)) == "no_face"
    assert _reason(net, np.zeros((16, 700, 3), np.uint8)) == "no_face"
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    assert _reason(net, noise) == "no_face"


def test_small_face_is_told(net: FaceNet, portrait: np.ndarray) -> None:
    assert _reason(net, portrait, min_eyes_px=60) == "face_too_small"
    assert find_face(net, portrait, min_eyes_px=35).eyes_px > 35


def test_profile_is_told(net: FaceNet) -> None:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=32, seed=5)
    told = []
    for ref in source.refs():
        who, how = source.params(ref)
        how = type(how)(**{**vars(how), "yaw_deg": torch.tensor([64.0]), "body_yaw_deg": torch.tensor([50.0])})
        face = render(who, how, 256)
        codes = srgb_encode(face.radiance.clamp(0, 1))[0].permute(1, 2, 0)
        told.append(_reason(net, (codes * 255).to(torch.uint8).numpy()))
    assert told.count("profile_face") >= 3, told
    assert set(told) <= {"profile_face", "no_face"}


def test_stated_spread_grows_where_a_point_is_hidden(net: FaceNet, portrait: np.ndarray) -> None:
    found = find_face(net, portrait).reading
    covered = portrait.copy()
    covered[150:185, 180:268] = 40  # the chin
    hidden = net.read(to_codes(covered), found.frame)
    assert float(hidden.spread[5:12].mean()) > 1.1 * float(found.spread[5:12].mean())


def test_small_photographs_of_many_people_are_told_from_other_pictures(net: FaceNet) -> None:
    """scikit-image's 100 faces of LFW and 100 pictures that are none, 25 x 25 pixels each, enlarged on a grey ground: a
    quarter of them."""
    pictures = pytest.importorskip("skimage.data").lfw_subset()
    found = []
    for picture in pictures[::4]:
        grey = Image.fromarray((picture * 255).astype(np.uint8)).resize((112, 112), Image.Resampling.BICUBIC)
        canvas = np.full((176, 176, 3), 110, np.uint8)
        canvas[32:144, 32:144] = np.asarray(grey)[..., None]
        try:
            find_face(net, canvas)
        except SkipSample as skip:
            found.append(skip.reason == "profile_face")  # a face, though none to use
        else:
            found.append(True)
    assert sum(found[:25]) >= 23
    assert sum(found[25:]) <= 1
