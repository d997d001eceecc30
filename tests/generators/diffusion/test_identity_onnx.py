"""A face is aligned as embedders expect it, fed as the settings say, and its vector has length 1."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators import onnx_model
from spooflab.generators.diffusion.identity_onnx import TEMPLATE, EmbedderSettings, OnnxIdentity, template_frame
from spooflab.generators.face_net.frame import crop
from spooflab.generators.faces.landmarks import MEAN_HEAD, five_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def _landmarks(x: float = 100, y: float = 90, eyes: float = 42, roll: float = 0.2) -> Tensor:
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return torch.from_numpy(MEAN_HEAD[:, :2] @ turn.T * eyes + (x, y)).float()[None]


def _smooth(height: int, width: int) -> Tensor:
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(6))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def _saved(path: Path, *, weights: NDArray[np.float32] | None = None, side: int = 112, shape: Any = None) -> Path:
    """A graph that flattens its input and, given weights, multiplies it by them; saved by onnx itself."""
    h = onnx.helper
    nodes = [h.make_node("Flatten", ["in"], ["flat"])]
    kept = []
    if weights is not None:
        nodes.append(h.make_node("MatMul", ["flat", "weights"], ["embedding"]))
        kept.append(onnx.numpy_helper.from_array(weights, "weights"))
    out = "flat" if weights is None else "embedding"
    graph = h.make_graph(
        nodes,
        "embedder",
        [h.make_tensor_value_info("in", onnx.TensorProto.FLOAT, shape or ["N", 3, side, side])],
        [h.make_tensor_value_info(out, onnx.TensorProto.FLOAT, ["N", None])],
        kept,
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def _umeyama(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Umeyama 1991, eqs. 40-42: the (2, 3) least-squares similarity."""
    ms, mt = source.mean(0), target.mean(0)
    u, d, vt = np.linalg.svd((target - mt).T @ (source - ms) / len(source))
    sign = np.diag([1.0, np.sign(np.linalg.det(u @ vt))])
    scale = np.trace(np.diag(d) @ sign) / ((source - ms) ** 2).sum(1).mean()
    turn = scale * u @ sign @ vt
    return np.hstack([turn, (mt - turn @ ms)[:, None]])


@pytest.mark.parametrize(
    ("side", "template"), [(112, TEMPLATE), (224, TEMPLATE * 2), (128, TEMPLATE + np.array((8, 0)))]
)
def test_alignment_is_the_least_squares_similarity(side: int, template: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(2)
    five = five_of(_landmarks(roll=-0.5)[0].double().numpy()) + rng.normal(0, 3, (5, 2))
    frame = template_frame(five, side)
    wanted = _umeyama(five, template + 0.5)
    corners = np.array([(0, 0), (1, 0), (0.3, 0.8)])
    back = np.linalg.solve(wanted[:, :2], (corners * side - wanted[:, 2]).T).T
    torch.testing.assert_close(
        frame.to_picture(torch.from_numpy(corners).float()).double(), torch.from_numpy(back), atol=1e-3, rtol=0
    )


def test_the_crop_is_what_a_warp_of_pixels_gives() -> None:
    """Another library warps with the first pixel's centre at 0, as the aligners of embedders do."""
    transform = pytest.importorskip("skimage.transform")
    picture, five = _smooth(200, 240), five_of(_landmarks()[0].double().numpy())
    inverse = np.vstack([_umeyama(five - 0.5, TEMPLATE), (0, 0, 1)])
    wanted = transform.warp(
        picture[0].permute(1, 2, 0).double().numpy(), transform.AffineTransform(np.linalg.inv(inverse)),
        output_shape=(112, 112), order=1,
    )  # fmt: skip
    made = crop(picture, template_frame(five, 112), 112)[0].permute(1, 2, 0).double().numpy()
    np.testing.assert_allclose(made, wanted, atol=1e-4)


def test_points_land_on_the_template() -> None:
    landmarks = _landmarks(eyes=300, x=480, y=450, roll=0.4)
    y, x = torch.meshgrid(torch.arange(960) + 0.5, torch.arange(960) + 0.5, indexing="ij")
    five = five_of(landmarks[0].double().numpy())
    # The mean head is not the template: what must land is what the similarity sends there.
    sent = _umeyama(five, TEMPLATE)
    for point in five[:3]:
        dot = torch.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * 12**2)).expand(1, 3, -1, -1)
        face = crop(dot, template_frame(five, 112), 112)[0, 0].double()
        grid = torch.arange(112).double()
        found = [float((face.sum(axis) * grid).sum() / face.sum()) for axis in (0, 1)]
        np.testing.assert_allclose(found, sent[:, :2] @ point + sent[:, 2], atol=0.05)


def test_it_is_fed_what_the_settings_say(tmp_path: Path) -> None:
    picture, landmarks = _smooth(200, 240), _landmarks()
    aligned = crop(picture, template_frame(five_of(landmarks[0].double().numpy()), 112), 112)
    for settings, fed in (
        (EmbedderSettings(), (aligned - 0.5) / 0.5),
        (EmbedderSettings(mean=(0, 0, 0), std=(1 / 255,) * 3, channels="bgr"), aligned.flip(1) * 255),
        (
            EmbedderSettings(mean=(0.1, 0.2, 0.3), std=(1, 2, 3)),
            (aligned - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([1.0, 2, 3])[:, None, None],
        ),
    ):
        made = OnnxIdentity(_saved(tmp_path / "m.onnx"), settings).embed(picture, landmarks)
        torch.testing.assert_close(made, torch.nn.functional.normalize(fed.flatten(1)), atol=1e-6, rtol=1e-4)
    last = _saved(tmp_path / "last.onnx", shape=[1, 112, 112, 3])
    made = OnnxIdentity(last, EmbedderSettings(layout="nhwc")).embed(picture, landmarks)
    fed = ((aligned - 0.5) / 0.5).permute(0, 2, 3, 1)
    torch.testing.assert_close(made, torch.nn.functional.normalize(fed.flatten(1)), atol=1e-6, rtol=1e-4)


def test_vectors_of_a_batch(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(size=(3 * 112 * 112, 5)).astype(np.float32)
    encoder = OnnxIdentity(_saved(tmp_path / "m.onnx", weights=weights, shape=[1, 3, 112, 112]))
    pictures = torch.cat([_smooth(200, 240), 1 - _smooth(200, 240).flip(3)])
    landmarks = torch.cat([_landmarks(), _landmarks(x=120, roll=-0.1)])
    made = encoder.embed(pictures, landmarks)
    assert (encoder.width, made.shape, made.dtype) == (5, (2, 5), torch.float32)
    torch.testing.assert_close(made.norm(dim=1), torch.ones(2))
    assert torch.equal(made[1:], encoder.embed(pictures[1:], landmarks[1:]))
    assert float((made[0] - made[1]).norm()) > 0.1
    assert encoder.model.startswith(f"{tmp_path / 'm.onnx'} sha256:")
    assert len(encoder.model.rpartition(":")[2]) == 64


def test_models_that_do_not_fit_are_told(tmp_path: Path) -> None:
    good = _saved(tmp_path / "m.onnx")
    for settings, message in (
        (EmbedderSettings(input_px=128), r"input \['N', 3, 112, 112\]"),
        (EmbedderSettings(layout="nhwc"), "set `input_px` and `layout`"),
        (EmbedderSettings(output="embedding"), "no output embedding"),
    ):
        with pytest.raises(ConfigError, match=message):
            OnnxIdentity(good, settings)
    with pytest.raises(ConfigError, match="No such file"):
        OnnxIdentity(tmp_path / "none.onnx")
    with pytest.raises(ConfigError, match="the file 000000000000"):
        OnnxIdentity(good, sha256="0" * 64)
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ConfigError, match="onnxruntime refuses it"):
        OnnxIdentity(tmp_path / "junk.onnx")
    free = _saved(tmp_path / "free.onnx", weights=np.zeros((7, 5), np.float32), shape=["N", 3, "h", "w"])
    with pytest.raises(ConfigError, match="onnxruntime cannot run it"):
        OnnxIdentity(free)


def test_weights_beside_the_file_are_refused(tmp_path: Path) -> None:
    path = _saved(tmp_path / "m.onnx", weights=np.ones((3 * 112 * 112, 2), np.float32))
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").is_file()
    with pytest.raises(ConfigError, match="onnxruntime refuses it"):
        OnnxIdentity(path)


def test_a_vector_of_nothing_is_an_error(tmp_path: Path) -> None:
    encoder = OnnxIdentity(_saved(tmp_path / "m.onnx", weights=np.zeros((3 * 112 * 112, 4), np.float32)))
    with pytest.raises(DataError, match=r"length 0\.0"):
        encoder.embed(_smooth(200, 240), _landmarks())


@pytest.mark.parametrize("wrong", [{"input_px": 160}, {"input_px": 56}, {"std": (1, 0, 1)}, {"size": 112}])
def test_bad_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmbedderSettings(**wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"landmarks": torch.zeros(1, 5, 2)}, "landmarks"),
        ({"landmarks": _landmarks().expand(2, -1, -1)}, r"\(1, 68, 2\)"),
        ({"landmarks": torch.full((1, 68, 2), torch.nan)}, "finite"),
        ({"landmarks": torch.zeros(1, 68, 2)}, r"0\.0 px between the eyes"),
        ({"landmarks": _landmarks(x=900)}, "within 240 x 200"),
        ({"pictures": torch.full((1, 3, 200, 240), 2.0)}, "from 2.0"),
    ],
)
def test_faces_that_are_none(tmp_path: Path, changes: dict[str, Tensor], message: str) -> None:
    encoder = OnnxIdentity(_saved(tmp_path / "m.onnx"))
    with pytest.raises(DataError, match=message):
        encoder.embed(**{"pictures": _smooth(200, 240), "landmarks": _landmarks(), **changes})


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(onnx_model, "import_module", missing)
    with pytest.raises(ConfigError, match=r"spooflab\[detect\]"):
        OnnxIdentity(_saved(tmp_path / "m.onnx"))
