"""Detectors that the user brings, in the shape of their real interfaces, and the reader that puts them together."""

import json
import sys
import types
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.face_net.find import Found
from spooflab.generators.face_net.frame import Frame, extent
from spooflab.generators.face_net.predict import FaceNet, FaceReading
from spooflab.generators.faces.detect import onnx as onnx_detector
from spooflab.generators.faces.detect.mediapipe import IBUG_OF_MESH, MediaPipeDetector
from spooflab.generators.faces.detect.onnx import IBUG_OF_WFLW, OnnxDetector, OnnxSettings
from spooflab.generators.faces.detect.reader import PhotoReader
from spooflab.generators.faces.landmarks import MEAN_HEAD, FacePoints, five_of, quantised

PIXELS = np.zeros((200, 300, 3), np.uint8)


def _task(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return path


def _fake_mediapipe(monkeypatch: pytest.MonkeyPatch, faces: list[np.ndarray], error: Exception | None = None) -> None:
    """Stand in for `mediapipe` as its Tasks API is: options, `create_from_options`, `detect`, `face_landmarks`."""

    class Landmarker:
        @staticmethod
        def create_from_options(options: Any) -> "Landmarker":
            if error is not None:
                raise error
            assert options.base_options.model_asset_path.endswith(".task")
            assert options.running_mode == "image"
            return Landmarker()

        def detect(self, image: Any) -> Any:
            assert image.image_format == "srgb"
            assert image.data.dtype == np.uint8
            rows = [[types.SimpleNamespace(x=x, y=y, z=0.0) for x, y in face] for face in faces]
            return types.SimpleNamespace(face_landmarks=rows)

    def named(**values: Any) -> Any:
        return types.SimpleNamespace(**values)

    root, tasks, python = (types.ModuleType(n) for n in ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python"))
    root.Image, root.ImageFormat = named, named(SRGB="srgb")  # type: ignore[attr-defined]  # a stand-in
    python.BaseOptions = named  # type: ignore[attr-defined]  # a stand-in
    python.vision = named(  # type: ignore[attr-defined]  # a stand-in
        FaceLandmarkerOptions=named, RunningMode=named(IMAGE="image"), FaceLandmarker=Landmarker
    )
    for module in (root, tasks, python):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def _mesh(scale: float) -> np.ndarray:
    """A mesh whose vertices for the 68 points lie on a mean head, in shares of 300 x 200 pixels."""
    mesh = np.full((478, 2), 0.5)
    mesh[list(IBUG_OF_MESH)] = (MEAN_HEAD[:, :2] * scale + (150, 90)) / (300, 200)
    return mesh


def test_correspondences_name_each_vertex_once() -> None:
    assert len(set(IBUG_OF_MESH)) == len(IBUG_OF_MESH) == 68
    assert max(IBUG_OF_MESH) < 468
    assert len(set(IBUG_OF_WFLW)) == len(IBUG_OF_WFLW) == 68
    assert max(IBUG_OF_WFLW) == 95  # 96 and 97 are the pupils


def test_mediapipe_gives_the_largest_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_mediapipe(monkeypatch, [_mesh(20), _mesh(40), _mesh(30)])
    detector = MediaPipeDetector(_task(tmp_path / "f.task", "face_landmarks_detector.tflite"))
    np.testing.assert_allclose(detector.find(PIXELS).points, MEAN_HEAD[:, :2] * 40 + (150, 90), atol=1 / 128)
    assert set(detector.settings()) == {"model_sha256"}


def test_mediapipe_without_a_face_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_mediapipe(monkeypatch, [])
    detector = MediaPipeDetector(_task(tmp_path / "f.task", "face_landmarks_detector.tflite"))
    with pytest.raises(SkipSample) as caught:
        detector.find(PIXELS)
    assert caught.value.reason == "no_face"


def test_mediapipe_refuses_what_is_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_mediapipe(monkeypatch, [])
    (tmp_path / "text.task").write_text("hello")
    with pytest.raises(ConfigError, match="no task file"):
        MediaPipeDetector(tmp_path / "text.task")
    with pytest.raises(ConfigError, match=r"with hand\.tflite"):
        MediaPipeDetector(_task(tmp_path / "hand.task", "hand.tflite"))
    with pytest.raises(ConfigError, match="No such file"):
        MediaPipeDetector(tmp_path / "absent.task")
    with pytest.raises(ConfigError, match="no model file"):
        MediaPipeDetector(None)
    good = _task(tmp_path / "f.task", "face_landmarks_detector.tflite")
    with pytest.raises(ConfigError, match="SHA-256"):
        MediaPipeDetector(good, sha256="0" * 64)
    for error in (RuntimeError("Unable to parse"), FileNotFoundError("No file with name: face_detector.tflite")):
        _fake_mediapipe(monkeypatch, [], error)
        with pytest.raises(ConfigError, match=f"MediaPipe refuses it: {error}"):
            MediaPipeDetector(good)


def test_missing_packages_come_with_their_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: FaceNet
) -> None:
    for name in ("mediapipe", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError) as caught:
        MediaPipeDetector(_task(tmp_path / "f.task", "face_landmarks_detector.tflite"))
    assert caught.value.next_step == "pip install mediapipe"
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(ConfigError) as caught:
        OnnxDetector(tmp_path / "m.onnx", OnnxSettings(input_px=64), net)
    assert caught.value.next_step == "pip install 'spooflab[detect]'"


class _Session:
    """Stand in for `onnxruntime.InferenceSession`: one input, named outputs, `run`."""

    shape: ClassVar[list[Any]] = [1, 3, 64, 64]
    outputs: ClassVar[dict[str, np.ndarray]] = {}
    fed: ClassVar[list[np.ndarray]] = []
    kind = "tensor(float)"
    inputs = 1

    def __init__(self, path: str, options: Any, providers: list[str]) -> None:
        assert providers == ["CPUExecutionProvider"]
        assert options.intra_op_num_threads == 1
        if Path(path).read_bytes() != b"good":
            raise RuntimeError("InvalidProtobuf")

    def get_inputs(self) -> list[Any]:
        return [types.SimpleNamespace(name="in", shape=self.shape, type=self.kind)] * self.inputs

    def get_outputs(self) -> list[Any]:
        return [types.SimpleNamespace(name=name) for name in self.outputs]

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.fed.append(feed["in"])
        return [self.outputs[name] for name in names]


@pytest.fixture
def net() -> FaceNet:
    return FaceNet(torch.nn.Identity(), "net")  # type: ignore[arg-type]  # never called


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[_Session]:
    module = types.ModuleType("onnxruntime")
    fake = type("Fake", (_Session,), {"fed": [], "outputs": {}})
    module.InferenceSession = fake  # type: ignore[attr-defined]  # a stand-in
    module.SessionOptions = types.SimpleNamespace  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    (tmp_path / "m.onnx").write_bytes(b"good")
    points = torch.from_numpy(MEAN_HEAD[:, :2] * 40 + (150, 90)).float()
    maps = torch.zeros(13, 4, 4)
    reading = FaceReading(Frame(0, 0, 1), points, torch.ones(68), 1.0, torch.zeros(2), maps, maps[0])
    monkeypatch.setattr(onnx_detector, "find_face", lambda net, pixels, min_eyes_px: Found(reading, 1))
    return fake


def _frame(margin: float) -> Frame:
    points = torch.from_numpy(MEAN_HEAD[:, :2] * 40 + (150, 90)).float()
    middle = (points.amax(0) + points.amin(0)) / 2
    return Frame(float(middle[0]), float(middle[1]), float(extent(points)) * (1 + 2 * margin))


@pytest.mark.parametrize(("unit", "scale"), [("share", (1.0, 0.0)), ("pixel", (64.0, 0.0)), ("centred", (2.0, -1.0))])
def test_onnx_points_come_back_to_the_photograph(
    session: type[_Session], net: FaceNet, tmp_path: Path, unit: str, scale: tuple[float, float]
) -> None:
    share = np.linspace(0.1, 0.9, 136, dtype=np.float32).reshape(1, 136)
    session.outputs = {"lm": share * scale[0] + scale[1]}
    options = OnnxSettings(input_px=64, margin=0.3, unit=unit)
    found = OnnxDetector(tmp_path / "m.onnx", options, net).find(PIXELS)
    wanted = _frame(0.3).to_picture(torch.from_numpy(share.reshape(68, 2))).numpy()
    np.testing.assert_allclose(found.points, wanted, atol=0.02)


def test_onnx_takes_98_and_5_points(session: type[_Session], net: FaceNet, tmp_path: Path) -> None:
    share = np.random.default_rng(0).random((98, 2)).astype(np.float32)
    session.outputs = {"lm": share, "other": np.zeros(3)}
    options = OnnxSettings(input_px=64, points=98, output="lm")
    found = OnnxDetector(tmp_path / "m.onnx", options, net).find(PIXELS)
    back = _frame(0.2).from_picture(torch.from_numpy(found.points).float()).numpy()
    np.testing.assert_allclose(back[[0, 16, 36, 48, 67]], share[[0, 32, 60, 76, 95]], atol=1e-3)
    session.outputs = {"lm": share[:5]}
    five = OnnxDetector(tmp_path / "m.onnx", OnnxSettings(input_px=64, points=5), net).find(PIXELS)
    assert five.points.shape == (5, 2)


def test_onnx_is_fed_what_the_options_say(session: type[_Session], net: FaceNet, tmp_path: Path) -> None:
    session.shape, session.outputs = ["batch", 64, 64, 3], {"lm": np.full((1, 136), 0.5, np.float32)}
    pixels = PIXELS.copy()
    pixels[...] = (255, 51, 0)
    options = OnnxSettings(input_px=64, layout="nhwc", channels="bgr", mean=(0.5, 0.2, 0.0), std=(0.5, 1.0, 2.0))
    OnnxDetector(tmp_path / "m.onnx", options, net).find(pixels)
    fed = session.fed[-1]
    assert fed.shape == (1, 64, 64, 3)
    assert fed.dtype == np.float32
    np.testing.assert_allclose(fed[0, 32, 32], [(0 - 0.5) / 0.5, 0.0, 1 / 2], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"shape": [1, 3, 112, 112]}, {}, r"input \[1, 3, 112, 112\]"),
        ({"shape": [1, 3, 64]}, {}, "input"),
        ({"kind": "tensor(uint8)"}, {}, "uint8"),
        ({"inputs": 2}, {}, "2 inputs"),
        ({"outputs": {"a": np.zeros(1), "b": np.zeros(1)}}, {}, "outputs a, b"),
        ({}, {"output": "points"}, "no output points"),
    ],
)
def test_onnx_models_of_another_shape_are_told(
    session: type[_Session], net: FaceNet, tmp_path: Path, change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    session.outputs = {"lm": np.zeros((1, 136), np.float32)}
    for name, value in change.items():
        setattr(session, name, value)
    with pytest.raises(ConfigError, match=message):
        OnnxDetector(tmp_path / "m.onnx", OnnxSettings(input_px=64, **options), net)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((1, 10), np.float32), "shape"),
        (np.full((1, 136), np.nan, np.float32), "finite"),
        (np.full((1, 136), 40.0, np.float32), "sides of the crop"),
    ],
)
def test_onnx_output_that_cannot_be_right_is_told(
    session: type[_Session], net: FaceNet, tmp_path: Path, given: np.ndarray, message: str
) -> None:
    session.outputs = {"lm": given}
    with pytest.raises(ConfigError, match=message):
        OnnxDetector(tmp_path / "m.onnx", OnnxSettings(input_px=64), net).find(PIXELS)


def test_onnx_refuses_what_is_no_model(session: type[_Session], net: FaceNet, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"junk")
    with pytest.raises(ConfigError, match="InvalidProtobuf"):
        OnnxDetector(tmp_path / "m.onnx", OnnxSettings(input_px=64), net)
    with pytest.raises(ConfigError, match="no `onnx` options"):
        OnnxDetector(tmp_path / "m.onnx", None, net)


def test_a_real_onnx_model_is_run(net: FaceNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of one constant, run by onnxruntime itself."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    share = np.linspace(0.2, 0.8, 136).astype(np.float32).reshape(1, 136)
    h = onnx.helper
    graph = h.make_graph(
        [
            h.make_node("ReduceMean", ["in"], ["mean"], keepdims=0),
            h.make_node("Mul", ["mean", "zero"], ["none"]),
            h.make_node("Add", ["points", "none"], ["lm"]),
        ],
        "landmarks",
        [h.make_tensor_value_info("in", onnx.TensorProto.FLOAT, [1, 3, 64, 64])],
        [h.make_tensor_value_info("lm", onnx.TensorProto.FLOAT, [1, 136])],
        [onnx.numpy_helper.from_array(share, "points"), onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero")],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "m.onnx"))
    points = torch.from_numpy(MEAN_HEAD[:, :2] * 40 + (150, 90)).float()
    maps = torch.zeros(13, 4, 4)
    reading = FaceReading(Frame(0, 0, 1), points, torch.ones(68), 1.0, torch.zeros(2), maps, maps[0])
    monkeypatch.setattr(onnx_detector, "find_face", lambda net, pixels, min_eyes_px: Found(reading, 1))
    found = OnnxDetector(tmp_path / "m.onnx", OnnxSettings(input_px=64), net).find(PIXELS)
    wanted = _frame(0.2).to_picture(torch.from_numpy(share.reshape(68, 2))).numpy()
    np.testing.assert_allclose(found.points, wanted, atol=0.02)
    with pytest.raises(ConfigError, match="input"):
        OnnxDetector(tmp_path / "m.onnx", OnnxSettings(input_px=112), net)


class _Own:
    """A detector of a user's own."""

    name = "own"

    def __init__(self) -> None:
        self.calls = 0

    def find(self, pixels: np.ndarray) -> FacePoints:
        self.calls += 1
        return FacePoints(quantised(MEAN_HEAD[:, :2] * 40 + (150, 90)))

    def settings(self) -> dict[str, Any]:
        return {"version": "7"}


def test_reader_takes_a_detector_of_ones_own_and_looks_once() -> None:
    own = _Own()
    reader = PhotoReader(own, dense="mean_head", geometry="none")
    first, again = reader.points(PIXELS, None, "a"), reader.points(PIXELS, None, "a")
    assert first is again
    assert own.calls == 1
    reader.points(PIXELS, None, "b")
    assert own.calls == 2
    assert reader.settings()["detector"] == "own"
    assert reader.settings()["sha256"] == {"version": "7"}
    json.dumps(reader.settings())


def test_reader_keeps_given_points_before_any_detector() -> None:
    own = _Own()
    reader = PhotoReader(own, dense="mean_head", geometry="none")
    dense = FacePoints(MEAN_HEAD[:, :2] * 30 + (100, 80))
    assert reader.points(PIXELS, dense, "a") is dense
    five = FacePoints(five_of(dense.points), (1.0, 2.0, 3.0, 4.0))
    found = reader.points(PIXELS, five, "a")
    assert found is not None
    np.testing.assert_allclose(five_of(found.points), five.points, atol=1e-3)
    assert found.box == five.box
    assert own.calls == 0


def test_reader_without_detector_or_points() -> None:
    with pytest.raises(SkipSample) as caught:
        PhotoReader("sidecar", dense="mean_head", geometry="none").points(PIXELS, None, "a")
    assert caught.value.reason == "no_landmarks"
    assert PhotoReader("template", dense="mean_head", geometry="none").points(PIXELS, None, "a") is None


def test_reader_refuses_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="detector is 'dlib'"):
        PhotoReader("dlib", dense="mean_head", geometry="none")  # type: ignore[arg-type]  # a wrong value on purpose
    with pytest.raises(ConfigError, match="dense is"):
        PhotoReader("template", dense="all")  # type: ignore[arg-type]  # a wrong value on purpose
    with pytest.raises(ConfigError, match="geometry is"):
        PhotoReader("template", geometry="all")  # type: ignore[arg-type]  # a wrong value on purpose
    with pytest.raises(ConfigError, match="a model file for detector 'template'"):
        PhotoReader("template", dense="mean_head", geometry="none", model=tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="input_px"):
        PhotoReader("template", dense="mean_head", geometry="none", onnx={"points": 68})
    with pytest.raises(ConfigError, match="No such file"):
        PhotoReader("template", weights=tmp_path / "absent.safetensors")
