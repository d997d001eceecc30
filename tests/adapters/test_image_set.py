"""Image sets from a store, and a whole training job from one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from spooflab.adapters import ImageSet, TrainConfig, TrainJob, load_model, train
from spooflab.adapters.image_set import to_training_size
from spooflab.adapters.train_job import chosen_rows, dev_subjects
from spooflab.cli.train import train as train_command
from spooflab.errors import ConfigError, DataError
from spooflab.images import encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA
from spooflab.reader import read_index
from spooflab.sample import QC_FIGURES, Sample
from spooflab.store import Store

SPECIES = ("bonafide", "print_a4", "bonafide", "replay_phone")
DEVICES = ("kiosk", "dslr", "old_phone")


def picture(number: int, size: int = 40) -> np.ndarray:
    rng = np.random.default_rng(number)
    image = rng.integers(40, 160, (size, size, 3), dtype=np.uint8)
    if SPECIES[number % 4] == "bonafide":
        image[:, ::4] += 60
    return image


def sample(number: int) -> Sample:
    species, device = SPECIES[number % 4], DEVICES[number // 4 % 3]
    group = number // 4 % 8
    return Sample.create(
        key=f"s{number:05d}",
        species=species,
        image=encode_png(picture(number)),
        params={},
        qc=dict.fromkeys(QC_FIGURES, 1.0),
        landmarks=[],
        box=[],
        seed=number,
        device_id=f"{device}/u{number % 2}",
        device_profile=device,
        subject_id=f"p{group}",
        subject_group=f"g{group}",
        source_id=f"p{group}s0",
        face_source="procedural",
        instrument_id="" if species == "bonafide" else "i0",
        digital_source_type=ALGORITHMIC_MEDIA,
        licence="Apache-2.0",
        code_version="test",
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "data"
    store = Store.create(folder, {"n": 96}, shards=2)
    for shard in range(2):
        lease = store.claim(shard)
        assert lease is not None
        store.commit(lease, [sample(i) for i in range(48 * shard, 48 * shard + 48)])
    return folder


def test_load_takes_rows_in_order_with_labels_and_domains(root: Path):
    keys = ["s00050", "s00003", "s00004"]
    images = ImageSet.load(root, keys, 40, ("device_profile",))
    assert list(images.keys) == keys
    assert list(images.species) == [SPECIES[2], SPECIES[3], SPECIES[0]]
    assert images.labels.tolist() == [1, 0, 1]
    # dslr < kiosk in sorted order; 50 and 3 are kiosk, 4 is dslr.
    assert images.domains.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(images.images[1].permute(1, 2, 0).numpy(), picture(3))


def test_load_takes_a_table_or_everything_and_any_columns(root: Path):
    index = read_index(root)
    table = index.take([5, 1])
    assert list(ImageSet.load(root, table, 40).keys) == table.column("key").to_pylist()
    whole = ImageSet.load(root, None, 20, ("device_profile", "species"))
    assert list(whole.keys) == sorted(index.column("key").to_pylist())
    assert len(whole.domains.unique()) == 9
    assert whole.images.shape == (96, 3, 20, 20)


def test_resizing_filters_first():
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, ::2] = 200  # at the sensor's Nyquist limit; a quarter of the size must show a flat grey
    small = to_training_size(stripes, 20)
    assert small.shape == (3, 20, 20)
    assert bool(((small[:, 2:-2, 2:-2].int() - 100).abs() <= 2).all())
    expected = np.asarray(Image.fromarray(stripes).resize((20, 20), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(small.permute(1, 2, 0).numpy(), expected)


def test_load_names_what_is_missing(root: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no sample 'nobody' \\(1 unknown\\)"):
        ImageSet.load(root, ["s00001", "nobody"], 40)
    with pytest.raises(DataError, match="no samples asked for"):
        ImageSet.load(root, pa.table({"key": pa.array([], pa.string())}), 40)
    with pytest.raises(DataError, match="domain_by"):
        ImageSet.load(root, None, 40, ("camera",))
    with pytest.raises(DataError):
        ImageSet.load(tmp_path, None, 40)


def test_image_sets_refuse_what_does_not_fit(toy: Callable[..., ImageSet]):
    good = toy(4)
    fields = dict(vars(good))
    for change, message in [
        ({"images": good.images.float()}, "uint8"),
        ({"labels": good.labels[:3]}, "labels"),
        ({"labels": good.labels * 2}, "bona fide"),
        ({"keys": ["a", "a", "b", "c"]}, "keys repeat"),
        ({"species": ["x"]}, "1 species"),
        ({"domains": good.domains - 1}, "domains ≥ 0"),
    ]:
        with pytest.raises(DataError, match=message):
            ImageSet(**{**fields, **change})


def test_dev_shares_no_subject_group_with_training(root: Path):
    index = read_index(root)
    rows = chosen_rows(index, TrainJob(without_species=("print_a4",), without_devices=("kiosk", "dslr/u0")))
    kept = index.take(rows)
    assert "print_a4" not in kept.column("species").to_pylist()
    assert set(kept.column("device_id").to_pylist()) == {"dslr/u1", "old_phone/u0", "old_phone/u1"}
    groups = index.column("subject_group").to_pylist()
    assert len(dev_subjects(groups, 0.25, seed=1)) == 2
    assert dev_subjects(groups, 0.25, seed=1) == dev_subjects(groups[::-1], 0.25, seed=1)
    assert len({frozenset(dev_subjects(groups, 0.25, seed=s)) for s in range(6)}) > 1
    assert len(dev_subjects(groups, 0.99, seed=1)) == 7
    with pytest.raises(DataError, match="1 subject group"):
        dev_subjects(["g0", "g0"], 0.2, seed=0)
    with pytest.raises(DataError, match="print_b5 not in the data"):
        chosen_rows(index, TrainJob(without_species=("print_b5",)))


JOB = {
    "seed": 3,
    "dev_share": 0.25,
    "without_species": ["print_a4"],
    "training": {
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}},
        "size": 40,
        "steps": 30,
        "eval_every": 15,
        "batch_size": 16,
        "lr": 0.003,
        "device": "cpu",
    },
}


def test_a_job_trains_from_a_store(root: Path, tmp_path: Path):
    result = train(TrainJob.model_validate(JOB), root, tmp_path)
    assert result.steps == 30
    assert result.dev_history[-1]["eer"] < 0.2
    assert isinstance(TrainConfig.model_validate(JOB["training"]), TrainConfig)


def test_a_job_adapts_to_what_it_leaves_out(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given: dict[str, object] = {}
    monkeypatch.setattr("spooflab.adapters.train_job.fit", lambda config, **kwargs: given.update(kwargs))
    training = {**JOB["training"], "algorithm": "coral_target"}
    train(TrainJob.model_validate({**JOB, "training": training, "without_devices": ["dslr"]}), root, tmp_path)
    index = read_index(root).to_pylist()
    left_out = sorted(r["key"] for r in index if r["species"] == "print_a4" or r["device_profile"] == "dslr")
    assert list(given["target"].keys) == left_out
    seen = {*given["train"].keys, *given["dev"].keys}
    assert sorted({*seen, *left_out}) == sorted(r["key"] for r in index)
    train(TrainJob.model_validate(JOB), root, tmp_path)
    assert given["target"] is None
    with pytest.raises(DataError, match="coral_target adapts to what is left out, and nothing is"):
        train(TrainJob.model_validate({**JOB, "training": training, "without_species": []}), root, tmp_path)


def test_the_command_prints_json_alone_on_stdout(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(JOB), encoding="utf-8")  # JSON is YAML
    assert train_command(path, out=tmp_path / "out", data=root, json=True) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert summary["best_step"] in (15, 30)
    assert "dev EER" in printed.err
    model = load_model(tmp_path / "out")
    with torch.inference_mode():
        assert model.predict(torch.rand(2, 3, 40, 40)).shape == (2,)
    with pytest.raises(ConfigError, match="no data"):
        train_command(path, out=tmp_path / "other")


@pytest.mark.slow
def test_the_command_finds_a_rate_and_trains_nothing(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(JOB), encoding="utf-8")
    assert train_command(path, out=tmp_path / "out", data=root, find_lr=True, json=True) == 0
    printed = capsys.readouterr()
    suggestion = json.loads(printed.out)["suggestion"]
    assert 1e-6 < suggestion < 1
    assert f"fell fastest at {suggestion:.2e}" in printed.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["lr_finder.csv", "lr_finder.json"]
