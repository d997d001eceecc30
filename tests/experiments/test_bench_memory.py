"""Whether memory stays flat is judged by a line through the readings; a leak must be called one."""

import ast
import json
import mmap
import os
from pathlib import Path

import pytest
import torch

import spooflab
from spooflab.cli.main import run
from spooflab.errors import ConfigError
from spooflab.experiments.bench import memory
from spooflab.seeds import generator

DONE = list(range(0, 10_001, 100))
NOISE = [float(x) for x in torch.randn(len(DONE), generator=generator(0, "resident"))]


def judge(resident: list[float], in_use: list[float] | None = None, high: float = 0.0) -> memory.MemoryReport:
    return memory.report(DONE, resident, in_use or [], high_mb=high, skipped=3, species=38, seconds=1.0)


def warm_up(done: int) -> float:
    """Return MB that fill in the first thousand samples and stay."""
    return 1500.0 + 300.0 * min(done, 1000) / 1000


def test_a_series_that_only_warms_up_is_flat() -> None:
    made = judge([warm_up(n) + noise for n, noise in zip(DONE, NOISE, strict=True)], high=2000.0)
    assert made.flat
    assert abs(made.slope_mb_per_1000) < 0.2
    assert (made.samples, made.skipped, made.species) == (10_000, 3, 38)
    assert made.warm_mb == pytest.approx(1800, abs=3)
    assert made.high_mb == 2000


@pytest.mark.parametrize("bytes_per_sample", [12_288, 64_000, 2_000_000])
def test_a_series_that_leaks_is_not(bytes_per_sample: int) -> None:
    """Even one picture of 64 px and three bytes a pixel that each sample leaves behind."""
    leak = [warm_up(n) + n * bytes_per_sample / 1e6 + noise for n, noise in zip(DONE, NOISE, strict=True)]
    made = judge(leak)
    assert not made.flat
    assert made.slope_mb_per_1000 == pytest.approx(bytes_per_sample / 1000, rel=0.02, abs=0.2)
    assert made.high_mb == max(leak)


def test_a_leak_that_hides_in_the_slack_of_kept_memory_is_found() -> None:
    resident = [warm_up(n) for n in DONE]
    made = judge(resident, [800 + n * 12_288 / 1e6 for n in DONE])
    assert (made.slope_mb_per_1000, made.flat) == (pytest.approx(0, abs=1e-9), False)
    assert made.in_use_slope_mb_per_1000 == pytest.approx(12.288)
    assert judge(resident, [800.0] * len(DONE)).flat


def test_the_slope_is_that_of_least_squares() -> None:
    assert memory.slope_per_1000([0, 1000, 2000], [10.0, 14.0, 12.0]) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="line"):
        memory.slope_per_1000([5, 5], [1.0, 2.0])


def test_the_resident_set_is_read() -> None:
    before = memory.resident_mb()
    with mmap.mmap(-1, 64_000_000) as ballast:
        ballast[:] = b"x" * len(ballast)
        assert memory.resident_mb() - before > 50
    assert memory.high_water_mb() >= before


@pytest.mark.skipif(memory.in_use_mb() is None, reason="the C library does not tell")
def test_the_heap_in_use_is_read_and_freed_memory_is_not_counted() -> None:
    before = memory.in_use_mb()
    ballast = bytearray(64_000_000)
    during = memory.in_use_mb()
    del ballast
    after = memory.in_use_mb()
    assert before is not None
    assert during is not None
    assert after is not None
    assert during - before == pytest.approx(64, abs=2)
    assert after - before == pytest.approx(0, abs=2)


def test_systems_that_do_not_tell_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_STATM", memory.Path("/nonexistent/statm"))
    with pytest.raises(ConfigError, match="statm"):
        memory.resident_mb()


def caches(source: str) -> list[tuple[str, int | None]]:
    """Return each cached function's name and its bound, None where there is none."""
    found: list[tuple[str, int | None]] = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        for mark in function.decorator_list:
            called = mark.func if isinstance(mark, ast.Call) else mark
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name not in ("lru_cache", "cache"):
                continue
            given = [*mark.args, *(k.value for k in mark.keywords)] if isinstance(mark, ast.Call) else []
            bound = given[0].value if given and isinstance(given[0], ast.Constant) else None
            found.append((function.name, bound if isinstance(bound, int) else None))
    return found


def files(root: Path) -> list[Path]:
    """Return the package's Python files, those behind its links too."""
    return [Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in names
            if name.endswith(".py")]  # fmt: skip


@pytest.mark.slow
def test_every_cache_names_its_bound() -> None:
    """A cache without one, keyed by sizes or seeds, is the leak that a long run finds first."""
    assert caches("@cache\ndef f(): ...\n@lru_cache(maxsize=3)\ndef g(): ...\n@lru_cache\ndef h(): ...") == [
        ("f", None), ("g", 3), ("h", None),
    ]  # fmt: skip
    root = Path(spooflab.__path__[0])
    every = {path: caches(path.read_text(encoding="utf-8")) for path in files(root)}
    listed = [(path.name, name, bound) for path, found in every.items() for name, bound in found]
    assert len(listed) > 60
    assert [one for one in listed if one[2] is None or one[2] > 256] == []


def test_too_few_samples_are_refused() -> None:
    assert run(["bench", "memory", "--samples", "3"]) == 2


@pytest.mark.slow
def test_every_species_takes_its_turn_through_the_lab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    real = memory.Lab.make

    def make(lab: memory.Lab, spec: object) -> object:
        made.append(spec.species)  # type: ignore[attr-defined]  # a SampleSpec
        return real(lab, spec)  # type: ignore[arg-type]

    monkeypatch.setattr(memory.Lab, "make", make)
    assert run(["bench", "memory", "--samples", "48", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(made) == {"bonafide", *memory.known_attacks()}
    assert report["samples"] == len(made) == 48
    assert report["start_mb"] <= report["last_mb"] <= report["high_mb"]
