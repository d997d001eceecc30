"""The embedded benchmark names what it should, and its table says no more than the resamples do."""

from pathlib import Path

import numpy as np
import pytest

from spooflab.adapters import ALGORITHMS
from spooflab.errors import ConfigError
from spooflab.experiments.benchmark_table import Row, benchmark_table, two_sided
from spooflab.experiments.embedded_benchmark import packaged, replace_between_markers
from spooflab.experiments.study import train_settings
from spooflab.experiments.study_config import StudyConfig
from spooflab.generators.config import GenerationConfig
from spooflab.taxonomy import SPECIES


def test_it_is_as_large_as_it_should_be():
    data = packaged("generation", GenerationConfig)
    assert len(data.attacks) >= 8
    assert len({SPECIES[part].family for name in data.attacks for part in name.split("+")}) >= 6
    assert len(data.devices) >= 6
    study = packaged("studies", StudyConfig)
    assert {a.name for a in study.algorithms} == set(ALGORITHMS)
    assert len(study.seeds) >= 3
    for algorithm in study.algorithms:
        train_settings(study, algorithm.title)


def test_p_of_resampled_differences():
    values = np.random.default_rng(0).normal(1.96, 1, 100_000)
    assert two_sided(values) == pytest.approx(0.05, abs=0.002)
    assert two_sided(np.ones(9_999)) == 2 / 10_000
    assert two_sided(np.zeros(10)) == 1.0


def test_only_what_outlives_the_correction_is_called_better():
    base = Row("erm", "generalisation", 0.2, 0.2, 0.9, 0.1, 0.3)
    told = [Row("x", "adaptation", 0.1, 0.1, 0.9, 0.1, 0.3, -0.1, (-0.1, -0.1), p) for p in (0.04, 0.06)]
    rows = [base, *told]
    lines = benchmark_table(rows, "acer", "erm").splitlines()[2:]
    assert lines[0] == "| `erm` | generalisation | 20.0 (10.0 to 30.0) | 20.0 | 90.0 |  |  |  |"
    assert lines[1].endswith("| −10.0 (−10.0 to −10.0) | 0.040 | better |")
    assert lines[2].endswith("| 0.060 |  |")
    assert Row("y", "adaptation", 0.3, 0.3, 0.9, 0, 1, 0.1, (0, 0), 0.01).verdict == "worse"


def test_a_table_replaces_the_one_between_its_markers(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- /x -->\nb\n")
    for text in ("new\n", "newer \\1\n"):
        replace_between_markers(page, "x", text)
        assert page.read_text() == f"a\n<!-- x -->\n{text}<!-- /x -->\nb\n"
    with pytest.raises(ConfigError, match=r"page\.md"):
        replace_between_markers(page, "y", "")
