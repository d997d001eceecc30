"""Is a data loader's randomness sound? Four properties, each with its evidence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spooflab.augment.bridges.loader_probe import LoaderProbe, Row

_DRAWS = 16
_BY_CHANCE = 1e-3
_SHOWN = 8


@dataclass(frozen=True)
class Verdict:
    """What was found about one property.

    Attributes:
        name: `distinct`, `epochs`, `workers` or `batch_size`.
        status: `none` where there is no randomness to judge, or too little to tell.
        detail: the evidence in one sentence.
        indices: samples that show the failure.
    """

    name: str
    status: Literal["pass", "fail", "none"]
    detail: str
    indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class LoaderReport:
    """What was found about a loader.

    Attributes:
        random: whether anything random was seen at all.
        sources: random sources that the data set and collate function use in this process.
        verdicts: one for each property.
    """

    random: bool
    sources: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """Whether no property failed."""
        return all(verdict.status != "fail" for verdict in self.verdicts)


def check_loader(probe: LoaderProbe, *, samples: int = 16, workers: Sequence[int] = (0, 1, 2, 4)) -> LoaderReport:
    """Judge the loader behind `probe` on up to `samples` indices, spread over the data set.

    distinct: no two workers draw the same random stream. epochs: a second pass is augmented anew. workers, batch_size:
    an index in an epoch comes out the same for every number of workers, and in batches of every size.
    """
    total = len(probe.first.dataset)  # type: ignore[arg-type]  # the probe has checked that it has a length
    count = min(samples, total)
    indices = [i * (total - 1) // max(1, count - 1) for i in range(count)]
    several = max(2, *workers)
    shared = max(1, min(probe.batch_size, count // several))  # a larger batch may leave all samples to one worker
    base = probe.run(indices, workers=0, batch_size=shared, epochs=2)
    pair = probe.run(indices, workers=2, batch_size=shared, epochs=2)
    known = {0: base[0], 2: pair[0]}
    by_count = {n: known.get(n) or probe.run(indices, workers=n, batch_size=shared)[0] for n in workers}
    by_size = {
        size: pair[0] if size == shared else probe.run(indices, workers=2, batch_size=size)[0]
        for size in sorted({1, probe.batch_size, 2 * probe.batch_size})
    }
    reseeded = probe.run(indices, workers=0, batch_size=shared, seed=7)[0]
    telling = _telling(indices, base[0], base[1], reseeded, *by_count.values())
    one, many = [telling] * _DRAWS, [telling] * (_DRAWS * several)
    serial = probe.run(one, workers=0, batch_size=1)[0]
    parallel = probe.run(many, workers=several, batch_size=1)[0]

    sources = tuple(probe.random_sources(indices[:4]))
    runs = [*base, *pair, *by_count.values(), reseeded]
    varies = any(_both(run) != _both(base[0]) for run in runs) or len({r.sample for r in serial + parallel}) > 1
    varies = varies or any(_samples(run) != _samples(base[0]) for run in by_size.values())
    if not varies and not sources:
        said = f"no randomness: {count} indices never changed, and no random source is used"
        names = ("distinct", "epochs", "workers", "batch_size")
        return LoaderReport(False, (), tuple(Verdict(name, "none", said) for name in names))
    verdicts = (
        _distinct(serial, parallel, several),
        _epochs({0: base, 2: pair}, sources if not varies else ()),
        _workers(by_count),
        _batch_size(by_size),
    )
    return LoaderReport(True, sources, verdicts)


def _telling(indices: list[int], first: list[Row], *others: list[Row]) -> int:
    """Return an index whose sample is seen to change: a black picture shows no change of brightness."""
    changes = [sum(first[i].sample != run[i].sample for run in others) for i in range(len(indices))]
    return indices[max(range(len(indices)), key=lambda i: changes[i])]


def _distinct(serial: list[Row], parallel: list[Row], workers: int) -> Verdict:
    index = serial[0].index
    streams = [[row.both for row in parallel if row.worker == worker] for worker in range(workers)]
    counts = Counter(row.both for row in serial)
    if len(counts) == 1 and len({pair for stream in streams for pair in stream}) == 1:
        return Verdict("distinct", "pass", f"index {index} always draws the same: no stream that workers could share")
    twins = [(a, b) for b in range(workers) for a in range(b) if streams[a] == streams[b]]
    same = sum((n / len(serial)) ** 2 for n in counts.values()) ** len(streams[0])
    shared = _shared(streams) if len(counts) == len(serial) else 0
    if twins and same > _BY_CHANCE and len(counts) > 1:
        return Verdict("distinct", "none", f"{_DRAWS} draws of index {index} vary too little to tell streams apart")
    if twins or shared:
        who = "; ".join(f"{a} and {b}" for a, b in twins[:3]) or "several"
        different = len({pair for stream in streams for pair in stream})
        return Verdict(
            "distinct",
            "fail",
            f"workers {who} drew the same: {different} different results in {len(parallel)} draws of index {index} "
            f"by {workers} workers",
            (index,),
        )
    return Verdict(
        "distinct", "pass", f"{workers} workers drew index {index} {_DRAWS} times each, no two alike in order"
    )


def _shared(streams: list[list[tuple[str, str]]]) -> int:
    owners = Counter(pair for stream in streams for pair in set(stream))
    return sum(1 for n in owners.values() if n > 1)


def _epochs(runs: dict[int, list[list[Row]]], hidden: tuple[str, ...]) -> Verdict:
    for workers, (first, second) in runs.items():
        same = [a.index for a, b in zip(first, second, strict=True) if a.both == b.both]
        if len(same) == len(first):
            why = f" (though {', '.join(hidden)} is used)" if hidden else ""
            said = f"{len(same)} of {len(first)} indices are the same in epochs 0 and 1 with {workers} workers{why}"
            return Verdict("epochs", "fail", f"{said}: {_listed(same)}", tuple(same))
    first, second = runs[0]
    changed = sum(a.both != b.both for a, b in zip(first, second, strict=True))
    return Verdict("epochs", "pass", f"{changed} of {len(first)} indices change from epoch 0 to 1")


def _workers(runs: dict[int, list[Row]]) -> Verdict:
    base, *others = runs
    for count in others:
        pairs = zip(runs[base], runs[count], strict=True)
        differ = [a.index for a, b in pairs if a.both != b.both]
        if differ:
            said = f"{len(differ)} of {len(runs[base])} indices differ between {base} and {count} workers"
            return Verdict("workers", "fail", f"{said}: {_listed(differ)}", tuple(differ))
    for count in runs:
        made = len({row.worker for row in runs[count]})
        if made < count:
            said = f"{len(runs[base])} indices are too few to compare: only {made} of {count} workers made any"
            return Verdict("workers", "none", said)
    said = f"{len(runs[base])} indices are the same with {', '.join(map(str, runs))} workers"
    return Verdict("workers", "pass", said)


def _batch_size(runs: dict[int, list[Row]]) -> Verdict:
    base, *others = runs
    for size in others:
        pairs = zip(runs[base], runs[size], strict=True)
        differ = [a.index for a, b in pairs if a.sample != b.sample]
        if differ:
            said = f"{len(differ)} of {len(runs[base])} indices differ between batches of {base} and {size} (2 workers)"
            return Verdict("batch_size", "fail", f"{said}: {_listed(differ)}", tuple(differ))
    said = f"{len(runs[base])} indices are the same in batches of {', '.join(map(str, runs))}"
    return Verdict("batch_size", "pass", said)


def _both(rows: list[Row]) -> list[tuple[str, str]]:
    return [row.both for row in rows]


def _samples(rows: list[Row]) -> list[str]:
    return [row.sample for row in rows]


def _listed(indices: list[int]) -> str:
    return ", ".join(map(str, indices[:_SHOWN])) + (", ..." if len(indices) > _SHOWN else "")
