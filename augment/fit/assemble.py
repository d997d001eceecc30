"""From estimates to a strict profile whose `source` strings say what was fitted and what is prior."""

from typing import Any

import yaml

from spooflab.augment.fit.estimate import Estimate
from spooflab.augment.profile import DeviceProfile
from spooflab.config import parse_config

UNMODELLED = (("colour", "awb_strength"), ("lens", "corner_blur_px"), ("lens", "tangential"), ("sensor", "defects"))
"""What the fit simulates without: it is off in the result too, since casts and blur were measured with whatever the
camera itself did about them."""


def assemble(
    name: str,
    prior: DeviceProfile,
    estimates: list[Estimate],
    codec: dict[str, Any],
    codec_source: str,
    photos: int,
    pinned: dict[str, object],
) -> DeviceProfile:
    """Return the prior with every fitted range put in its place, and `pinned` colours of the unit."""
    data = prior.model_dump(mode="json")
    for group, key in UNMODELLED:
        data[group][key] = [0.0, 0.0]
    data["name"] = name
    data["summary"] = f"Fitted from {photos} photographs; what they do not tell is taken from {prior.name}."
    for group in ("lens", "sensor", "noise", "timing", "exposure", "colour", "processing"):
        own = [e for e in estimates if e.group == group]
        for estimate in own:
            if estimate.fitted:
                old = data[group][estimate.key]
                data[group][estimate.key] = (
                    [_round(estimate.low), _round(estimate.high)] if isinstance(old, list) else _round(estimate.value)
                )
        data[group]["source"] = _source(group, own, data[group], prior, photos)
    data["colour"].update(pinned)
    data["codec"].update(codec)
    data["codec"]["source"] = codec_source
    return parse_config(data, DeviceProfile, origin=f"fitted profile {name}")


def to_yaml(profile: DeviceProfile) -> str:
    """Return the profile as YAML that `load_profile` reads back."""
    text: str = yaml.safe_dump(
        profile.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True, width=110
    )
    return text


def _source(group: str, own: list[Estimate], data: dict[str, Any], prior: DeviceProfile, photos: int) -> str:
    fitted = [f"{e.key} ({e.how}; {_error(e)})" for e in own if e.fitted]
    open_ = [f"{e.key}: {e.how}" for e in own if not e.fitted]
    named = {e.key for e in own} | {"source"}
    silent = [key for key in data if key not in named]
    parts = []
    if fitted:
        parts.append(f"fitted from {photos} photographs: {', '.join(fitted)}")
    if open_:
        parts.append(f"prior {prior.name}, not identifiable: {'; '.join(open_)}")
    if silent:
        parts.append(f"prior {prior.name}, not identifiable from photographs alone: {', '.join(silent)}")
    parts.append(f"the prior's own source: {getattr(prior, group).source}")
    return ". ".join(parts)


def _error(estimate: Estimate) -> str:
    share = abs(estimate.std / estimate.value) if estimate.value else float("inf")
    return f"± {100 * share:.0f} %" if share < 1 else f"± {estimate.std:.2g}"


def _round(value: float) -> float:
    return float(f"{value:.4g}")
