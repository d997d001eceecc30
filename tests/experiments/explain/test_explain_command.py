"""From a study's folder to `explain.json`, pictures and the report; and what is said when something is gone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from spooflab.adapters import TrainConfig
from spooflab.adapters.model_files import build_algorithm, save_model
from spooflab.cli.explain import explain
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.report import write_report
from spooflab.experiments.run import execute
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.study import plan_study, run_study
from spooflab.experiments.study_config import StudyConfig
from spooflab.experiments.training import Trained
from spooflab.images import encode_mask, encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA, code_version
from spooflab.sample import QC_FIGURES, Sample
from spooflab.store import Store, read_index

pytestmark = pytest.mark.slow

_NAMES = (
    *("device_id", "device_profile", "subject_id", "subject_group", "source_id", "face_source", "licence"),
    *("instrument_id", "donor_id"),
)


def masked_store(root: Path, index: pa.Table) -> Path:
    """Prints cover the left half of the frame, replays all of it."""
    store = Store.create(root, {"made": "by a test"}, shards=1)
    samples = []
    for place, row in enumerate(index.to_pylist()):
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[:, : {"print_a4": 16, "replay_phone": 32}.get(row["species"], 0)] = 255
        pixels = np.random.default_rng(place).normal(120, 25, (32, 32, 3)) + 0.2 * mask[..., None]
        samples.append(
            Sample.create(
                key=row["key"],
                species=row["species"],
                image=encode_png(np.clip(pixels, 0, 255).astype(np.uint8)),
                mask=encode_mask(mask),
                params={"facts": {"distance_mm": 300.0 + place, "face_px": float(place % 7)}},
                qc=dict.fromkeys(QC_FIGURES, 1.0),
                landmarks=[],
                box=[],
                seed=place,
                digital_source_type=ALGORITHMIC_MEDIA,
                code_version=code_version(),
                **{name: row[name] for name in _NAMES},
            )
        )
    lease = store.claim(0)
    assert lease is not None
    with lease:
        store.commit(lease, samples)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, indexed: Callable[..., pa.Table]) -> tuple[Path, Path]:
    """A study whose networks are untrained and whose scores are made up, on a data set with masks."""
    root = tmp_path_factory.mktemp("explained")
    # Few devices are enough for one camera each.
    table = indexed(subjects=32, species=("bonafide", "print_a4", "replay_phone"))
    kept = pa.array([name in ("dslr", "kiosk") for name in table.column("device_profile").to_pylist()])
    data = masked_store(root / "data", table.filter(kept))
    index = read_index(data)
    labels = dict(zip(index.column("key").to_pylist(), index.column("label").to_pylist(), strict=True))

    def trainer(spec: RunSpec, folder: Path) -> Trained:
        config = TrainConfig.model_validate(spec.train_config)
        with torch.random.fork_rng():
            torch.manual_seed(spec.seed)
            model = build_algorithm(config, num_domains=2)
        folder.mkdir(parents=True)
        save_model(model, config, folder, notes={})
        rng = np.random.default_rng(spec.seed)
        dev, test = (
            np.array([rng.beta(5, 3) if labels[key] == "bonafide" else rng.beta(3, 5) for key in keys])
            for keys in (spec.dev, spec.test)
        )
        return Trained(dev, test, best_step=1, seconds=1.0)

    def task(spec: RunSpec, out: Path) -> None:
        folder = RunFolder(out / "runs" / spec.run_id)
        execute(spec, folder, index=index, pictures=lambda _: [], trainer=trainer)

    config = StudyConfig.model_validate(
        {
            "protocol": {"name": "leave_one_attack_out", "split": {"test": 0.5, "dev": 0.2}},
            "algorithms": [{"name": "erm", "label": "ERM"}, {"name": "erm", "label": "Tent", "test_time": "tent"}],
            "train": {"size": 32, "steps": 1, "backbone": {"name": "resnet-tiny"}},
            "seeds": [0],
            "bootstrap": 100,
            "workers": 0,
        }
    )
    run_study(plan_study(config, data=data, index=index), root / "out", command="spooflab study s.yaml", task=task)
    return root / "out", data


def ask(out: Path, **changes: Any) -> int:
    return explain(out, **{"sample": 40, "attacks": 8, "shown": 1, "fold": "print_a4"} | changes)


def test_the_command_explains_and_the_report_shows_it(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = finished
    write_report(out)
    assert f"spooflab explain {out}" in (out / "report.html").read_text()
    assert ask(out) == 0
    told = capsys.readouterr().out
    assert "ERM · print_a4 · seed 0" in told
    assert "integrated gradients: largest inside the spoof in" in told
    found = json.loads((out / "explain" / "explain.json").read_text())
    (cell,) = found["cells"].values()
    assert cell["saliency"]["playing"] == ["print_a4"]
    line = cell["saliency"]["methods"]["integrated gradients"]["lines"][-1]
    assert (line["of"], line["attacks"], line["chance"]) == ("all", 8, 0.5)
    assert len(cell["embedding"]["places"]) == 40 + 32  # the fold has 32 training rows
    assert set(found["physics"]["ERM"]["species"]) == {"print_a4"}
    write_report(out)
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == len(cell["saliency"]["pictures"]) == 2
    assert "Features by device" in page
    assert "<script" not in page

    # The other fold joins; its masks fill the frame.
    assert ask(out, fold="replay_phone", json=True) == 0
    both = json.loads(capsys.readouterr().out)
    assert len(both["cells"]) == 2
    saliency = next(c for c in both["cells"].values() if c["fold"] == "replay_phone")["saliency"]
    assert saliency["whole_frame"] == {"replay_phone": 1.0}
    assert saliency["methods"] == {}
    write_report(out)
    assert "the game would be won anywhere: replay_phone (median 100 % of the frame)" in (
        out / "report.html"
    ).read_text().replace("<wbr>", "")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"fold": "masks"}, ConfigError, "no fold 'masks'"),
        ({"algorithm": "DANN"}, ConfigError, "no algorithm 'DANN'"),
        ({"algorithm": "Tent"}, ConfigError, "adapts at test time"),
        ({"seed": 3}, ConfigError, "no seed 3"),
        ({"sample": 3}, ConfigError, "--sample 3"),
        ({"data": Path("nowhere")}, DataError, "nowhere: the data set"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    finished: tuple[Path, Path], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask(finished[0], **changes)


def test_a_network_that_is_gone_is_named_with_the_way_to_make_it_again(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    import shutil

    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    for folder in out.glob("runs/*/training"):
        shutil.rmtree(folder)
    with pytest.raises(DataError, match=r"ERM · print_a4 · seed 0: the network to explain is gone") as caught:
        ask(out)
    assert "repeat the study's command" in caught.value.next_step


def test_a_broken_file_of_results_is_named(finished: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "explain").mkdir(exist_ok=True)
    (out / "explain" / "explain.json").write_text("{")
    with pytest.raises(DataError, match=r"explain\.json"):
        write_report(out)
    (out / "explain" / "explain.json").write_text('{"format": 0}')
    write_report(out)
    assert "Nothing has been explained yet" in (out / "report.html").read_text()


def test_another_data_set_is_refused(
    finished: tuple[Path, Path], tmp_path: Path, indexed: Callable[..., pa.Table], stored: Callable[..., Path]
) -> None:
    other = stored(tmp_path / "other", indexed(subjects=4, species=("bonafide", "print_a4")))
    with pytest.raises(DataError, match="its samples are not those of run"):
        ask(finished[0], data=other)
