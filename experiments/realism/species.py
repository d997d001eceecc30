"""One species: matched pictures of both sides, and everything that is found between them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spooflab.experiments.realism.crops import Scale, cut
from spooflab.experiments.realism.domain import (
    CrossFit,
    Domain,
    DomainAuc,
    Half,
    cross_fit,
    deal,
    domain_auc,
    names_of,
    subject_weights,
    usable,
    within_folds_auc,
)
from spooflab.experiments.realism.matching import Matched, content_of, match
from spooflab.experiments.realism.measures import Measured, measure
from spooflab.experiments.realism.parameters import Reading, read_off
from spooflab.experiments.realism.patches import patch_features
from spooflab.experiments.realism.settings import RealismSettings
from spooflab.experiments.realism.sides import Pixels, Row
from spooflab.experiments.scores import BoolArray, FloatArray
from spooflab.experiments.statistics import holm, percentile
from spooflab.seeds import seed as named_seed


@dataclass(frozen=True, eq=False)
class Sample:
    """Pictures of one species of one side that have a crop."""

    rows: list[Row]
    crops: list[Pixels]

    def take(self, places: Sequence[int]) -> "Sample":
        """Return some of them."""
        return Sample([self.rows[i] for i in places], [self.crops[i] for i in places])

    @property
    def subjects(self) -> int:
        """How many there are."""
        return len({row.subject for row in self.rows})


@dataclass(frozen=True, eq=False)
class Pair:
    """Matched pictures of one species, synthetic first, with the measures and classifiers that all sections share.

    Attributes:
        species: which.
        synthetic, real: the pictures.
        matched: how they were matched.
        measured: of both, synthetic first.
        shown: (F,) which of the measures enough pictures show.
        physics: the pictures with the measures that are shown.
        full: the same with what was read off them beside.
        patches: the pictures with features of patches.
        read: recorded parameters that can be read off pictures.
        fit, patch_fit: cross-fitted scores on `full` and on `patches`.
        weights: (B, N) bootstrap weights of subjects.
    """

    species: str
    synthetic: Sample
    real: Sample
    matched: Matched
    measured: Measured
    shown: BoolArray
    physics: Domain
    full: Domain
    patches: Domain
    read: Reading
    fit: CrossFit
    patch_fit: CrossFit
    weights: FloatArray

    @property
    def is_real(self) -> BoolArray:
        """(N,) which pictures are real."""
        return self.physics.real


def sample_of(rows: Sequence[Row], pixels: Mapping[str, Pixels], factor: float, side_px: int) -> Sample:
    """Cut what can be cut."""
    kept = [(row, crop) for row in rows if (crop := cut(pixels[row.key], row, factor, side_px)) is not None]
    return Sample([row for row, _ in kept], [crop for _, crop in kept])


def too_few(synthetic: Sample, real: Sample, settings: RealismSettings) -> str:
    """Say why a species cannot be judged, empty if it can."""
    for name, side in (("simulated", synthetic), ("real", real)):
        if len(side.rows) < settings.fewest:
            return f"{len(side.rows)} matched {name} pictures, {settings.fewest} are wanted"
        if side.subjects < settings.fewest_subjects:
            return f"{side.subjects} {name} subjects, {settings.fewest_subjects} are wanted"
    return ""


def pair(
    species: str,
    synthetic: Sample,
    real: Sample,
    skins: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]],
    scale: Scale,
    settings: RealismSettings,
) -> Pair | str:
    """Match one species and measure it; a sentence where it cannot be judged."""
    if reason := too_few(synthetic, real, settings):
        return reason.replace("matched ", "")
    matched = match(content_of(synthetic.rows, skins[0], scale.synthetic), content_of(real.rows, skins[1], scale.real))
    here, there = synthetic.take(matched.synthetic.tolist()), real.take(matched.real.tolist())
    if reason := too_few(here, there, settings):
        return f"content cannot be matched: {reason}"
    rest = synthetic.take(sorted(set(range(len(synthetic.rows))) - set(matched.synthetic.tolist())))
    every = measure(here.crops + there.crops + rest.crops)
    count, both = len(here.rows), len(here.rows) + len(there.rows)
    measured = every.take(range(both))
    shown = usable(measured.table[:count], measured.table[count:])
    physics = _domain(measured.table[:, shown], here, there)
    patches = _domain(patch_features(here.crops + there.crops, settings.seed), here, there)
    seed = named_seed(settings.seed, "folds", species) % 2**31
    fold = deal(physics, folds=settings.folds, repeats=settings.repeats, seed=seed)
    read = read_off(physics, fold, here.rows + rest.rows, every.table[both:, shown])
    full = dataclasses.replace(physics, table=np.concatenate([physics.table, read.told], axis=1))
    fit, patch_fit = cross_fit(full, fold), cross_fit(patches, fold)
    weights = subject_weights(
        physics.subject, physics.real, settings.replicates, named_seed(settings.seed, "subjects", species) % 2**31
    )
    return Pair(species, here, there, matched, measured, shown, physics, full, patches, read, fit, patch_fit, weights)


def _domain(table: FloatArray, synthetic: Sample, real: Sample) -> Domain:
    count = len(synthetic.rows)
    halves = [
        Half(part, names_of([row.group for row in side.rows]), names_of([row.subject for row in side.rows]))
        for part, side in ((table[:count], synthetic), (table[count:], real))
    ]
    return Domain.join(*halves)


@dataclass(frozen=True)
class Distances:
    """How well the sides are told apart.

    Attributes:
        physics: by interpretable features.
        patches: by features of patches.
        over_bonafide: AUC (physics) less that of bona fide, with its interval; None for bona fide itself.
    """

    physics: DomainAuc
    patches: DomainAuc
    over_bonafide: tuple[float, float, float] | None

    @property
    def told_apart(self) -> bool:
        """Whether either kind of features tells them apart."""
        return self.physics.told_apart or self.patches.told_apart

    @property
    def largest(self) -> DomainAuc:
        """The one of the two kinds of features that tells them apart better."""
        return max(self.physics, self.patches, key=lambda one: one.auc)


def distances(found: Pair, plain: Pair | None, settings: RealismSettings) -> Distances:
    """Return the AUCs of one species; `plain` is the bona fide pair, None where there is none or `found` is it."""
    seed = named_seed(settings.seed, "null", found.species) % 2**31

    def auc(domain: Domain, fit: CrossFit) -> DomainAuc:
        return domain_auc(
            domain,
            fit,
            permutations=settings.auc_permutations,
            halvings=settings.halvings,
            weights=found.weights,
            seed=seed,
        )

    physics, patches = auc(found.full, found.fit), auc(found.patches, found.patch_fit)
    if plain is None:
        return Distances(physics, patches, None)
    return Distances(physics, patches, _over(found, plain, physics.auc))


def adjusted_distances(found: Mapping[str, Distances]) -> dict[str, Distances]:
    """Adjust every p of every species together by Holm, so that one report in twenty has a false alarm."""
    kinds = ("physics", "patches")
    flat = [(name, kind, getattr(d, kind)) for name, d in found.items() for kind in kinds]
    out = dict(found)
    for (name, kind, one), p in zip(flat, holm([one.p for _, _, one in flat]), strict=True):
        changed: dict[str, Any] = {kind: dataclasses.replace(one, p=p)}
        out[name] = dataclasses.replace(out[name], **changed)
    return out


def _over(found: Pair, plain: Pair, auc: float) -> tuple[float, float, float]:
    """AUC less that of bona fide; the two are resampled apart, which widens the interval where subjects are shared."""
    base = float(within_folds_auc(plain.fit, plain.is_real)[0])
    apart = within_folds_auc(found.fit, found.is_real, found.weights) - within_folds_auc(
        plain.fit, plain.is_real, plain.weights
    )
    low, high = percentile(apart) or (-1.0, 1.0)
    return auc - base, low, high


def side_mean(values: FloatArray, weights: FloatArray, rows: BoolArray) -> FloatArray:
    """Return (B, ...) weighted means of `values` (N, ...) over some rows, unknown values left out."""
    flat = values[rows].reshape(rows.sum(), -1)
    known = np.isfinite(flat)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = weights[:, rows] @ np.where(known, flat, 0.0) / (weights[:, rows] @ known)
    return mean.reshape(len(weights), *values.shape[1:])
