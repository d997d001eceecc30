"""The network's parts: frames, heat maps, weights, normals, and the file that holds them."""

import json
import math
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spooflab.errors import ConfigError
from spooflab.generators.face import PARSING
from spooflab.generators.face_net.frame import Frame, crop, extent, frame_of
from spooflab.generators.face_net.geometry import attached, normals_of
from spooflab.generators.face_net.network import INPUT, SHARE, Network, _integrate
from spooflab.generators.face_net.predict import MIRROR, FaceNet
from spooflab.generators.face_net.weights import FORMAT, SHIPPED, fused, pack, read_weights
from spooflab.generators.faces.landmarks import MEAN_HEAD


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    net = Network()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that fusing has to respect
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def _head(scale: float, turn_deg: float, x: float, y: float) -> torch.Tensor:
    a = math.radians(turn_deg)
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    return torch.from_numpy(MEAN_HEAD[:, :2] @ turn.T * scale + (x, y)).float()


def test_frame_maps_there_and_back() -> None:
    frame = Frame(31.0, 18.0, 20.0, 0.4)
    points = torch.rand(5, 2) * 40
    torch.testing.assert_close(frame.to_picture(frame.from_picture(points)), points)
    torch.testing.assert_close(frame.to_picture(torch.tensor([[0.5, 0.5]])), torch.tensor([[31.0, 18.0]]))
    corner = frame.to_picture(torch.tensor([[1.0, 0.5]]))[0]  # the middle of the right side lies along the angle
    torch.testing.assert_close(corner, torch.tensor([31 + 10 * math.cos(0.4), 18 + 10 * math.sin(0.4)]))


@pytest.mark.parametrize("turn", [-40, 0, 25])
def test_frame_of_a_face_is_upright_and_has_the_share(turn: float) -> None:
    points = _head(60, turn, 200, 150)
    frame = frame_of(points)
    assert math.degrees(frame.angle_rad) == pytest.approx(turn, abs=0.5)
    share = frame.from_picture(points)
    assert float(extent(share)) == pytest.approx(SHARE, abs=1e-3)
    torch.testing.assert_close((share.amax(0) + share.amin(0)) / 2, torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)


def test_crop_at_the_picture_s_own_pixels_is_the_picture() -> None:
    picture = torch.rand(1, 3, 300, 260)
    cut = crop(picture, Frame(100.0, 120.0, float(INPUT)))
    torch.testing.assert_close(cut, picture[..., 56 : 56 + INPUT, 36 : 36 + INPUT], atol=5e-5, rtol=0)


def test_crop_of_a_large_face_does_not_alias() -> None:
    stripes = (torch.arange(2000) % 2).float().expand(1, 3, 2000, 2000)
    cut = crop(stripes, Frame(1000.0, 1000.0, 1800.0))
    assert float((cut - 0.5).abs().max()) < 0.04


def test_crop_over_the_edge_is_mirrored() -> None:
    picture = torch.rand(1, 3, 64, 64)
    cut = crop(picture, Frame(0.0, 32.0, 64.0), 64)
    torch.testing.assert_close(cut[..., :32], cut[..., 32:].flip(-1), atol=1e-5, rtol=0)


def test_mirror_is_an_involution_that_the_mean_head_keeps() -> None:
    assert [MIRROR[i] for i in MIRROR] == list(range(68))
    np.testing.assert_allclose(MEAN_HEAD[list(MIRROR)] * (-1, 1, 1), MEAN_HEAD, atol=1e-12)


def test_heat_maps_give_their_means() -> None:
    """Against the closed form: two equal peaks have their middle as mean, one peak its own place."""
    heat = torch.full((1, 2, 8, 8), -50.0)
    heat[0, 0, 2, 6] = 0.0
    heat[0, 1, 1, 1] = heat[0, 1, 5, 3] = 0.0
    points, spread = _integrate(heat, torch.full((1, 2, 8, 8), math.log(0.02)))
    torch.testing.assert_close(points[0], torch.tensor([[6.5 / 8, 2.5 / 8], [2.5 / 8, 3.5 / 8]]))
    torch.testing.assert_close(spread[0], torch.full((2,), 0.02 + 0.15 / INPUT))


def test_shapes_and_size(network: Network) -> None:
    with torch.inference_mode():
        seen = network(torch.rand(2, 3, INPUT, INPUT))
        places = network.places(torch.rand(1, 3, 96, 160))
    assert seen.points.shape == (2, 68, 2)
    assert seen.spread.shape == (2, 68)
    assert seen.parsing.shape == (2, len(PARSING), INPUT // 2, INPUT // 2)
    assert seen.depth_mm.shape == (2, 1, INPUT // 2, INPUT // 2)
    assert seen.forward.shape == (2, 2)
    assert places.logit.shape == (1, 6, 10)
    assert places.offset.shape == (1, 2, 6, 10)
    assert sum(p.numel() for p in network.parameters()) < 2_000_000
    assert len(pack(network, {})) < 8_000_000
    with pytest.raises(ValueError, match="multiples of 16"):
        network.places(torch.rand(1, 3, 90, 160))
    with pytest.raises(ValueError, match="wanted"):
        network(torch.rand(1, 3, 96, 96))


def test_places_of_a_crop_are_those_of_the_whole_reading(network: Network) -> None:
    pixels = torch.rand(1, 3, INPUT, INPUT)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels).places.logit, network.places(pixels).logit)


def test_rows_are_independent(network: Network) -> None:
    pixels = torch.rand(3, 3, INPUT, INPUT)
    with torch.inference_mode():
        together, alone = network(pixels), network(pixels[1:2])
    torch.testing.assert_close(together.points[1:2], alone.points, atol=2e-5, rtol=0)
    torch.testing.assert_close(together.parsing[1:2], alone.parsing, atol=2e-4, rtol=0)


def test_file_keeps_the_network_and_fusing_changes_nothing(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack(network, {"note": "test"}))
    again, digest = read_weights(path)
    assert len(digest) == 64
    pixels = torch.rand(1, 3, INPUT, INPUT)
    with torch.inference_mode():
        a, b = network(pixels), again(pixels)
    torch.testing.assert_close(a.points, b.points, atol=2e-3, rtol=0)  # convolutions are stored in half precision
    torch.testing.assert_close(a.parsing, b.parsing, atol=3e-2, rtol=0)


def test_fused_network_is_exact(network: Network) -> None:
    plain = Network().eval()
    plain.load_state_dict(network.state_dict())
    pixels = torch.rand(1, 3, INPUT, INPUT)
    with torch.inference_mode():
        before = plain(pixels)
        after = fused(plain)(pixels)
    torch.testing.assert_close(before.parsing, after.parsing, atol=2e-4, rtol=0)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in plain.modules())


def _truncated(good: bytes) -> bytes:
    return good[: len(good) // 2]


def _pickled(good: bytes) -> bytes:
    return pickle.dumps({"stem.0.weight": [0.0]})


def _lying_header(good: bytes) -> bytes:
    return struct.pack("<Q", 1 << 60) + good[8:]


def _empty(good: bytes) -> bytes:
    return b""


def _picture(good: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + good[:100]


@pytest.mark.parametrize("spoil", [_truncated, _pickled, _lying_header, _empty, _picture])
def test_what_is_no_safetensors_file_is_told(spoil: object, network: Network, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(spoil(pack(network, {})))  # type: ignore[operator]  # one of the functions above
    with pytest.raises(ConfigError, match=r"w\.safetensors: no readable safetensors file") as caught:
        FaceNet.load(path)
    assert FORMAT in caught.value.wanted
    assert "leave the path out" in caught.value.next_step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("turn.bias"), "missing: turn.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "unknown: extra"),
        (lambda t: t.update({"turn.bias": torch.zeros(3)}), r"turn\.bias is \(3,\)"),
        (lambda t: t.update({"turn.bias": torch.tensor([0.0, torch.nan])}), "no finite numbers"),
        (lambda t: t.update({"turn.bias": torch.zeros(2, dtype=torch.int64)}), "no finite numbers"),
    ],
)
def test_wrong_tensors_are_told(change: object, message: str, network: Network, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack(network, {}))
    held = load_file(path)
    change(held)  # type: ignore[operator]  # one of the functions above
    save_file(held, path, {"format": FORMAT})
    with pytest.raises(ConfigError, match=message):
        FaceNet.load(path)


def test_other_files_are_told(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        FaceNet.load(tmp_path / "absent.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(ConfigError, match="format None"):
        FaceNet.load(tmp_path / "b.safetensors")
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack(network, {}))
    with pytest.raises(ConfigError, match="SHA-256"):
        FaceNet.load(path, sha256="0" * 64)


def test_a_replaced_file_is_read_again(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack(network, {}))
    first = FaceNet.load(path)
    path.write_bytes(pack(network, {"other": "header"}))
    assert FaceNet.load(path).sha256 != first.sha256


def test_shipped_file_is_small_and_says_what_it_is() -> None:
    data = SHIPPED.read_bytes()
    assert len(data) < 8_000_000
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])["__metadata__"]
    assert header["format"] == FORMAT
    assert header["licence"] == "Apache-2.0"
    assert FaceNet.load().sha256 == FaceNet.load(SHIPPED).sha256


def test_normals_of_a_plane_are_its_own() -> None:
    """A plane that recedes to the right by `a` and downwards by `b` per millimetre: (a, b, -1), normalised."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    pitch, a, b = 0.7, 0.5, -0.3
    depth = (a * x + b * y) * pitch + 90
    wanted = torch.tensor([a, b, -1.0]) / math.sqrt(1 + a * a + b * b)
    found = normals_of(depth[None, None], torch.tensor([pitch]))[0, :, 12:28, 12:38]
    torch.testing.assert_close(found, wanted[:, None, None].expand_as(found), atol=1e-4, rtol=0)


def test_normals_of_a_sphere_point_away_from_its_middle() -> None:
    y, x = torch.meshgrid(torch.arange(81.0) - 40, torch.arange(81.0) - 40, indexing="ij")
    radius, pitch = 60.0, 0.5
    inner = (radius**2 - (x**2 + y**2) * pitch**2).clamp(min=1)
    depth = 100 - inner.sqrt()
    outward = torch.stack([x * pitch, y * pitch, -inner.sqrt()]) / radius
    found = normals_of(depth[None, None], torch.tensor([pitch]))[0]
    cosine = (found * outward).sum(0)[8:-8, 8:-8]
    assert float(cosine.min()) > math.cos(math.radians(1.0))


def test_islands_become_background_and_clothes_stay() -> None:
    """Against SciPy's labelling of connected pieces."""
    ndimage = pytest.importorskip("scipy.ndimage")
    classes = torch.zeros(32, 32, dtype=torch.int64)
    classes[10:22, 10:22] = PARSING.index("skin")
    classes[22, 22:27] = PARSING.index("hair")  # touches at a corner
    classes[2:5, 2:6] = PARSING.index("hair")
    classes[28:31, 3:9] = PARSING.index("clothes")
    classes[2:4, 27:30] = PARSING.index("ears")
    chances = torch.nn.functional.one_hot(classes, len(PARSING)).permute(2, 0, 1).float()
    found = attached(chances).argmax(0)
    pieces, _ = ndimage.label(classes.numpy() > 0, np.ones((3, 3)))
    wanted = torch.where(torch.from_numpy(pieces == pieces[16, 16]), classes, 0)
    wanted = torch.where(classes == PARSING.index("clothes"), classes, wanted)
    assert torch.equal(found, wanted)
    assert int(found[22, 25]) == PARSING.index("hair")
    assert int(found[3, 3]) == 0


def test_nothing_in_the_middle_leaves_no_head() -> None:
    chances = torch.zeros(len(PARSING), 16, 16)
    chances[0] = 0.6
    chances[PARSING.index("hair"), :4] = 0.9
    assert int(attached(chances).argmax(0).max()) == 0
