"""What the estimators found, as rows of the result: ranges, errors, and why a gap is filled from the prior."""

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from spooflab.augment.fit.chart import ChartFit
from spooflab.augment.fit.distortion import Distortion
from spooflab.augment.fit.estimate import Estimate
from spooflab.augment.fit.exposure import fit_exposure
from spooflab.augment.fit.falloff import Falloff
from spooflab.augment.fit.fringe import Fringe
from spooflab.augment.fit.noise import Match, refit
from spooflab.augment.fit.pattern import Pattern
from spooflab.augment.fit.prior import b_power, prior_of
from spooflab.augment.fit.sharpness import Sharpness
from spooflab.augment.fit.skin import Skin
from spooflab.augment.fit.sought import LOG, LOWER, NAMES, UPPER, Prior
from spooflab.augment.fit.with_chart import seen_by
from spooflab.augment.profile import DeviceProfile

_RESAMPLES = 24
_CLEAR_GAIN = 0.15
_FOCUS_DECILE = 0.7
_SYSTEMATIC = np.array([0.12, 0.15, 0.03, 0.05, 0.1, 0.12, 0.1, 0.03, 0.05, 0.08, 0.08])
_SYSTEMATIC_BLIND = np.array([0.25, 0.4, 0.03, 0.08, 0.15, 0.15, 0.1, 0.03, 0.05, 0.1, 0.1])
"""Error of each of `NAMES`, in the fit's units, beyond what resampling shows, with a chart and without: seen on
simulated cameras, where denoising, curve and noise can stand in for each other."""
_TARGET_ERROR, _HIGHLIGHT_ERROR = 0.12, 0.25
"""Shares by which three simulated cameras were off: highlights that clip are no measure of where they would lie."""
_CORNER_ERROR, _BLUR_ERROR, _PATTERN_ERROR = 0.015, 0.06, 0.1
"""The same for the corner's gain, for the blur (px; of an aperture that is assumed) and for the pattern (share)."""
_SKIN_ERROR, _SKIN_UNKNOWN = 0.03, 0.15
"""The same for skin smoothing, and the standard error from which on it is taken from the prior."""
_OF_THE_UNIT = ("halo_radius_px", "tone", "gamma", "saturation", "red_gain", "blue_gain")
"""What does not change from shot to shot: the profile pins it, for a fitted profile is one camera."""
_GROUP = {
    "a": "noise",
    "b": "noise",
    "row_share": "noise",
    "saturation": "colour",
    "red_gain": "sensor",
    "blue_gain": "sensor",
}


def processing_estimates(
    found: Match | None, belief: Prior, chart: ChartFit | None, prior: DeviceProfile, photos: int
) -> list[Estimate]:
    """Return one estimate for each of `NAMES` but the pattern's strength."""
    sought = [(place, name) for place, name in enumerate(NAMES) if name != "prnu_std"]
    if found is None:
        why = "too few flat blocks at different brightness"
        return [_silent(_GROUP.get(n, "processing"), n, prior, why) for _, n in sought]
    spread = _resampled(found, belief, photos)
    shots_ev = float(np.sqrt(np.var(found.stops.log2) + np.mean(found.stops.scatter**2)))
    power = b_power(prior)
    unseen = prior_of(prior).std
    out = []
    told = _by_chart(chart)
    for place, key in sought:
        group = _GROUP.get(key, "processing")
        if key in told:
            value, std = told[key]
            out.append(Estimate(group, key, value, value, value, std, True, "colour chart"))
            continue
        spread_only = float(np.hypot(math.sqrt(found.covariance[place, place]), spread[place]))
        std = float(np.hypot(spread_only, (_SYSTEMATIC if chart else _SYSTEMATIC_BLIND)[place]))
        if spread_only > 0.75 * unseen[place]:
            out.append(
                _silent(group, key, prior, f"flat blocks narrow it by {_share(spread_only, unseen[place])} only")
            )
            continue
        z = float(found.z[place])
        half = max(spread_only, {"a": 1.0, "b": power}.get(key, 0.0) * shots_ev * math.log(2) * 1.5)
        how = f"flat blocks{_and_edges(found)} matched by simulation"
        if LOG[place]:
            cast = _cast(chart).get(key, 1.0)
            value, low, high = (math.exp(end) / cast for end in (z, z - half, z + half))
            std *= value
        else:
            value, low, high = z, max(0.0, z - half), z + half
            if key in ("smear", "tone"):
                high = min(high, 1.0)
        if key in _OF_THE_UNIT:
            low = high = value
        out.append(Estimate(group, key, value, low, high, std, True, how))
    return out


def _and_edges(found: Match) -> str:
    if found.beside is None or np.isnan(found.found.beside).all():
        return ""
    return f" and {found.beside.edges} edges"


def _cast(chart: ChartFit | None) -> dict[str, float]:
    """Return what the lasting cast multiplies the gains by, as noise shows them."""
    return {"red_gain": 2 ** chart.cast_ev[0], "blue_gain": 2 ** chart.cast_ev[2]} if chart else {}


def _by_chart(chart: ChartFit | None) -> dict[str, tuple[float, float]]:
    """Return value and standard error of what the chart alone decides."""
    if chart is None:
        return {}
    return {name: (value, std) for (name, value), std in zip(seen_by(chart).items(), chart.std, strict=True)}


def _resampled(found: Match, belief: Prior, photos: int) -> npt.NDArray[np.float64]:
    """Return the standard deviation of the parameters over resampled photographs, each a linear re-fit."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, photos, photos), minlength=photos)
        drawn.append(refit(found, times.astype(np.float64), belief))
    spread: npt.NDArray[np.float64] = np.std(drawn, axis=0)
    return spread


def skin_estimate(skin: Skin | None, prior: DeviceProfile) -> Estimate:
    """Return the strength of skin smoothing; None where there was nothing to judge skin by."""
    if skin is None:
        return _silent("processing", "beautify", prior, "too few even surfaces beside skin to know the noise by")
    if skin.reason or skin.std > _SKIN_UNKNOWN:
        why = skin.reason or f"flat skin leaves it open by {skin.std:.2f}"
        return _silent("processing", "beautify", prior, why)
    half = max(skin.std, math.sqrt(3) * skin.shots)  # a shot's strength is drawn evenly from the range
    value, low, high = (min(1.0, max(0.0, end)) for end in (skin.strength, skin.strength - half, skin.strength + half))
    how = f"noise of {skin.surfaces} even surfaces of skin in {skin.photos} photographs"
    std = math.hypot(skin.std, _SKIN_ERROR)
    return Estimate("processing", "beautify", value, low, high, std, True, how)


def lens_estimates(
    distortion: Distortion, falloff: Falloff, sharpness: Sharpness, fringe: Fringe, prior: DeviceProfile
) -> list[Estimate]:
    """Return distortion, fall-off, blur and fringe."""
    out = []
    if distortion.reason:
        out.append(_silent("lens", "edge_distortion", prior, distortion.reason))
    else:
        edge, std = distortion.edge, max(distortion.std, 5e-4)
        how = f"{distortion.chains} edges made straight, resampled photographs"
        out.append(Estimate("lens", "edge_distortion", edge, edge, edge, std, True, how))
    if falloff.std < 0.08 and falloff.pairs > 2000:
        gain, std = falloff.corner_gain, math.hypot(falloff.std, _CORNER_ERROR)
        how = f"{falloff.pairs} pairs of neighbouring cells, resampled photographs"
        out.append(Estimate("lens", "corner_gain", gain, gain, gain, std, True, how))
    else:
        out.append(_silent("lens", "corner_gain", prior, "too few even surfaces"))
    out += _blur(sharpness, prior)
    if fringe_is_seen(fringe):
        sizes = sorted((abs(fringe.red), abs(fringe.blue)))
        std = max(fringe.red_std, fringe.blue_std)
        how = f"edges of red and blue against green, red {fringe.red:+.1e}, blue {fringe.blue:+.1e}"
        out.append(Estimate("lens", "lateral_colour", sizes[1], sizes[0], sizes[1], std, True, how))
    else:
        out.append(
            _silent(
                "lens", "lateral_colour", prior, f"± {max(fringe.red_std, fringe.blue_std):.0e} from these photographs"
            )
        )
    return out


def _blur(sharpness: Sharpness, prior: DeviceProfile) -> list[Estimate]:
    known = sharpness.blur_px[~np.isnan(sharpness.blur_px)]
    if len(known) < 3:
        why = f"{sharpness.edges} clean edges"
        return [_silent("lens", "blur_px", prior, why), _silent("lens", "focus_error_px", prior, why)]
    sharpest, softest = (float(q) for q in np.quantile(known, (0.1, 0.9)))
    # A shot's focus error is its upper limit times a share whose ninth decile is this; motion is part of what is seen.
    focus = math.sqrt(max(softest**2 - sharpest**2, 0.0)) / _FOCUS_DECILE
    std = math.hypot(float(np.std(known)) / math.sqrt(len(known)), _BLUR_ERROR)
    how = f"steepest of {sharpness.edges} edges against simulated ones"
    return [
        Estimate("lens", "blur_px", sharpest, sharpest, sharpest, std, True, how),
        Estimate("lens", "focus_error_px", focus, 0.0, focus, 2 * std, True, how),
        Estimate("timing", "shake_deg_per_s", 0.0, 0.0, 0.0, 0.0, True, "set to 0: focus_error_px holds what moved"),
    ]


def pattern_estimate(found: Match | None, pattern: Pattern, gain: float, prior: DeviceProfile) -> Estimate:
    """Return the strength of the sensor's pattern; `gain` is what of it the chain lets through."""
    if not pattern.shared:
        why = f"halves of the photographs share no pattern (score {pattern.score:.1f}, 6 is wanted)"
        return _silent("sensor", "prnu_std", prior, why)
    place = NAMES.index("prnu_std")
    log, error = pattern_strength(pattern, gain)
    how = f"pattern shared by both halves, score {pattern.score:.0f}"
    if found is not None:
        log, error = float(found.z[place]), math.hypot(math.sqrt(found.covariance[place, place]), _PATTERN_ERROR)
        how += ", and flat blocks matched by simulation"
    std = math.exp(log)
    return Estimate("sensor", "prnu_std", std, std, std, error * std, True, how)


def pattern_strength(pattern: Pattern, gain: float) -> tuple[float, float]:
    """Return the log of the standard deviation of the sensor's pattern, which photographs share, and its error."""
    place = NAMES.index("prnu_std")
    log = float(np.clip(math.log(max(pattern.std, 1e-12) / gain), LOWER[place], UPPER[place]))
    return log, math.hypot(1 / pattern.score, _PATTERN_ERROR)


def assumed_estimates(f_number: float, pitch_um: float) -> list[Estimate]:
    """Return the aperture and pitch that the blur was found beside: other ones would add another blur."""
    how = "set to what the blur was fitted with"
    return [
        Estimate("lens", "f_number", f_number, f_number, f_number, 0.0, True, how),
        Estimate("sensor", "pitch_um", pitch_um, pitch_um, pitch_um, 0.0, True, how),
    ]


def light_estimates(linear: list[Tensor], chart: ChartFit | None, prior: DeviceProfile) -> list[Estimate]:
    """Return exposure and white balance."""
    out = []
    exposure = fit_exposure(linear, prior.exposure)
    if exposure is None:
        out.append(_silent("exposure", "target", prior, "too few photographs"))
    else:
        how = f"metered mean of {exposure.photos} photographs, highlights allowed for"
        target = exposure.target
        std = math.hypot(exposure.std_ev * math.log(2), _TARGET_ERROR) * target
        out.append(Estimate("exposure", "target", target, target, target, std, True, how))
        highlight = exposure.highlight
        error = math.hypot(exposure.highlight_std_ev * math.log(2), _HIGHLIGHT_ERROR) * highlight
        out.append(Estimate("exposure", "highlight", highlight, highlight, highlight, error, True, how))
        how = "set to 1: the target is where photographs came to lie, whatever light there was"
        out.append(Estimate("exposure", "metering", 1.0, 1.0, 1.0, 0.0, True, how))
        # A shot's error is .5 to 1.5 times what the profile names, whose root mean square is this.
        scatter = exposure.scatter_ev / math.sqrt(13 / 12)
        how = "scatter of the metered mean, which also holds how target and highlight vary"
        out.append(Estimate("exposure", "error_ev", scatter, scatter, scatter, scatter / 5, True, how))
    if chart is None:
        why = "the scenes' own colour is unknown without a chart"
        return out + [_silent("colour", key, prior, why) for key in ("unit_balance_ev", "ccm_spread")]
    for key in ("unit_balance_ev", "ccm_spread"):
        how = "set to 0: the chart's unit_cast_ev and unit_departure say what this camera has"
        out.append(Estimate("colour", key, 0.0, 0.0, 0.0, 0.0, True, how))
    if not math.isnan(chart.cast_spread_ev):
        # A shot's cast is .5 to 1.5 times what the profile names, whose root mean square is this.
        scatter = max(chart.cast_spread_ev / math.sqrt(13 / 12), 0.002)
        how = "scatter of the cast from chart to chart"
        out.append(Estimate("colour", "shot_balance_ev", scatter, scatter, scatter, scatter / 2, True, how))
    return out


def _silent(group: str, key: str, prior: DeviceProfile, why: str) -> Estimate:
    limits = getattr(getattr(prior, group), key)
    low, high = limits if isinstance(limits, tuple) else (limits, limits)
    return Estimate(group, key, (low + high) / 2, low, high, math.inf, False, why)


def fringe_is_seen(fringe: Fringe) -> bool:
    """Say whether the codec left enough of the fringe to measure it."""
    return min(fringe.gain) >= _CLEAR_GAIN and max(fringe.red_std, fringe.blue_std) < 1.5e-4


def _share(std: float, before: float) -> str:
    return f"{100 * max(0.0, 1 - std / before):.0f} %"
