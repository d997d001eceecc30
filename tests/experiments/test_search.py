"""A search draws what it says, chooses on the sources alone, and goes on as if it had never stopped."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import kstest

from spooflab.adapters import ALGORITHMS, TEST_TIME, BackboneConfig
from spooflab.adapters.backbones import build_backbone
from spooflab.adapters.train_config import hyperparameters
from spooflab.cli.search import search as search_command
from spooflab.cli.study import study as study_command
from spooflab.config import load_config, parse_config
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.protocols import column
from spooflab.experiments.run import execute
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.search import Lane, plan_search, run_search
from spooflab.experiments.search_config import SearchConfig, SearchSettings
from spooflab.experiments.search_report import write_search
from spooflab.experiments.search_space import Space, propose, search_space
from spooflab.experiments.study import plan_study, train_settings
from spooflab.experiments.study_config import StudyConfig
from spooflab.experiments.training import Trained
from spooflab.store import read_index

Task = Callable[[RunSpec, Path], None]
BEST_LR, BEST_WEIGHT = 3e-4, 4.0


def searched(study_yaml: dict[str, Any], **changes: Any) -> SearchConfig:
    protocol = {"name": "leave_one_attack_out", "only": ["print_a4"], "split": {"test": 0.34, "dev": 0.17}}
    return parse_config(study_yaml | {"protocol": protocol} | changes, SearchConfig, origin="search.yaml")


def trainer_on(index: pa.Table, *, refuse: Callable[[RunSpec], BaseException | None] = lambda _: None) -> Task:
    """A trainer whose dev error is a quadratic of log lr (and log weight), with its optimum at `BEST_LR`."""
    label = dict(zip(column(index, "key").tolist(), column(index, "label").tolist(), strict=True))

    def trainer(spec: RunSpec, _: Path) -> Trained:
        if error := refuse(spec):
            raise error
        settings = spec.train_config
        miss = math.log10(settings["lr"] / BEST_LR) ** 2
        if settings["algorithm"] == "dann":
            miss += 0.2 * math.log10(settings["hparams"].get("weight", 1.0) / BEST_WEIGHT) ** 2
        # Bona fide score 1 − miss / 5, attacks 0: no errors, so the log loss alone tells settings apart.
        score = {
            key: max(0.02, 0.99 - miss / 5) if label[key] == "bonafide" else 0.01 for key in (*spec.dev, *spec.test)
        }
        return Trained(np.array([score[k] for k in spec.dev]), np.array([score[k] for k in spec.test]), 1, 1.0)

    def task(spec: RunSpec, out: Path) -> None:
        folder = RunFolder(out / "runs" / spec.run_id)
        execute(spec, folder, index=index, pictures=lambda keys: [], trainer=trainer)

    return task


def searching(config: SearchConfig, index: pa.Table, out: Path, task: Task) -> tuple[list[Lane], dict[str, Any]]:
    _, lanes = plan_search(config, data=out.parent, index=index)
    run_search(config, lanes, out, command="x", task=task)
    return lanes, write_search(config, lanes, out, "x")


def told(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("trials.parquet", "search.json", "study.yaml")}


@pytest.mark.parametrize("name", [*ALGORITHMS, *TEST_TIME])
def test_every_range_is_of_a_number_that_the_constructor_takes(name: str) -> None:
    kind: Any = {**ALGORITHMS, **TEST_TIME}[name]
    known = hyperparameters(kind) if name in ALGORITHMS else {f: getattr(kind, f) for f in kind.__dataclass_fields__}
    for hyper, (low, high, scale) in kind.SEARCH.items():
        assert type(known[hyper]) in (int, float), hyper
        assert low < high
        assert scale in ("log", "linear")
        assert scale == "linear" or low > 0
        for value in (low, high):
            own = {hyper: round(value) if isinstance(known[hyper], int) else value}
            if name in TEST_TIME:
                kind(**own)
            else:
                kind(build_backbone(BackboneConfig(), 32), num_domains=3, **own)


def test_random_draws_are_those_of_domainbed(study_yaml: dict[str, Any]) -> None:
    config = searched(study_yaml)
    space = search_space(config.algorithms[1], train_settings(config, "DANN"), config.search)
    drawn = propose(space, config.search, ("dann", "f", 0), [], 400)
    assert set(space.ranges) == {
        "lr",
        "weight_decay",
        "batch_size",
        "hparams.weight",
        "hparams.gradient_penalty",
        "hparams.d_steps",
    }
    for name, low, high in (("lr", -4.5, -2.5), ("weight_decay", -6, -2), ("hparams.weight", -2, 2)):
        exponent = np.log10([params[name] for params in drawn])
        assert kstest(exponent, "uniform", args=(low, high - low)).pvalue > 1e-3
    sizes = {params["batch_size"] for params in drawn}
    assert all(isinstance(size, int) for size in sizes)
    assert 8 <= min(sizes) <= 10
    assert 40 <= max(sizes) <= 45
    # Fewer draws are the beginning of more, and another fold draws others.
    assert propose(space, config.search, ("dann", "f", 0), [], 3) == drawn[:3]
    assert propose(space, config.search, ("dann", "g", 0), [], 3) != drawn[:3]


def test_tpe_comes_nearer_to_the_optimum_than_chance(study_yaml: dict[str, Any]) -> None:
    settings = SearchSettings(sampler="tpe", common={"lr": (10**-4.5, 10**-2.5, "log")})
    config = searched(study_yaml)
    whole = search_space(config.algorithms[0], train_settings(config, "ERM"), settings)
    space = Space({"lr": whole.ranges["lr"]}, {"lr": 1e-3})

    def miss(params: dict[str, Any]) -> float:
        return abs(math.log10(params["lr"] / BEST_LR))

    late = []
    for seed in range(5):
        tried: list[tuple[dict[str, Any], float | None]] = [({"lr": 1e-3}, miss({"lr": 1e-3})), ({"lr": 2e-3}, None)]
        for place in range(9):
            new = propose(space, settings.model_copy(update={"seed": seed}), (place,), tried, 4)
            tried += [(params, miss(params)) for params in new]
        late.append(np.mean([value for _, value in tried[-12:] if value is not None]))
    # Uniform draws of the exponent miss by the mean of |x − log10 BEST_LR| over [−4.5, −2.5]: 0.50.
    centre = math.log10(BEST_LR)
    chance = ((centre + 4.5) ** 2 + (-2.5 - centre) ** 2) / 4
    assert np.mean(late) < 0.6 * chance  # five standard errors of 60 uniform draws


def test_a_default_outside_of_its_range_is_tried_as_it_is(
    study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path
) -> None:
    config = searched(study_yaml, search={"trials": 2, "sampler": "tpe", "round": 1})
    lanes, _ = searching(config, index, tmp_path / "out", trainer_on(index))
    dann = lanes[1].trials[0]
    assert dann.params["hparams.gradient_penalty"] == 0.0
    assert dann.runs[0].train_config == train_settings(config, "DANN")
    assert lanes[1].trials[1].params != dann.params


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_stopped_search_ends_as_one_that_was_not(
    sampler: str, study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path
) -> None:
    config = searched(study_yaml, search={"trials": 10, "sampler": sampler, "startup": 3, "round": 3})
    lanes, summary = searching(config, index, tmp_path / "whole", trainer_on(index))
    assert summary["unfinished"] == []
    assert [len(lane.trials) for lane in lanes] == [10, 10]

    left = [13]

    def stops(_: RunSpec) -> BaseException | None:
        left[0] -= 1
        return KeyboardInterrupt() if left[0] < 0 else None

    with pytest.raises(KeyboardInterrupt):
        searching(config, index, tmp_path / "cut", trainer_on(index, refuse=stops))
    assert len(list((tmp_path / "cut").glob("runs/*/done"))) == 13
    searching(config, index, tmp_path / "cut", trainer_on(index))
    assert told(tmp_path / "cut") == told(tmp_path / "whole")
    # Done, the same command trains nothing; more trials begin with the same ones.
    never = trainer_on(index, refuse=lambda spec: AssertionError(spec.name))
    searching(config, index, tmp_path / "cut", never)
    assert told(tmp_path / "cut") == told(tmp_path / "whole")
    more = searched(study_yaml, search={"trials": 12, "sampler": sampler, "startup": 3, "round": 3})
    longer, _ = searching(more, index, tmp_path / "cut", trainer_on(index))
    assert [t.params for t in longer[0].trials[:10]] == [t.params for t in lanes[0].trials]


def test_the_best_on_the_sources_is_chosen_and_the_study_runs_it_at_other_seeds(
    study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path
) -> None:
    tent = {"name": "erm", "test_time": "tent"}
    config = searched(study_yaml, algorithms=[*study_yaml["algorithms"], tent], search={"trials": 8}, seeds=[3, 4])
    lanes, summary = searching(config, index, tmp_path / "out", trainer_on(index))
    assert [lane.columns for lane in lanes] == [("ERM", "erm + tent"), ("DANN",)]
    rows = pq.read_table(tmp_path / "out" / "trials.parquet").to_pylist()
    for lane in lanes:
        mine = [row for row in rows if row["algorithm"] == lane.label]
        best = min(mine, key=lambda row: (row["figure"], row["loss"], row["trial"]))
        assert best["chosen"]
        assert sum(row["chosen"] for row in mine) == 1
    assert "2 algorithms get 8 trials each on every fold" in summary["answer"]
    assert "test" not in json.dumps(summary["lanes"])
    chosen = load_config(tmp_path / "out" / "study.yaml", StudyConfig)
    runs = plan_study(chosen, data=tmp_path, index=index).runs
    assert {run.seed for run in runs} == {3, 4}
    for lane in lanes:
        assert lane.best is not None
        for run in (run for run in runs if run.label in lane.columns):
            assert run.train_config == lane.best.runs[0].train_config
            assert run.test


def test_no_trial_is_given_a_test_row(study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path) -> None:
    config = searched(study_yaml, search={"trials": 2})
    plan, lanes = plan_search(config, data=tmp_path, index=index)
    tested = set(plan.runs[0].test)
    run_search(config, lanes, tmp_path, command="x", task=trainer_on(index))
    for run in (run for lane in lanes for trial in lane.trials for run in trial.runs):
        assert not tested & {*run.train, *run.dev, *run.test}
    domains = searched(study_yaml, search={"trials": 2, "selection": "leave_one_domain_out"})
    _, lanes = plan_search(domains, data=tmp_path, index=index)
    device = dict(zip(column(index, "key").tolist(), column(index, "device_profile").tolist(), strict=True))
    assert len(lanes[0].specs) == 4
    for run in lanes[0].specs:
        left_out = run.held_out[-1]
        assert {device[key] for key in run.test} == {left_out}
        assert left_out not in {device[key] for key in (*run.train, *run.dev)}
        assert not tested & {*run.train, *run.dev, *run.test}
        assert set(run.test) <= set(plan.runs[0].dev)
    run_search(domains, lanes, tmp_path, command="x", task=trainer_on(index))
    assert lanes[0].trials[1].status == "done"
    assert len(lanes[0].trials[1].runs) == 4


def test_a_training_that_diverges_is_a_result_and_a_dead_one_is_not(
    study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path
) -> None:
    def refuse(spec: RunSpec) -> BaseException | None:
        name, lr = spec.train_config["algorithm"], spec.train_config["lr"]
        if name == "dann":
            return None if lr == 1e-3 else MemoryError("out of memory")
        return DataError("loss not finite at step 3") if lr > 5e-4 else None

    config = searched(study_yaml, search={"trials": 8, "sampler": "tpe", "round": 2, "startup": 3})
    lanes, summary = searching(config, index, tmp_path / "out", trainer_on(index, refuse=refuse))
    erm, dann = lanes
    assert {trial.status for trial in erm.trials} == {"done", "failed"}
    assert erm.trials[0].reason == "loss not finite at step 3"
    assert len(dann.trials) == 2
    assert summary["unfinished"] == ["DANN · print_a4: stopped at trial 1: out of memory"]
    assert summary["answer"].endswith("1 of 2 searches are not finished.")
    assert "At default settings" in (tmp_path / "out" / "study.yaml").read_text()
    # Tried again without the cause, the lane ends as if nothing had been.
    mended = trainer_on(index, refuse=lambda spec: refuse(spec) if "ERM" in spec.label else None)
    searching(config, index, tmp_path / "out", mended)
    searching(config, index, tmp_path / "whole", mended)
    assert told(tmp_path / "out") == told(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"trials": 0}}, r"search\.trials"),
        ({"search": {"sampler": "grid"}}, r"search\.sampler.*'random' or 'tpe'"),
        ({"search": {"common": {"lr": [1, 0, "log"]}}}, r"common\.lr: 1\.0 to 0\.0 log"),
        ({"search": {"seed": 0}}, r"search\.seed 0 is among seeds"),
        ({"search": {"ranges": {"irm": {}}}}, r"search\.ranges of \['irm'\]"),
        ({"search": {"common": {"stepz": [1, 9, "linear"]}}}, r"ERM has no number 'stepz' to search"),
        ({"search": {"common": {"tracker": [1, 9, "linear"]}}}, r"ERM has no number 'tracker'"),
        ({"search": {"common": {}}}, r"the file fixes every setting of ERM"),
        ({"algorithms": [{"name": "cdan"}]}, r"cdan adapts to a target, and source-dev holds none"),
        ({"algorithms": [{"name": "erm", "by_fold": {"x": {}}}]}, r"settings by fold already"),
    ],
)
def test_wrong_searches_are_refused_before_anything_runs(
    changes: dict[str, Any], message: str, study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_search(searched(study_yaml, **changes), data=tmp_path, index=index)


def test_what_the_file_fixes_is_not_searched(study_yaml: dict[str, Any]) -> None:
    fixed = {"name": "dann", "hparams": {"weight": 3.0}, "train": {"lr": 0.01}}
    config = searched(study_yaml, algorithms=[fixed, {"name": "mcd"}], train={"batch_size": 24})
    space = search_space(config.algorithms[0], train_settings(config, "dann"), config.search)
    assert set(space.ranges) == {"weight_decay", "batch_size", "hparams.gradient_penalty", "hparams.d_steps"}
    assert space.default["batch_size"] == 24
    whole = search_space(config.algorithms[1], train_settings(config, "mcd"), config.search)
    drawn = propose(whole, config.search, ("mcd",), [], 20)
    assert {type(params["hparams.repeat"]) for params in drawn} == {int}


def test_settings_of_an_unknown_fold_are_refused(study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path) -> None:
    config = StudyConfig.model_validate(study_yaml | {"algorithms": [{"name": "erm", "by_fold": {"print_a5": {}}}]})
    with pytest.raises(ConfigError, match="by_fold names print_a5"):
        plan_study(config, data=tmp_path, index=index)


@pytest.mark.slow
def test_the_command_searches_without_test_images_and_workers_change_nothing(
    tmp_path: Path,
    indexed: Callable[..., pa.Table],
    stored: Callable[[Path, pa.Table], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    from spooflab.adapters import ImageSet

    data = stored(tmp_path / "data", indexed(subjects=12, species=("bonafide", "print_a4", "replay_phone")))
    path = tmp_path / "s.yaml"
    train = {"size": 32, "steps": 4, "eval_every": 2, "warmup_steps": 0, "checkpoint_every": None}
    whole = {
        "data": str(data),
        "algorithms": [{"name": "erm", "label": "ERM"}, {"name": "dann"}],
        "protocol": {"name": "leave_one_attack_out", "only": ["print_a4"]},
        "train": train,
        "bootstrap": 100,
        "search": {"trials": 4, "sampler": "tpe", "round": 2, "startup": 1},
    }
    path.write_text(yaml.safe_dump(whole))
    out = tmp_path / "out"
    assert search_command(path, out, dry_run=True) == 0
    assert not out.exists()
    capsys.readouterr()

    plan = plan_study(load_config(path, SearchConfig), data=data, index=read_index(data))
    tested = set(plan.runs[0].test)
    load = ImageSet.load.__func__  # type: ignore[attr-defined]

    def guarded(cls: Any, root: Path, rows: Any = None, *args: Any, **kwargs: Any) -> Any:
        assert not tested & set(rows)
        return load(cls, root, rows, *args, **kwargs)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have
    try:
        with monkeypatch.context() as patch:
            patch.setattr(ImageSet, "load", classmethod(guarded))
            assert search_command(path, out, workers=0, json=True) == 0
    finally:
        torch.set_num_threads(threads)
    summary = json.loads(capsys.readouterr().out)
    assert [lane["trials"]["done"] + lane["trials"]["failed"] for lane in summary["lanes"]] == [4, 4]
    assert summary["source_to_test"] == []

    script = tmp_path / "go.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom spooflab.cli.search import search\n"
        "if __name__ == '__main__':\n    sys.exit(search(Path(sys.argv[1]), Path(sys.argv[2]), workers=2))\n"
    )
    command = [sys.executable, str(script), str(path), str(tmp_path / "pool")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("trials.parquet", "study.yaml"):
        assert (tmp_path / "pool" / name).read_bytes() == (out / name).read_bytes()

    assert study_command(out / "study.yaml", out / "study", workers=0) == 0
    capsys.readouterr()
    assert search_command(path, out, workers=0, json=True) == 0
    gaps = json.loads(capsys.readouterr().out)["source_to_test"]
    assert [gap["algorithm"] for gap in gaps] == ["ERM", "dann"]
    assert all(gap["gap"] == gap["test"] - gap["source"] for gap in gaps)
