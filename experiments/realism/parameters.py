"""Which recorded parameters would have to move for simulated pictures to look like the real ones.

Two lines of evidence that must agree:

1. *Reading.* A ridge regression learns, from simulated pictures alone, to read a parameter off a picture. Only
   parameters that it can read on unseen subjects are judged. What it reads off real pictures is compared with what it
   reads off simulated ones that it did not learn from; a permutation of subjects between the sides gives p, and Holm's
   procedure corrects it.
2. *Weighing.* Simulated pictures are weighted to look real, by the ratio of densities that the cross-fitted domain
   classifier gives (Sugiyama, Suzuki & Kanamori 2012), flattened until enough of them count. Weighted quantiles of the
   parameter say where the range would go.

Permuting weights over pictures would be no test: weights are a function of the picture and the picture depends on the
parameters, so that a classifier's mere noise goes with some of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spooflab.experiments.realism.domain import SURE, CrossFit, Domain, standardised, with_squares
from spooflab.experiments.realism.sides import Row
from spooflab.experiments.scores import BoolArray, FloatArray, IntArray, StrArray
from spooflab.experiments.statistics import holm

READABLE, _READ_FOR_SURE = 0.3, 3.1
"""Least correlation, on unseen subjects, of a parameter with what is read off the picture, and its least Fisher z."""
FEWEST_EFFECTIVE, LEAST_EFFECTIVE = 12, 0.15
"""Least effective sample size: pictures, and share of all."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_IDENTITY = ("device.sensor_matrix.", "device.ccm.", "device.unit", "device.view.size_px.", "device.view.aperture.")
"""What belongs to a unit and has no range of its own."""
_RIDGE = 1.0
_FLATTEN = (1.0, 0.75, 0.5, 0.25)
_FEW_VALUES, _FEWEST_OF_A_KIND = 8, 5
_CLIP = 0.98


@dataclass(frozen=True)
class Weights:
    """Importance weights of N simulated pictures, mean 1; `exponent` flattened them to `effective` pictures (Kish)."""

    values: FloatArray
    exponent: float
    effective: float

    @property
    def enough(self) -> bool:
        """Whether quantiles under them mean something."""
        return self.effective >= max(FEWEST_EFFECTIVE, LEAST_EFFECTIVE * len(self.values))


@dataclass(frozen=True)
class Moved:
    """One parameter.

    Attributes:
        name: dotted name of the record, or `instrument` or `device` and its value.
        kind: `range` or `share`.
        readable: correlation with what is read off unseen simulated pictures.
        shift: read off real less off simulated pictures, in standard deviations of the parameter (a share's own units).
        p: of the permutation; `adjusted` corrects it by Holm over all readable parameters of all species.
        explains: `signature_share`, the share of the difference between the sides that it alone would explain.
        before, after: quantiles (`QUANTILES`) of the recorded values, plain and weighted; one share each of a `share`.
        beyond: share of real pictures read past the simulated ones' middle 90 %, on the side of the shift.
        agrees: whether both lines of evidence point the same way.
    """

    name: str
    kind: str
    readable: float
    shift: float
    p: float
    explains: float
    before: tuple[float, ...]
    after: tuple[float, ...]
    beyond: float
    agrees: bool

    @property
    def sure(self) -> bool:
        """Whether it is a finding."""
        return self.p < SURE and self.agrees


def importance(fit: CrossFit, real: BoolArray) -> Weights:
    """Return weights of the synthetic pictures: the odds of being real, which are the ratio of densities.

    Cross-fitted scores become odds by a balanced logistic regression on that one number (Platt 1999): where they tell
    nothing apart, the weights are even.
    """
    from sklearn.linear_model import LogisticRegression

    score = fit.score.mean(0)
    score = (score - score.mean()) / max(float(score.std()), 1e-12)
    steepness = LogisticRegression(C=1e3, class_weight="balanced").fit(score[:, None], real).coef_[0, 0]
    log_ratio = max(0.0, float(steepness)) * score[~real]
    log_ratio = np.minimum(log_ratio, np.quantile(log_ratio, _CLIP))
    found = Weights(np.ones(len(log_ratio)), 0.0, float(len(log_ratio)))
    for exponent in _FLATTEN:
        values = np.exp(exponent * (log_ratio - log_ratio.max()))
        values /= values.mean()
        found = Weights(values, exponent, float(values.sum() ** 2 / (values**2).sum()))
        if found.enough:
            break
    return found


def weighted_quantiles(values: FloatArray, weights: FloatArray, at: Sequence[float] = QUANTILES) -> FloatArray:
    """Return quantiles of a weighted sample: its distribution function inverted, linear between middles of steps."""
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weights[order])
    return np.interp(at, (ends - weights[order] / 2) / ends[-1], values[order])


def targets(rows: Sequence[Row]) -> tuple[list[str], list[str], FloatArray]:
    """Return names, kinds and (N, T) values of what may be moved: numbers, and the shares of devices and instruments.

    A whole number of few values is a choice: each of its values is a share.
    """
    named: dict[str, FloatArray] = {}
    kinds: dict[str, str] = {}
    fields = sorted(set.intersection(*(set(row.physics) for row in rows))) if rows else []
    streams = [row.physics.get("device.stream", 0.0) for row in rows]
    # A still camera's record holds a rate factor that nothing used, a stream's a quality.
    idle = ("device.crf", "device.gop") if not any(streams) else ("device.quality",) if all(streams) else ()
    for name in fields:
        values = np.array([row.physics[name] for row in rows])
        seen = np.unique(values)
        if len(seen) < 2 or name.startswith(_IDENTITY) or name in idle or "phase" in name:
            continue
        if len(seen) <= _FEW_VALUES and bool((seen == seen.round()).all()):
            for value in seen if len(seen) > 2 else seen[1:]:
                named[f"{name} = {value:g}"], kinds[f"{name} = {value:g}"] = (values == value).astype(float), "share"
        else:
            named[name], kinds[name] = values, "range"
    for label, column in (("device", [r.device for r in rows]), ("instrument", [r.instrument for r in rows])):
        seen_names = sorted(set(column))
        for value in seen_names if len(seen_names) > 1 else ():
            named[f"{label} = {value}"] = np.array([entry == value for entry in column], dtype=float)
            kinds[f"{label} = {value}"] = "share"
    kept = [
        n for n, v in named.items() if kinds[n] == "range" or _FEWEST_OF_A_KIND <= v.sum() <= len(v) - _FEWEST_OF_A_KIND
    ]
    return kept, [kinds[n] for n in kept], np.stack([named[n] for n in kept], 1) if kept else np.empty((len(rows), 0))


@dataclass(frozen=True, eq=False)
class Reading:
    """What can be read off pictures of the recorded parameters of the synthetic ones.

    Attributes:
        names, kinds: of the T readable parameters.
        values: (n, T) as recorded.
        wanted: (n, T) the same as normal scores (shares: 0 and 1).
        told: (N, T) what is read off each picture, synthetic ones first.
        correlation: (T,) of `told` with `wanted` over the synthetic pictures.
        unreadable: how many more parameters are recorded.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    values: FloatArray
    wanted: FloatArray
    told: FloatArray
    correlation: FloatArray
    unreadable: int


def read_off(domain: Domain, fold: IntArray, rows: Sequence[Row], others: FloatArray) -> Reading:
    """Learn to read parameters off simulated pictures, and read them off all.

    Every picture is read by regressions that saw neither its subject group nor any real picture.

    Args:
        domain: matched pictures, synthetic first.
        fold: (R, N) of `deal`.
        rows: records of the synthetic pictures, the matched ones first.
        others: (M, F) features of those that were not matched, from which reading is learnt as well.
    """
    count = int((~domain.real).sum())
    names, kinds, values = targets(rows)
    wanted = _normal_scores(values, kinds) if names else values
    table = np.concatenate([domain.table[:count], others])
    group = np.array([row.group for row in rows])
    told = np.zeros((*fold.shape, wanted.shape[1]))
    for repeat, dealt in enumerate(fold if names else ()):
        for number in np.unique(dealt):
            test = dealt == number
            train = ~np.isin(group, domain.group[test])
            if train.sum() >= 2:
                known, shown = standardised(table[train], domain.table[test])
                told[repeat, test] = _ridge(with_squares(known), wanted[train], with_squares(shown))
    mean = told.mean(0)
    values, wanted = values[:count], wanted[:count]
    correlation = _correlation(mean[:count], wanted)
    sure = np.arctanh(correlation.clip(-0.99, 0.99)) * np.sqrt(max(1, count - 3))
    kept = np.flatnonzero((correlation >= READABLE) & (sure >= _READ_FOR_SURE))
    return Reading(
        tuple(names[i] for i in kept), tuple(kinds[i] for i in kept), values[:, kept], wanted[:, kept], mean[:, kept],
        correlation[kept], len(names) - len(kept),
    )  # fmt: skip


def _ridge(known: FloatArray, wanted: FloatArray, shown: FloatArray) -> FloatArray:
    """Ridge regression with an intercept for many outputs at once, by the kernel of the fewer rows."""
    centre, mean = known.mean(0), wanted.mean(0)
    x = known - centre
    kernel = x @ x.T + _RIDGE * x.shape[1] * np.eye(len(x))
    told: FloatArray = mean + (shown - centre) @ (x.T @ np.linalg.solve(kernel, wanted - mean))
    return told


def judge(
    domain: Domain, read: Reading, rows: Sequence[Row], weights: Weights, *, permutations: int, seed: int
) -> list[Moved]:
    """Return the readable parameters in the order of what they explain; p is not yet adjusted (`adjusted`).

    Args:
        domain: matched pictures, synthetic first.
        read: of `read_off`.
        rows: records of the synthetic pictures, in order.
        weights: of `importance`.
        permutations, seed: of the test.
    """
    if not read.names:
        return []
    shift, raw = permuted(read.told, domain.real, domain.subject, permutations=permutations, seed=seed)
    explained = signature_share(domain, read.wanted, shift, [row.device for row in rows])
    found = []
    for t, name in enumerate(read.names):
        moved = np.average(read.wanted[:, t], weights=weights.values) - read.wanted[:, t].mean()
        before, after = _distributions(read.values[:, t], weights.values, read.kinds[t])
        beyond = _beyond(read.told[:, t], domain.real, up=shift[t] > 0)
        agrees = bool(moved * shift[t] > 0)
        correlation = float(read.correlation[t])
        found.append(
            Moved(
                name,
                read.kinds[t],
                correlation,
                float(shift[t]),
                float(raw[t]),
                float(explained[t]),
                before,
                after,
                beyond,
                agrees,
            )
        )
    return sorted(found, key=lambda one: (-one.explains, one.name))


def adjusted(by_species: Mapping[str, list[Moved]]) -> dict[str, list[Moved]]:
    """Adjust every p by Holm over all readable parameters of all species: one report in twenty has a false alarm."""
    flat = [(species, one) for species, found in by_species.items() for one in found]
    corrected = holm([one.p for _, one in flat])
    out: dict[str, list[Moved]] = {species: [] for species in by_species}
    for (species, one), p in zip(flat, corrected, strict=True):
        out[species].append(replace(one, p=p))
    return {species: sorted(found, key=lambda one: not one.sure) for species, found in out.items()}


def signature_share(domain: Domain, wanted: FloatArray, shift: FloatArray, device: Sequence[str]) -> FloatArray:
    """Return (T,) the share of the difference between the sides that each parameter alone would explain.

    A parameter's signature is how the features move with it among simulated pictures of one camera profile. Signature
    and difference of the means are whitened by the features' covariance (Ledoit & Wolf 2004); their squared cosine is
    the share, 0 where the signature points the other way than `shift` says. Parameters of one cause share a signature.
    """
    from sklearn.covariance import LedoitWolf

    synthetic, real = standardised(domain.table[~domain.real], domain.table[domain.real])
    difference = real.mean(0) - synthetic.mean(0)
    _, member = np.unique(np.asarray(device), return_inverse=True)
    x, theta = _within(synthetic, member), _within(wanted, member)
    fitted = LedoitWolf().fit(x)
    values, vectors = np.linalg.eigh(fitted.covariance_)
    whiten = vectors / np.sqrt(values.clip(1e-9))
    signature = (x.T @ theta).T @ whiten
    seen = difference @ whiten
    size = np.linalg.norm(signature, axis=1) * np.linalg.norm(seen)
    cosine = signature @ seen / np.where(size > 0, size, np.inf)
    share: FloatArray = np.where(cosine * shift > 0, cosine**2, 0.0)
    return share


def _within(values: FloatArray, member: IntArray) -> FloatArray:
    """Values less the mean of their group."""
    count = np.bincount(member)
    totals = np.zeros((len(count), values.shape[1]))
    np.add.at(totals, member, values)
    left: FloatArray = values - (totals / count[:, None])[member]
    return left


def permuted(
    told: FloatArray, real: BoolArray, subject: StrArray, *, permutations: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return (T,) differences of means, real less synthetic, and their p under permutation of subjects over sides."""
    label = np.char.add(np.where(real, "r/", "s/"), subject)
    names, member = np.unique(label, return_inverse=True)
    totals = np.zeros((len(names), told.shape[1]))
    np.add.at(totals, member, told)
    counts = np.bincount(member).astype(float)
    side = np.char.startswith(names, "r/")

    def apart(chosen: FloatArray) -> FloatArray:
        other = 1 - chosen
        first = chosen @ totals / (chosen @ counts)[:, None]
        second = other @ totals / (other @ counts)[:, None]
        difference: FloatArray = first - second
        return difference

    seen = apart(side[None].astype(float))[0]
    rng = np.random.default_rng(seed)
    extreme = np.zeros(told.shape[1])
    for start in range(0, permutations, 500):
        shuffled = rng.permuted(np.tile(side, (min(500, permutations - start), 1)), axis=1).astype(float)
        extreme += (np.abs(apart(shuffled)) >= np.abs(seen) - 1e-12).sum(0)
    return seen, (1 + extreme) / (1 + permutations)


def _normal_scores(values: FloatArray, kinds: Sequence[str]) -> FloatArray:
    """Ranges become normal scores (van der Waerden), for units may be skewed over decades; shares stay 0 and 1."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores = ndtri(rankdata(values, axis=0) / (len(values) + 1))
    return np.where([kind == "range" for kind in kinds], scores, values)


def _correlation(told: FloatArray, wanted: FloatArray) -> FloatArray:
    a, b = told - told.mean(0), wanted - wanted.mean(0)
    scale = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    found: FloatArray = (a * b).sum(0) / np.where(scale > 0, scale, np.inf)
    return found


def _distributions(own: FloatArray, weights: FloatArray, kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if kind == "share":
        return (float(own.mean()),), (float((own * weights).sum() / weights.sum()),)
    before = weighted_quantiles(own, np.ones(len(own)))
    return tuple(before.tolist()), tuple(weighted_quantiles(own, weights).tolist())


def _beyond(told: FloatArray, real: BoolArray, *, up: bool) -> float:
    low, high = np.quantile(told[~real], (0.05, 0.95))
    return float((told[real] > high).mean() if up else (told[real] < low).mean())
