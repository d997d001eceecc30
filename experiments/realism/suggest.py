"""From parameters that surely moved to lines for a configuration, or to plain words where no key holds the range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from spooflab.augment.profile import DeviceProfile, load_profile
from spooflab.errors import ConfigError
from spooflab.experiments.realism.parameters import Moved, Weights, weighted_quantiles
from spooflab.experiments.realism.sides import Row
from spooflab.experiments.scores import FloatArray

PROFILE_KEYS = {
    "device.quality": ("codec", "quality"),
    "device.crf": ("codec", "crf"),
    "device.lux": ("noise", "lux"),
    "device.noise_a": ("noise", "a"),
    "device.noise_b": ("noise", "b"),
    "device.corner_gain": ("lens", "corner_gain"),
    "device.corner_blur_px": ("lens", "corner_blur_px"),
    "device.view.f_number": ("lens", "f_number"),
    "device.view.focal_mm": ("lens", "focal_mm"),
    "device.view.pitch_um": ("sensor", "pitch_um"),
    "device.prnu_std": ("sensor", "prnu_std"),
    "device.view.exposure_ms": ("timing", "exposure_ms"),
    "device.view.readout_ms": ("timing", "readout_ms"),
    "device.target": ("exposure", "target"),
    "device.highlight": ("exposure", "highlight"),
    "device.metering": ("exposure", "metering"),
    "device.awb_strength": ("colour", "awb_strength"),
    "device.smear": ("processing", "smear"),
    "device.beautify": ("processing", "beautify"),
    "device.halo": ("processing", "halo"),
    "device.halo_radius_px": ("processing", "halo_radius_px"),
    "device.tone": ("processing", "tone"),
    "device.gamma": ("processing", "gamma"),
}
"""Recorded parameters whose range is one key of a device profile."""
_WHOLE = {"device.quality", "device.crf"}
_FEWEST_OF_PROFILE = 8.0
_PAST = 0.2
"""Share of real pictures read past the simulated middle 90 % (5 % by chance) at which a range is called too narrow."""


@dataclass(frozen=True)
class Advice:
    """What to move for one species.

    Attributes:
        words: sentences: what to move first, then what else surely differs.
        profiles: device profile (its entry in `devices`) to groups, keys and ranges for a copy of it.
        fewer: keys `devices` and `instruments` to the values that real pictures show less.
    """

    words: list[str]
    profiles: dict[str, dict[str, dict[str, list[float]]]]
    fewer: dict[str, list[str]]


def advise(found: Sequence[Moved], rows: Sequence[Row], weights: Weights, devices: Mapping[str, str]) -> Advice:
    """Say what to move first, and what else differs.

    Ranges are told for the parameter that explains most alone: a difference in one is read as differences in others
    that look alike, so these are to be seen again once it has been moved.

    Args:
        found: parameters of one species, p adjusted, in order.
        rows: records of its simulated pictures.
        weights: their importance.
        devices: name of each profile to its entry in the generation's `devices`.
    """
    sure = [one for one in found if one.sure]
    if not sure:
        return Advice([], {}, {})
    first, label = sure[0], sure[0].name.partition(" = ")[0]
    if first.kind == "share":
        alike = [one for one in sure if one.name.startswith(f"{label} = ")]
        fewer = [one.name.partition(" = ")[2] for one in alike if one.shift < 0]
        advice = Advice([_share_words(one) for one in alike], {}, {})
        if label in ("device", "instrument") and fewer:
            advice.fewer[label + "s"] = fewer
    else:
        alike = [first]
        ranges = _profile_ranges(first, rows, weights, devices)
        profiles = {entry: {group: {key: limits}} for entry, (group, key, limits) in ranges.items()}
        advice = Advice([_range_words(first, weights, told=bool(ranges))], profiles, {})
    others = [f"{one.name} {'up' if one.shift > 0 else 'down'}" for one in sure if one not in alike]
    if others:
        advice.words.append(f"also read otherwise, to be seen again once that is moved: {', '.join(others)}")
    return advice


def _share_words(one: Moved) -> str:
    way = "more" if one.shift > 0 else "less"
    shares = f"{one.before[0]:.0%} of the simulated ones, {one.after[0]:.0%} weighted"
    return f"{one.name}: {way} often in real pictures; {shares} ({p_words(one.p)})"


def _range_words(one: Moved, weights: Weights, *, told: bool) -> str:
    way = "higher" if one.shift > 0 else "lower"
    text = f"{one.name}: real pictures look like {way} values; simulated {_span(one.before)}"
    if weights.enough:
        text += f", weighted to look real {_span(one.after)} (5-95 %)"
    if one.beyond > _PAST:
        text += f"; {one.beyond:.0%} of real pictures are read past the simulated ones' middle 90 %"
        text += ", so the range may have to be wider"
    if not told:
        text += "; no key of a configuration is told for it"
    return f"{text} ({p_words(one.p)})"


def p_words(p: float) -> str:
    """Say a p-value."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _span(quantiles: Sequence[float]) -> str:
    return f"{quantiles[0]:.3g} to {quantiles[-1]:.3g}"


def _profile_ranges(
    one: Moved, rows: Sequence[Row], weights: Weights, devices: Mapping[str, str]
) -> dict[str, tuple[str, str, list[float]]]:
    """Ranges of profiles with the end that would move, where enough pictures count; checked against the schema."""
    if one.name not in PROFILE_KEYS or not weights.enough:
        return {}
    group, key = PROFILE_KEYS[one.name]
    out = {}
    for name in sorted({row.device for row in rows}):
        places = [i for i, row in enumerate(rows) if row.device == name]
        own, values = weights.values[places], np.array([rows[i].physics[one.name] for i in places])
        if name not in devices or own.sum() ** 2 / (own**2).sum() < _FEWEST_OF_PROFILE:
            continue
        try:
            profile = load_profile(devices[name])
        except ConfigError:  # the profile that made the store is no longer where it was
            continue
        limits = _moved(one, list(getattr(getattr(profile, group), key)), values, own)
        if limits and _accepted(profile, group, key, limits):
            out[devices[name]] = (group, key, limits)
    return out


def _moved(one: Moved, limits: list[float], values: FloatArray, weights: FloatArray) -> list[float]:
    """Present limits, the end that the shift leaves moved to its weighted 5 % quantile; [] if none moves."""
    low, high = weighted_quantiles(values, weights, (0.05, 0.95))
    ends = [max(limits[0], low), limits[1]] if one.shift > 0 else [limits[0], min(limits[1], high)]
    rounded = [float(round(v)) if one.name in _WHOLE else float(f"{v:.3g}") for v in ends]
    still = np.allclose(rounded, limits, rtol=1e-2, atol=0)
    return [] if rounded[0] >= rounded[1] or still else [int(v) if one.name in _WHOLE else v for v in rounded]


def _accepted(profile: DeviceProfile, group: str, key: str, limits: list[float]) -> bool:
    data: dict[str, Any] = profile.model_dump(mode="json")
    data[group][key] = limits
    try:
        DeviceProfile.model_validate(data)
    except ValidationError:
        return False
    return True


def yaml_lines(advice: Advice, devices: Sequence[str], instruments: Sequence[str]) -> list[str]:
    """Return lines of YAML: keys of a generation configuration, and keys for copies of device profiles.

    Args:
        advice: of one species.
        devices, instruments: entries that the simulated store uses now.
    """
    import yaml

    def line(data: Any) -> str:
        return yaml.safe_dump(data, default_flow_style=None, sort_keys=False, width=1000).strip()

    lines = []
    for key, present in (("devices", devices), ("instruments", instruments)):
        left = [name for name in present if name not in advice.fewer.get(key, [])]
        if key in advice.fewer and left:
            lines.append(line({key: left}))
    for entry, groups in advice.profiles.items():
        lines.append(f"# in a copy of the device profile {entry}, named by its path in `devices`:")
        lines += line(groups).splitlines()
    return lines
