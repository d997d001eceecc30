"""What the figures say, in sentences."""

from typing import Any

import numpy as np

from spooflab.experiments.realism.crops import Scale
from spooflab.experiments.realism.sides import BONAFIDE, Side
from spooflab.experiments.realism.suggest import p_words


def auc_words(one: dict[str, Any]) -> str:
    """Say an AUC with its interval, its p and what halves of the real pictures reach."""
    text = f"AUC {one['auc']:.2f}, {one['low']:.2f} to {one['high']:.2f}, {p_words(one['p'])}"
    if one["null_high"] is not None:
        text += f"; halves of the real ones {one['null']:.2f}, 95 % below {one['null_high']:.2f}"
    return text


def better(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the kind of features that tells a species apart, or the larger AUC."""
    physics, patches = entry["auc"]["physics"], entry["auc"]["patches"]
    told = [one for one in (physics, patches) if one["told_apart"]] or [physics, patches]
    best: dict[str, Any] = max(told, key=lambda one: float(one["auc"]))
    return best


def verdict(name: str, entry: dict[str, Any]) -> str:
    """Return one or two sentences on a species."""
    shown = auc_words(better(entry))
    if not entry["told_apart"]:
        return f"Not surely told apart from real captures: {shown}."
    text = f"Told apart from real captures: {shown}"
    cause = max(entry["causes"], key=lambda c: float(entry["causes"][c]))
    if entry["causes"][cause] > 0.6:
        text += f", most by {cause}"
    text += ". "
    if name == BONAFIDE:
        return text + "This is the distance of the simulated camera and face, which every attack carries."
    over = entry["auc"]["over_bonafide"]
    if over is None:
        return text + "Without bona fide pictures on both sides, camera and attack cannot be told from each other."
    value, low, high = over
    span = f"{value:+.2f}, {low:+.2f} to {high:+.2f}"
    if low > 0:
        return text + f"Further apart than bona fide pictures are ({span}): the attack itself differs."
    return text + f"Not surely further apart than bona fide pictures are ({span}): camera and face may explain it."


def answer(told: dict[str, dict[str, Any]]) -> str:
    """Return the first sentence of the report."""
    attacks = {name: entry for name, entry in told.items() if name != BONAFIDE}
    apart = {name: entry for name, entry in attacks.items() if entry["told_apart"]}
    if not apart:
        return "No simulated attack is surely told apart from its real captures with these pictures."
    worst = max(apart, key=lambda name: float(better(apart[name])["auc"]))
    best = better(apart[worst])
    text = f"{worst} is the least real (AUC {best['auc']:.2f}, {best['low']:.2f} to {best['high']:.2f})"
    moved = [m["name"] for m in apart[worst]["parameters"] if m["sure"]]
    if moved:
        first = next(m for m in apart[worst]["parameters"] if m["sure"])
        text += f"; first to move: {moved[0]}, {'up' if first['shift'] > 0 else 'down'}"
    rest = len(attacks) - len(apart)
    return text + (f". {rest} of {len(attacks)} species are not surely told apart." if rest else ".")


def notes(
    synthetic: Side, real: Side, scale: Scale, told: dict[str, dict[str, Any]], left_out: dict[str, str]
) -> list[str]:
    """Return what a reader has to know before believing the figures."""
    out = []
    if real.synthetic > 0:
        out.append(
            f"{real.synthetic:.0%} of REAL's pictures are themselves marked synthetic: "
            "the distance is between two simulations."
        )
    if not any(row.physics for row in synthetic.rows):
        out.append("SYNTHETIC records no physical parameters, so nothing can be suggested; is it a simulated store?")
    if synthetic.ablated:
        out.append(f"SYNTHETIC has effects switched off: {', '.join(synthetic.ablated)}.")
    out += [f"{name} is left out: {why}." for name, why in left_out.items()]
    for side, name in ((synthetic, "SYNTHETIC"), (real, "REAL")):
        if side.boxless:
            out.append(f"{sum(side.boxless.values())} pictures of {name} name no box of a face and are left out.")
    here, there = (
        np.array([row.stored_scale for row in side.rows if np.isfinite(row.stored_scale)]) for side in (synthetic, real)
    )
    scales = [
        f"{name} by {np.median(values):.2f}"
        for name, values in (("SYNTHETIC", here), ("REAL", there))
        if len(values) and abs(np.median(values) - 1) > 0.02
    ]
    if scales:
        out.append(
            f"Pictures were resized before they were stored ({', '.join(scales)}, median): what was finer is gone, and "
            "lattices of the sensor and of JPEG lie elsewhere or nowhere."
        )
    if not scale.untouched:
        out.append(
            f"Faces differ in size ({scale.face_px[0]:.0f} and {scale.face_px[1]:.0f} stored px), so SYNTHETIC was "
            f"reduced by {scale.synthetic:.2f} and REAL by {scale.real:.2f}: spectra hold up to the coarser side's "
            "detail, and lattices of stored pixels are gone."
        )
    unbalanced = {n: e["matching"]["unbalanced"] for n, e in told.items() if e["matching"]["unbalanced"]}
    if unbalanced:
        listed = "; ".join(f"{name}: {', '.join(features)}" for name, features in unbalanced.items())
        out.append(f"Content could not be balanced ({listed}): a part of the distance may be content.")
    unknown = sorted({f for e in told.values() for f in e["matching"]["unknown"]})
    if unknown:
        out.append(f"Not told by both records, so not matched: {', '.join(unknown)}.")
    return out
