"""The whole comparison: every species that both stores hold, and what one sentence says of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import spooflab
from spooflab.augment.profile import load_profile
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.realism import sections
from spooflab.experiments.realism.control import matched_control, partners
from spooflab.experiments.realism.crops import Scale, choose_scale
from spooflab.experiments.realism.detector import as_odds, open_detector
from spooflab.experiments.realism.domain import names_of
from spooflab.experiments.realism.matching import skin_by_subject
from spooflab.experiments.realism.parameters import Moved, Weights, adjusted, importance, judge
from spooflab.experiments.realism.physics_gap import Scored, physics_gap
from spooflab.experiments.realism.settings import RealismSettings
from spooflab.experiments.realism.sides import (
    BONAFIDE,
    Pixels,
    Row,
    Side,
    bounded,
    common_species,
    read_pixels,
)
from spooflab.experiments.realism.species import Distances, Pair, adjusted_distances, distances, pair, sample_of
from spooflab.experiments.realism.suggest import advise, yaml_lines
from spooflab.experiments.realism.words import answer, notes, verdict
from spooflab.records import PlanFile
from spooflab.seeds import seed as named_seed

Progress = Callable[[str], None]
SHOWN = 6
"""Pictures of each kind on the page."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found.

    Attributes:
        results: everything but pictures, ready for JSON.
        pictures: species to kind (`simulated`, `control`, `real`) to a few pictures.
    """

    results: dict[str, Any]
    pictures: dict[str, dict[str, list[Pixels]]]


def compare(synthetic: Side, real: Side, settings: RealismSettings, progress: Progress = lambda _: None) -> Comparison:
    """Compare a simulated with a real store.

    Args:
        synthetic: of `spooflab generate`.
        real: of `spooflab ingest`.
        settings: what decides the figures.
        progress: told each step.

    Raises:
        DataError: no species in common, faces too small, or no species with enough pictures and subjects.
        ConfigError: a detector that cannot be used.
    """
    scorers = {_detector_name(path): open_detector(path, settings.detector_px) for path in settings.detectors}
    taken = _taken(synthetic, real, settings)
    every = [[row for rows in taken.values() for row in rows[side]] for side in (0, 1)]
    scale = choose_scale(*every)
    progress(f"reading {len(every[0])} simulated and {len(every[1])} real pictures")
    pixels = read_pixels(synthetic, every[0]), read_pixels(real, every[1])
    pairs, left_out = _pairs(taken, pixels, scale, settings, progress)
    plain = pairs.get(BONAFIDE)
    progress("classifiers, permutations, halvings")
    apart = adjusted_distances(
        {name: distances(one, None if name == BONAFIDE else plain, settings) for name, one in pairs.items()}
    )
    weighed = {name: importance(one.fit, one.is_real) for name, one in pairs.items()}
    progress("parameters")
    moved = adjusted({name: _judged(one, weighed[name], settings) for name, one in pairs.items()})
    controls = _controls(pairs, taken, pixels[0], settings) if BONAFIDE in taken else {}
    told = {}
    for name, one in pairs.items():
        progress(f"{name}: spectra, noise, colour")
        told[name] = _told(one, apart[name], moved[name], weighed[name], synthetic)
    for name, scorer in scorers.items():
        progress(f"detector {name}")
        _score(name, scorer, pairs, controls, pixels, told, settings)
    for name, entry in told.items():
        entry["verdict"] = verdict(name, entry)
    results = {
        "answer": answer(told),
        "notes": notes(synthetic, real, scale, told, left_out),
        "species": told,
        "left_out": left_out,
        "scale": {"side_px": scale.side_px, "synthetic": scale.synthetic, "real": scale.real, "face_px": scale.face_px},
        "stores": {side: _store(s) for side, s in (("synthetic", synthetic), ("real", real))},
        "detectors": list(scorers),
        "settings": settings.model_dump(mode="json"),
        "version": spooflab.__version__,
    }
    return Comparison(results, _pictures(pairs, controls, pixels, settings))


def _detector_name(path: Path) -> str:
    """Name of a file without its suffix; of a run's folder `training` the run's."""
    full = path.resolve()
    return full.parent.name if full.name == "training" else full.stem if full.is_file() else full.name


def _taken(synthetic: Side, real: Side, settings: RealismSettings) -> dict[str, tuple[list[Row], list[Row]]]:
    return {
        name: (
            bounded(synthetic.species[name], settings.most, settings.seed),
            bounded(real.species[name], settings.most, settings.seed),
        )
        for name in common_species(synthetic, real)
    }


def _pairs(
    taken: dict[str, tuple[list[Row], list[Row]]],
    pixels: tuple[dict[str, Pixels], dict[str, Pixels]],
    scale: Scale,
    settings: RealismSettings,
    progress: Progress,
) -> tuple[dict[str, Pair], dict[str, str]]:
    plain = taken.get(BONAFIDE, ([], []))
    skins = skin_by_subject(plain[0], pixels[0]), skin_by_subject(plain[1], pixels[1])
    pairs, left_out = {}, {}
    for name, (here, there) in taken.items():
        progress(f"{name}: matching and measuring")
        samples = (
            sample_of(here, pixels[0], scale.synthetic, scale.side_px),
            sample_of(there, pixels[1], scale.real, scale.side_px),
        )
        found = pair(name, *samples, skins, scale, settings)
        if isinstance(found, str):
            left_out[name] = found
        else:
            pairs[name] = found
    if not set(pairs) - {BONAFIDE}:
        raise DataError(
            "no attack species can be compared: " + "; ".join(f"{name}: {why}" for name, why in left_out.items()),
            wanted=f"{settings.fewest} pictures of {settings.fewest_subjects} subjects of one species on each side",
            next_step="generate or ingest more of them",
        )
    return pairs, left_out


def _judged(one: Pair, weights: Weights, settings: RealismSettings) -> list[Moved]:
    return judge(
        one.physics, one.read, one.synthetic.rows, weights, permutations=settings.permutations,
        seed=named_seed(settings.seed, "permutation", one.species) % 2**31,
    )  # fmt: skip


def _told(one: Pair, apart: Distances, moved: Sequence[Moved], weights: Weights, synthetic: Side) -> dict[str, Any]:
    plan = PlanFile.read(synthetic.root / "plan.json").plan.get("config", {})
    entries = list(plan.get("devices", []))
    devices = {_stem(entry): entry for entry in entries}
    advice = advise(moved, one.synthetic.rows, weights, devices)
    instruments = sorted({row.instrument for row in synthetic.rows if row.instrument})
    return {
        "counts": {
            "synthetic": {"pictures": len(one.synthetic.rows), "subjects": one.synthetic.subjects},
            "real": {"pictures": len(one.real.rows), "subjects": one.real.subjects},
        },
        "own_classes": sorted({row.own_class for row in one.real.rows} - {""}),
        "matching": {
            "features": list(one.matched.features),
            "unknown": list(one.matched.unknown),
            "apart": {name: {"before": b, "after": a} for name, (b, a) in one.matched.apart.items()},
            "unbalanced": one.matched.unbalanced,
        },
        "auc": {
            "physics": vars(apart.physics) | {"told_apart": apart.physics.told_apart},
            "patches": vars(apart.patches) | {"told_apart": apart.patches.told_apart},
            "over_bonafide": apart.over_bonafide,
        },
        "told_apart": apart.told_apart,
        "causes": sections.cause_aucs(one),
        "most_different": sections.most_different(one),
        "spectrum": sections.spectrum_of(one),
        "grid": sections.grid_of(one),
        "noise": sections.noise_of(one),
        "colour": sections.colour_of(one),
        "weights": {"effective": weights.effective, "exponent": weights.exponent, "enough": weights.enough},
        "parameters": [vars(m) | {"sure": m.sure} for m in moved],
        "unreadable": one.read.unreadable,
        "advice": advice.words,
        "yaml": yaml_lines(advice, entries, instruments),
        "detectors": {},
    }


def _stem(entry: str) -> str:
    """Name of the profile that an entry of `devices` means: its own, or that in the file."""
    try:
        return load_profile(entry).name
    except ConfigError:
        return entry


def _controls(
    pairs: dict[str, Pair],
    taken: dict[str, tuple[list[Row], list[Row]]],
    pixels: dict[str, Pixels],
    settings: RealismSettings,
) -> dict[str, list[Pixels]]:
    """Return for each attack species the matched control of every simulated picture, in order."""
    out = {}
    for name, one in pairs.items():
        if name != BONAFIDE:
            plain = partners(one.synthetic.rows, taken[BONAFIDE][0], settings.seed)
            out[name] = [
                matched_control(pixels[p.key], pixels[row.key], named_seed(settings.seed, "control", row.key) % 2**32)[
                    0
                ]
                for row, p in zip(one.synthetic.rows, plain, strict=True)
            ]
    return out


def _score(
    name: str,
    scorer: Callable[[Sequence[Pixels]], Any],
    pairs: dict[str, Pair],
    controls: dict[str, list[Pixels]],
    pixels: tuple[dict[str, Pixels], dict[str, Pixels]],
    told: dict[str, dict[str, Any]],
    settings: RealismSettings,
) -> None:
    """Put one detector's figures into `told`; scores are made comparable over all kinds at once (`as_odds`)."""
    kinds: dict[tuple[str, str], tuple[list[Pixels], list[Row]]] = {}
    for species, one in pairs.items():
        kinds[species, "simulated"] = [pixels[0][row.key] for row in one.synthetic.rows], one.synthetic.rows
        kinds[species, "real"] = [pixels[1][row.key] for row in one.real.rows], one.real.rows
        if species in controls:
            kinds[species, "control"] = controls[species], one.synthetic.rows
    flat = as_odds(scorer([picture for some, _ in kinds.values() for picture in some]))
    ends = np.cumsum([len(some) for some, _ in kinds.values()])
    scored = {
        kind: Scored(part, names_of([row.subject for row in rows]))
        for (kind, (_, rows)), part in zip(kinds.items(), np.split(flat, ends[:-1]), strict=True)
    }
    for species in pairs:
        entry: dict[str, Any] = {
            kind: scored[species, kind].score.tolist()
            for kind in ("simulated", "control", "real")
            if (species, kind) in scored
        }
        if species != BONAFIDE and (BONAFIDE, "simulated") in scored:
            found = physics_gap(
                scored[BONAFIDE, "simulated"], scored[species, "simulated"], scored[species, "control"],
                scored[species, "real"], scored[BONAFIDE, "real"], replicates=settings.replicates,
                seed=named_seed(settings.seed, "gap", species) % 2**31,
            )  # fmt: skip
            entry["gap"] = {k: _finite(v) for k, v in vars(found).items()}
            entry["gap"] |= {"drops": found.drops, "surely_closer": found.surely_closer}
        told[species]["detectors"][name] = entry


def _finite(values: tuple[float, float, float] | None) -> list[float | None] | None:
    return None if values is None else [v if np.isfinite(v) else None for v in values]


def _store(side: Side) -> dict[str, Any]:
    return {
        "folder": side.name,
        "pictures": len(side.rows),
        "subjects": len({row.subject for row in side.rows}),
        "synthetic_share": side.synthetic,
        "species": {name: len(rows) for name, rows in sorted(side.species.items())},
        "ablated": side.ablated,
    }


def _pictures(
    pairs: dict[str, Pair],
    controls: dict[str, list[Pixels]],
    pixels: tuple[dict[str, Pixels], dict[str, Pixels]],
    settings: RealismSettings,
) -> dict[str, dict[str, list[Pixels]]]:
    out = {}
    for name, one in pairs.items():
        out[name] = {"simulated": [pixels[0][row.key] for row in one.synthetic.rows[:SHOWN]]}
        if name in controls:
            out[name]["control"] = controls[name][:SHOWN]
        if settings.show_real:
            out[name]["real"] = [pixels[1][row.key] for row in one.real.rows[:SHOWN]]
    return out
