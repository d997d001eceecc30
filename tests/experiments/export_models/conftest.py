"""One small training and its export, made once: an export takes seconds, whatever its network."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from spooflab.adapters.train_job import TrainJob
from spooflab.adapters.train_job import train as train_job
from spooflab.experiments.export import ExportConfig, export_run, find_run

TRAINING = {
    "backbone": {"name": "resnet-tiny", "options": {"hidden_sizes": [8, 8, 8, 8], "embedding_size": 8}},
    "size": 32,
    "steps": 4,
    "batch_size": 16,
    "eval_every": 2,
    "checkpoint_every": None,
}


@pytest.fixture(scope="session")
def fast() -> ExportConfig:
    """An export without what takes time and is not looked at."""
    return ExportConfig(latency=False, bootstrap=20)


@pytest.fixture(scope="session")
def data(
    tmp_path_factory: pytest.TempPathFactory,
    indexed: Callable[..., pa.Table],
    stored: Callable[[Path, pa.Table], Path],
) -> Path:
    """A data set of two species."""
    index = indexed(subjects=8, species=("bonafide", "print_a4", "replay_phone"))
    return stored(tmp_path_factory.mktemp("store") / "data", index)


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that left one species out."""
    out = tmp_path_factory.mktemp("trained") / "run"
    job = TrainJob.model_validate({"without_species": ["replay_phone"], "dev_share": 0.5, "training": TRAINING})
    train_job(job, data, out)
    return out


@pytest.fixture(scope="session")
def exported(trained: Path, fast: ExportConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export to ONNX."""
    out = tmp_path_factory.mktemp("exported") / "model"
    export_run(find_run(trained), out, fast)
    return out
