"""Exported detectors: the same scores as PyTorch, a card that tells the truth, the same bytes again, clear refusals."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
import yaml

from spooflab.adapters import ImageSet, TrainConfig, load_model, predict_scores
from spooflab.adapters.dev_figures import dev_figures
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.train_job import JOB
from spooflab.cli.study import study
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.export import Choice, ExportConfig, export_run, find_run
from spooflab.experiments.export.calibration_rows import calibration_pictures
from spooflab.experiments.export.card_page import LATENCY_HEADING
from spooflab.experiments.export.detector import Detector
from spooflab.experiments.export.figures import operating_points
from spooflab.experiments.export.int8 import quantise
from spooflab.experiments.export.onnx_graph import to_onnx, with_facts
from spooflab.experiments.export.parity import made_up_pictures, measure_parity
from spooflab.experiments.export.runtime import Scores, in_batches, onnx_runtime, pytorch_runtime
from spooflab.experiments.metrics import evaluate
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.scores import ScoreSet

pytestmark = pytest.mark.slow

TINY = {"name": "resnet-tiny", "options": {"hidden_sizes": [8, 8, 8, 8], "embedding_size": 8}}


@pytest.fixture
def made_before(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the seconds of torch's exporter: the graph is that of the same training."""
    model = (exported / "model.onnx").read_bytes()
    monkeypatch.setattr("spooflab.experiments.export.export.to_onnx", lambda _detector: model)


def small_detector(size: int = 32, **settings: Any) -> Detector:
    torch.manual_seed(0)
    config = TrainConfig.model_validate({"size": size, "backbone": TINY, **settings})
    model = build_algorithm(config, num_domains=2).eval()
    model.score_temperature = 1.7
    return Detector(model, size)


def test_onnx_scores_are_those_of_the_model_in_use(exported: Path, trained: Path) -> None:
    model = load_model(trained)
    pictures = np.random.default_rng(3).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        wanted = model.predict(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255).numpy()
    got = in_batches(onnx_runtime((exported / "model.onnx").read_bytes(), name="model"), pictures, 4)
    assert np.abs(got.likelihood - wanted).max() < 1e-5


def test_the_card_tells_of_the_file_and_of_the_rows(exported: Path, trained: Path) -> None:
    card = json.loads((exported / "card.json").read_text())
    content = (exported / "model.onnx").read_bytes()
    assert card["model"]["sha256"] == hashlib.sha256(content).hexdigest()
    run = find_run(trained)
    dev = ImageSet.load(run.data, run.dev, 32)
    figures = dev_figures(predict_scores(load_model(trained), dev), dev.labels.numpy())
    assert card["decision"]["dev_eer"] == pytest.approx(figures["eer"], abs=1e-12)
    assert card["data"]["species_seen"] == ["bonafide", "print_a4"]
    assert card["held_out"]["values"] == ["replay_phone"]
    assert card["data"]["synthetic_share"] == 1.0
    assert card["parity"]["score"] <= 1e-4
    assert any("simulated" in text for text in card["limits"])
    facts = {entry.key: entry.value for entry in onnx.load_model_from_string(content).metadata_props}
    assert float(facts["spooflab.threshold"]) == card["decision"]["threshold"]
    page = (exported / "card.md").read_text()
    assert card["model"]["sha256"] in page
    assert repr(card["decision"]["threshold"]) in page


@pytest.mark.slow
def test_export_again_gives_the_same_bytes_and_no_folder_of_this_machine(
    exported: Path, trained: Path, tmp_path: Path, fast: ExportConfig
) -> None:
    export_run(find_run(trained), tmp_path / "again", fast.model_copy(update={"latency": True}))
    for name in ("model.onnx", "card.json"):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()
    pages = [(folder / "card.md").read_text().split(LATENCY_HEADING) for folder in (exported, tmp_path / "again")]
    assert pages[0][0] == pages[1][0]
    assert re.search(r"\| 32 \| [\d.e+]+ ms", pages[1][1])
    for file in exported.iterdir():
        assert str(Path(__file__).parents[2]).encode() not in file.read_bytes()
        assert str(trained).encode() not in file.read_bytes()


@pytest.mark.usefixtures("made_before")
def test_a_file_that_differs_is_refused_and_nothing_is_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: ExportConfig
) -> None:
    def shifted(data: bytes, **options: Any) -> Any:
        real = onnx_runtime(data, **options)
        return lambda pictures: Scores(real(pictures).log_odds, real(pictures).likelihood + 2e-4)

    monkeypatch.setattr("spooflab.experiments.export.export.onnx_runtime", shifted)
    with pytest.raises(DataError, match="parity"):
        export_run(find_run(trained), tmp_path / "out", fast)
    assert not (tmp_path / "out").exists()


def test_parity_sees_nan_and_the_largest_difference() -> None:
    def says(value: float) -> Any:
        return lambda pictures: Scores(np.zeros(len(pictures)), np.full(len(pictures), value))

    pictures = made_up_pictures(16)
    assert measure_parity(says(0.5), says(0.50005), pictures, size=16).score == pytest.approx(5e-5)
    with pytest.raises(DataError):
        measure_parity(says(0.5), says(np.nan), pictures, size=16)


def test_the_graph_refuses_floats_other_sizes_and_planar_pictures(exported: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(exported / "model.onnx", options, providers=["CPUExecutionProvider"])
    for shape, kind in (((1, 32, 32, 3), np.float32), ((1, 48, 48, 3), np.uint8), ((1, 3, 32, 32), np.uint8)):
        with pytest.raises(Exception, match=r"(?i)invalid|unexpected"):
            session.run(None, {"images": np.zeros(shape, kind)})


VIT = {"name": "vit-tiny", "options": {"patch_size": 8, "num_hidden_layers": 1, "hidden_size": 32}}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": VIT},
        {"backbone": {**VIT, "tuning": "lora"}},
        {"backbone": VIT, "pixel": {"mask_weight": 1.0, "score": "map"}},
        {"pixel": {"mask_weight": 1.0, "score": "mean", "stage": 1}},
        {"backbone": {"name": "convnext-tiny"}},
        {"algorithm": "safas"},
        {"algorithm": "ssdg"},
        {"algorithm": "mcd"},
    ],
    ids=["vit", "lora", "vit-map", "map", "convnext", "safas", "ssdg", "mcd"],
)
@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_every_kind_of_network_keeps_its_scores(settings: dict[str, Any], kind: str) -> None:
    from spooflab.experiments.export.torchscript import load_torchscript, to_torchscript

    detector = small_detector(**settings)
    if kind == "onnx":
        runtime = onnx_runtime(to_onnx(detector), name="model")
    else:
        runtime = pytorch_runtime(load_torchscript(to_torchscript(detector)))
    parity = measure_parity(pytorch_runtime(detector), runtime, made_up_pictures(32), size=32)
    assert parity.score < 1e-5


def test_low_rank_updates_are_merged_into_the_weights() -> None:
    torch.manual_seed(0)
    config = TrainConfig.model_validate({"size": 32, "backbone": {**VIT, "tuning": "lora"}})
    model = build_algorithm(config, num_domains=2).eval()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    detector = Detector(model, 32)
    assert not [name for name, _ in detector.named_parameters() if "lora" in name]
    pictures = torch.from_numpy(made_up_pictures(32))
    with torch.inference_mode():
        wanted = model.log_odds(pictures.permute(0, 3, 1, 2).float() / 255)
        assert torch.allclose(detector(pictures)[0], wanted, atol=1e-5)
    assert [name for name, _ in model.named_parameters() if "lora" in name]


def test_torchscript_keeps_the_scores(trained: Path, tmp_path: Path, fast: ExportConfig) -> None:
    config = fast.model_copy(update={"format": "torchscript"})
    card = export_run(find_run(trained), tmp_path / "out", config)
    assert card["parity"]["score"] < 1e-5
    assert (tmp_path / "out" / "model.pt").is_file()


@pytest.mark.usefixtures("made_before")
def test_8_bits_are_calibrated_on_dev_and_told(
    monkeypatch: pytest.MonkeyPatch, trained: Path, tmp_path: Path, exported: Path, fast: ExportConfig
) -> None:
    # Four steps of training leave scores that are all alike, whose order 8 bits may change.
    monkeypatch.setattr("spooflab.experiments.export.export.MOST_AUC_LOST", 1.0)
    card = export_run(find_run(trained), tmp_path / "out", fast.model_copy(update={"int8": True}))
    told = card["int8"]
    assert card["model"]["precision"] == "int8"
    assert set(told["auc"]) == {"source-dev"}  # a training by itself keeps no rows to judge it
    assert "8 bits" in (tmp_path / "out" / "card.md").read_text()


@pytest.mark.usefixtures("made_before")
def test_8_bits_that_lose_too_much_are_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: ExportConfig
) -> None:
    monkeypatch.setattr("spooflab.experiments.export.export.MOST_AUC_LOST", -2.0)
    with pytest.raises(DataError, match=r"minmax loses .* percentile loses"):
        export_run(find_run(trained), tmp_path / "out", fast.model_copy(update={"int8": True}))
    assert not (tmp_path / "out").exists()


def test_held_out_pictures_calibrate_nothing(trained: Path, data: Path) -> None:
    run = find_run(trained)
    dev = np.zeros((len(run.dev), 32, 32, 3), np.uint8)
    with pytest.raises(DataError, match="judge this model"):
        calibration_pictures(run, dev, data, 8)
    pictures, words = calibration_pictures(run, dev, None, 8)
    assert len(pictures) == 8
    assert "source-dev" in words


def test_quantised_weights_are_8_bit_but_for_the_head(exported: Path) -> None:
    model = (exported / "model.onnx").read_bytes()
    pictures = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    small = quantise(model, pictures, "minmax")
    graph = onnx.load_model_from_string(small.data).graph
    constant = {entry.name: entry for entry in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert not [node for node in convolutions if node.input[1] in constant]
    head = next(node for node in graph.node if node.op_type == "Gemm")
    assert constant[head.input[1]].data_type == onnx.TensorProto.FLOAT
    assert small.kept == 1
    assert small.nodes == len(convolutions)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [VIT, {"name": "convnext-tiny"}], ids=["vit", "convnext"])
def test_other_backbones_in_8_bits_score_nearly_alike_and_the_same_again(backbone: dict[str, Any]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    pictures[::2] //= 3
    model = to_onnx(small_detector(backbone=backbone))
    small = quantise(model, pictures, "minmax")
    wanted, got = (onnx_runtime(data, name="model")(pictures).likelihood for data in (model, small.data))
    assert np.abs(wanted - got).max() < 0.5 * wanted.std()
    assert quantise(model, pictures, "minmax").data == small.data
    assert small.nodes > 3


def test_facts_in_the_file_are_bounded() -> None:
    made = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    data = with_facts(made.SerializeToString(), {"a": "x" * 10_000})
    assert len(onnx.load_model_from_string(data).metadata_props[0].value) == 4096


def test_operating_points_of_a_hand_count() -> None:
    score = [0.9, 0.8, 0.7, 0.2, 0.6, 0.3, 0.1]
    dev = ScoreSet.build(score, [False] * 4 + [True] * 3)
    points = {(p["target"], p["at_most"]): p for p in operating_points(dev, dev)}
    assert points["apcer", 0.01]["threshold"] == 0.7
    assert points["apcer", 0.01]["dev_bpcer"] == 0.25
    assert points["bpcer", 0.01]["threshold"] == 0.2
    assert points["bpcer", 0.01]["dev_apcer"] == pytest.approx(2 / 3)
    assert points["bpcer", 0.01]["test_apcer"] == pytest.approx(2 / 3)
    assert not points["bpcer", 0.1]["resolved"]


def test_calibrate_fits_the_temperature_and_keeps_the_ranking(
    trained: Path, tmp_path: Path, exported: Path, fast: ExportConfig
) -> None:
    card = export_run(
        find_run(trained), tmp_path / "out", fast.model_copy(update={"calibrate": True, "format": "torchscript"})
    )
    before = json.loads((exported / "card.json").read_text())
    assert card["calibration"]["temperature"] != 1
    assert "at export" in card["calibration"]["words"]
    assert card["calibration"]["ece_before"] == pytest.approx(before["calibration"]["ece_after"], abs=1e-6)
    assert card["decision"]["dev_auc"] == pytest.approx(before["decision"]["dev_auc"], abs=1e-3)


def test_refusals(trained: Path, tmp_path: Path, exported: Path, fast: ExportConfig) -> None:
    run = find_run(trained)
    for changes, text in (
        ({"int8": True, "format": "torchscript"}, "--int8"),
        ({"calibration": tmp_path}, "without --int8"),
    ):
        with pytest.raises(ConfigError, match=text):
            export_run(run, tmp_path / "x", fast.model_copy(update=changes))
    with pytest.raises(ConfigError, match="holds a training"):
        export_run(run, trained, fast)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(ConfigError, match="other files"):
        export_run(run, tmp_path / "mine", fast)
    with pytest.raises(ConfigError, match="neither a training"):
        find_run(tmp_path)
    with pytest.raises(ConfigError, match="--fold F"):
        find_run(trained, Choice(fold="F"))
    with pytest.raises(DataError, match="data of the run"):
        find_run(trained, data=tmp_path)


def test_a_column_that_adapts_while_it_scores_has_no_fixed_network(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json("run.json", {"label": "Tent", "identity": {"test_time": {"name": "tent"}}})
    for name in ("scores.parquet", "worst.parquet"):
        folder.write_table(name, pa.table({"key": ["a"]}))
    with pytest.raises(DataError, match="not finished"):
        find_run(tmp_path)
    folder.finish()
    with pytest.raises(ConfigError, match="Tent adapts to the images that it judges"):
        find_run(tmp_path)


def test_other_data_than_the_runs_are_refused(
    trained: Path, tmp_path: Path, indexed: Callable[..., pa.Table], stored: Callable[[Path, pa.Table], Path]
) -> None:
    other = stored(tmp_path / "data", indexed(subjects=12, species=("bonafide", "print_a4", "replay_phone")))
    with pytest.raises(DataError, match="is not the data set"):
        find_run(trained, data=other)
    assert (trained / JOB).is_file()


@pytest.mark.slow
def test_a_studys_cell_is_chosen_judged_and_kept_within_a_point_in_8_bits(
    tmp_path: Path,
    fast: ExportConfig,
    indexed: Callable[..., pa.Table],
    stored: Callable[[Path, pa.Table], Path],
) -> None:
    data = stored(tmp_path / "data", indexed(species=("bonafide", "print_a4", "replay_phone")))
    train = {"size": 32, "steps": 60, "batch_size": 16, "eval_every": 20, "checkpoint_every": None, "calibrate": True}
    whole = {"algorithms": [{"name": "erm", "label": "ERM"}], "train": train, "bootstrap": 100, "workers": 0}
    whole |= {"seeds": [0, 1], "protocol": {"name": "leave_one_attack_out", "split": {"test": 0.5, "dev": 0.25}}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(whole))
    out = tmp_path / "study"
    assert study(tmp_path / "s.yaml", out, data=data) == 0
    with pytest.raises(ConfigError, match="fits 4 cells"):
        find_run(out)
    run = find_run(out, Choice("ERM", "print_a4", 1))
    assert run.fold == "print_a4"
    card = export_run(run, tmp_path / "model", fast.model_copy(update={"int8": True, "bootstrap": 100}))
    for pair in card["int8"]["auc"].values():
        assert abs(pair["lost"]) <= 0.01
    assert run.recorded is not None
    test = run.recorded.filter(pa.array([part == "test" for part in run.recorded.column("split").to_pylist()]))
    truth = ScoreSet.build(
        test.column("score").to_numpy(), [label == "attack" for label in test.column("label").to_pylist()]
    )
    assert card["int8"]["auc"]["held out"]["float"] == pytest.approx(evaluate(truth).auc, abs=1e-9)
    assert card["held_out"]["figures"]["auc"]["low"] <= card["held_out"]["figures"]["auc"]["value"]
    assert card["data"]["species_seen"] == ["bonafide", "replay_phone"]
