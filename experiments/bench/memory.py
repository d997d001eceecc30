"""Flat memory: many samples of every species through one `Lab` in one process, and what that does to its resident set.

Memory is flat when it does not grow with the number of samples. The resident set is read at intervals, and a line is
fitted to the last three quarters of the readings: in the first, tables and caches fill. A process that keeps freed
memory (`spooflab.allocator`) has slack in which a leak could hide, so where glibc tells how much of its heap is in use,
that is read and fitted too, and must be flat as well.
"""

import ctypes
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.catalogue import known_attacks
from spooflab.generators.config import GenerationConfig, ProceduralFacesConfig
from spooflab.generators.lab import Lab
from spooflab.generators.plan import make_plan

SENSOR_PX, OUTPUT_PX = 128, 64
READINGS = 100
LEAST_SAMPLES = 40
FLAT_MB_PER_1000 = 5.0
"""Growth up to this counts as none. One stored 64 px picture that every sample left behind would be 12 MB per 1000."""
_STATM = Path("/proc/self/statm")
_MB = 1e6


@dataclass(frozen=True)
class MemoryReport:
    """What a run did to the process's memory.

    Attributes:
        samples: how many were made or refused.
        skipped: how many of those were refused (`SkipSample`).
        species: how many species took turns.
        seconds: processor time.
        start_mb: resident set before the first sample.
        warm_mb: the same at the start of the fitted part.
        last_mb: the same at the end.
        high_mb: the highest that the system recorded for the process, from its very start.
        slope_mb_per_1000: least squares over the last three quarters of the resident set's readings.
        in_use_mb: heap in use at the end; None where the C library does not tell.
        in_use_slope_mb_per_1000: the same line through the readings of that.
        flat: whether these slopes are at most `flat_mb_per_1000`.
        flat_mb_per_1000: the criterion.
    """

    samples: int
    skipped: int
    species: int
    seconds: float
    start_mb: float
    warm_mb: float
    last_mb: float
    high_mb: float
    slope_mb_per_1000: float
    in_use_mb: float | None
    in_use_slope_mb_per_1000: float | None
    flat: bool
    flat_mb_per_1000: float = FLAT_MB_PER_1000

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


Progress = Callable[[int, float, float | None], None]


def measure_memory(samples: int, *, progress: Progress | None = None) -> MemoryReport:
    """Make `samples` samples as `spooflab generate` does, pictures encoded and dropped, and report the memory.

    Bona fide and every known attack, chains among them, take turns on rendered faces by all shipped kinds of camera.

    Args:
        samples: how many, at least 40.
        progress: called at each reading with the samples done, the resident set and the heap in use, MB.

    Raises:
        ConfigError: too few samples to fit a line to, or a system that does not tell the resident set.
    """
    if samples < LEAST_SAMPLES:
        raise ConfigError(f"bench memory: {samples} samples", wanted=f"at least {LEAST_SAMPLES}")
    attacks = known_attacks()
    config = GenerationConfig(
        n=samples,
        faces=(ProceduralFacesConfig(subjects=64, sessions=4),),
        attacks=attacks,
        bonafide_share=1 / (1 + len(attacks)),
        sensor_px=SENSOR_PX,
        face_px=SENSOR_PX,
        output_px=OUTPUT_PX,
    )
    lab = Lab(config)
    plan = make_plan(config, lab.refs(), lab.device_ids)
    every = max(1, samples // READINGS)
    done, resident, in_use, skipped = [0], [resident_mb()], [in_use_mb()], 0
    began = time.process_time()
    for number in range(1, samples + 1):
        try:
            lab.make(plan.spec(number - 1))
        except SkipSample:
            skipped += 1
        if number % every == 0 or number == samples:
            done.append(number)
            resident.append(resident_mb())
            in_use.append(in_use_mb())
            if progress is not None:
                progress(number, resident[-1], in_use[-1])
    return report(
        done,
        resident,
        [mb for mb in in_use if mb is not None],
        high_mb=high_water_mb(),
        skipped=skipped,
        species=1 + len(attacks),
        seconds=time.process_time() - began,
    )


def report(
    done: Sequence[int],
    resident: Sequence[float],
    in_use: Sequence[float],
    *,
    high_mb: float,
    skipped: int,
    species: int,
    seconds: float,
) -> MemoryReport:
    """Judge a series of readings.

    Args:
        done: samples done at each reading, rising, the first one before any.
        resident: resident set in MB at each reading.
        in_use: heap in use in MB at each reading; empty where it is not told.
        high_mb: the process's high-water mark.
        skipped: samples refused.
        species: how many took turns.
        seconds: processor time.
    """
    kept = [k for k, count in enumerate(done) if count >= done[-1] / 4]
    counts = [done[k] for k in kept]
    slope = slope_per_1000(counts, [resident[k] for k in kept])
    heap_slope = slope_per_1000(counts, [in_use[k] for k in kept]) if in_use else None
    return MemoryReport(
        samples=done[-1],
        skipped=skipped,
        species=species,
        seconds=seconds,
        start_mb=resident[0],
        warm_mb=resident[kept[0]],
        last_mb=resident[-1],
        high_mb=max(high_mb, *resident),
        slope_mb_per_1000=slope,
        in_use_mb=in_use[-1] if in_use else None,
        in_use_slope_mb_per_1000=heap_slope,
        flat=max(slope, heap_slope or 0.0) <= FLAT_MB_PER_1000,
    )


def slope_per_1000(done: Sequence[int], resident: Sequence[float]) -> float:
    """Return the slope of the least-squares line through the readings, in MB per 1000 samples.

    Raises:
        ConfigError: fewer than two different counts.
    """
    at, value = torch.tensor(done, dtype=torch.float64), torch.tensor(resident, dtype=torch.float64)
    spread = at - at.mean()
    if len(done) < 2 or not bool(spread.any()):
        raise ConfigError(f"bench memory: {len(done)} readings to fit a line to", wanted="two or more")
    return float((spread * (value - value.mean())).sum() / spread.square().sum() * 1000)


def resident_mb() -> float:
    """Return the process's resident set now.

    Raises:
        ConfigError: the system has no `/proc/self/statm`.
    """
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except FileNotFoundError as error:
        raise ConfigError(f"bench memory: no {_STATM} on {sys.platform}", wanted="Linux") from error
    return pages * resource.getpagesize() / _MB


class _Mallinfo2(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
                     "keepcost")
    ]  # fmt: skip


def in_use_mb() -> float | None:
    """Return what the process has allocated and not freed: main arena and mapped blocks; None without glibc 2.33."""
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None) if platform.libc_ver()[0] == "glibc" else None
    if tell is None:
        return None
    tell.restype = _Mallinfo2
    found = tell()
    return float((found.uordblks + found.hblkhd) / _MB)


def high_water_mb() -> float:
    """Return the largest resident set that the process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MB if sys.platform == "darwin" else peak * 1024 / _MB
