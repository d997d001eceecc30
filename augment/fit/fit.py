"""A device profile from photographs: every estimator in turn, with its error, and the prior where they are silent."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.augment.color import LUMA, luminance
from spooflab.augment.develop import develop
from spooflab.augment.fit.assemble import assemble
from spooflab.augment.fit.chain import Candidate, Known, device_rows, linear_light
from spooflab.augment.fit.chart import ChartFit, fit_chart
from spooflab.augment.fit.distortion import Distortion, fit_distortion
from spooflab.augment.fit.estimate import Estimate
from spooflab.augment.fit.estimates import (
    fringe_is_seen,
    lens_estimates,
    light_estimates,
    processing_estimates,
    sensor_estimates,
)
from spooflab.augment.fit.falloff import Falloff, fit_falloff
from spooflab.augment.fit.flat_blocks import Blocks, flat_blocks
from spooflab.augment.fit.fringe import Fringe, fit_fringe
from spooflab.augment.fit.lines import edge_chains
from spooflab.augment.fit.noise import NAMES, Match, Prior, Simulator, match, to_candidate
from spooflab.augment.fit.pattern import Pattern, fit_pattern
from spooflab.augment.fit.photographs import Photo, Photographs
from spooflab.augment.fit.prior import b_power, choose_prior, known_of, prior_of
from spooflab.augment.fit.sharpness import Sharpness, fit_sharpness
from spooflab.augment.fit.unit import Traits, nearest_unit
from spooflab.augment.profile import DeviceProfile
from spooflab.augment.tone import srgb_encode, tone_curve
from spooflab.errors import DataError

FORMATS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
_LARGEST_PX = 2048


@dataclass(frozen=True)
class Fit:
    """The fitted profile, and what it rests on.

    Attributes:
        profile: strict, loadable.
        unit: the unit of it that is most like the camera.
        prior: name of the shipped profile that filled the gaps.
        estimates: every quantity, fitted or not.
        photographs: what was read.
        noise, distortion, falloff, sharpness, pattern, fringe, chart: the estimators' own results, for the report.
        chains: per photograph, the edges that the distortion rests on.
        remarks: what a person should know, one sentence each.
    """

    profile: DeviceProfile
    unit: int
    prior: str
    estimates: list[Estimate]
    photographs: Photographs
    noise: Match | None
    distortion: Distortion
    falloff: Falloff
    sharpness: Sharpness
    pattern: Pattern
    fringe: Fringe
    chart: ChartFit | None
    chains: list[list[npt.NDArray[np.float64]]]
    remarks: list[str] = field(default_factory=list)


def fit_device(
    photographs: Photographs,
    *,
    name: str,
    prior: DeviceProfile | None = None,
    charts: list[npt.NDArray[np.uint8]] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Fit:
    """Return the profile of the camera that took `photographs`.

    Args:
        photographs: of one camera and one size, as it wrote them.
        name: of the new profile.
        prior: where gaps are filled from; None for the shipped profile nearest in what is known.
        charts: pictures of a 24-patch colour chart, each cropped to its outer edge (see `fit_chart`).
        progress: told each step.

    Raises:
        DataError: photographs beyond what memory and time allow.
    """
    photos = photographs.photos
    if max(photographs.size) > _LARGEST_PX:
        height, width = photographs.size
        raise DataError(
            f"photographs of {width} x {height} pixels",
            wanted=f"sides up to {_LARGEST_PX} pixels",
            next_step="crop one central window from each without scaling (jpegtran -crop keeps the codec's blocks)",
        )
    progress("coding")
    quality, codec, codec_source, subsampling = _codec(photos)
    progress("flat blocks")
    blocks = Blocks.join([flat_blocks(photo.pixels, photo=i) for i, photo in enumerate(photos)])
    if prior is None:
        prior = choose_prior(blocks, quality, subsampling)
    if codec is None:
        codec, codec_source = {}, f"prior {prior.name}, not identifiable: no JPEG files. {prior.codec.source}"
    known, belief = known_of(prior, subsampling), prior_of(prior)
    chart = fit_chart(charts, known.ccm) if charts else None
    if chart is not None:
        belief = _with_chart(belief, chart)
    progress("noise and processing, by simulation")
    found = _noise(blocks, known, quality, belief, b_power(prior), len(photos))
    candidate = found.candidate if found else _prior_candidate(belief)
    estimates = processing_estimates(found, belief, blocks, chart, prior, len(photos))
    progress("lens")
    linear = [_linear(photo.pixels, candidate) for photo in photos]
    lum = [luminance(light[None])[0, 0].numpy() for light in linear]
    luma = [(photo.pixels @ np.asarray(LUMA, np.float32) / 255).astype(np.float32) for photo in photos]
    chains = [edge_chains(plane * 255) for plane in luma]
    distortion = fit_distortion(chains, photographs.size)
    falloff = fit_falloff(lum)
    f_number, pitch = sum(prior.lens.f_number) / 2, sum(prior.sensor.pitch_um) / 2
    sharpness = fit_sharpness(luma, candidate, known, quality, f_number=f_number, pitch_um=pitch)
    fringe = fit_fringe([p.pixels for p in photos], _again(candidate, known, int(np.median(quality))))
    progress("sensor pattern")
    pattern = fit_pattern(luma, [_slope(plane, candidate) for plane in luma])
    pattern_gain = _pattern_gain(candidate, known, int(np.median(quality)))
    estimates += lens_estimates(distortion, falloff, sharpness, fringe, prior)
    estimates += sensor_estimates(pattern, pattern_gain, prior)
    estimates += light_estimates(linear, chart, prior)
    profile = assemble(name, prior, estimates, codec, codec_source, len(photos))
    traits = Traits(
        red_scale=fringe.red if fringe_is_seen(fringe) else None,
        blue_scale=fringe.blue if fringe_is_seen(fringe) else None,
        cast_ev=chart.cast_ev if chart else None,
        k1=None if distortion.reason else distortion.k1,
    )
    return Fit(
        profile, nearest_unit(profile, traits), prior.name, estimates, photographs, found, distortion, falloff,
        sharpness, pattern, fringe, chart, chains, _remarks(found, pattern, chart, photos),
    )  # fmt: skip


def _codec(photos: list[Photo]) -> tuple[npt.NDArray[np.int64], dict[str, object] | None, str, int]:
    tables = [photo.tables for photo in photos]
    quality = np.array([t.quality if t else 0 for t in tables], np.int64)
    coded = [t for t in tables if t]
    formats = Counter(t.subsampling for t in coded if t.subsampling)
    if not coded or not formats:
        return quality, None, "", 0
    seen = [t.quality for t in coded]
    exact = sum(t.mismatch < 1e-9 for t in coded)
    common = formats.most_common(1)[0][0]
    assert common is not None
    codec: dict[str, object] = {"kind": "jpeg", "quality": [min(seen), max(seen)], "subsampling": [common]}
    told = f"fitted from {len(coded)} photographs: the files' own tables, {exact} of them exactly libjpeg's"
    if exact < len(coded):
        told += f" (others differ by up to {100 * max(t.mismatch for t in coded):.0f} % an entry)"
    return quality, codec, told, FORMATS[common]


def _noise(
    blocks: Blocks, known: Known, quality: npt.NDArray[np.int64], belief: Prior, power: float, photos: int
) -> Match | None:
    simulate = Simulator(blocks, known, quality, b_power=power)
    if len(np.unique(simulate.chosen.level)) < 3:
        return None
    return match(blocks, simulate, belief, photos)


def _with_chart(belief: Prior, chart: ChartFit) -> Prior:
    """Return the belief with the chart's curve and saturation: it sees them plainly, noise only by their slope."""
    mean, std = belief.mean.copy(), belief.std.copy()
    for key, value, error in (
        ("tone", chart.tone, 0.02),
        ("gamma", chart.gamma, 0.006),
        ("saturation", chart.saturation, 0.06),  # also takes up what another matrix does to noise
    ):
        mean[NAMES.index(key)], std[NAMES.index(key)] = value, error
    return Prior(mean, std)


def _prior_candidate(belief: Prior) -> Candidate:
    return to_candidate(belief.mean)


def _again(
    candidate: Candidate, known: Known, quality: int
) -> Callable[[npt.NDArray[np.uint8], float], npt.NDArray[np.float32]]:
    def again(pixels: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.float32]:
        light = _linear(pixels, candidate)[None]
        size = (light.shape[-2], light.shape[-1])
        params = device_rows(candidate, known, 1, size, quality=np.array([quality]), stops=np.zeros(1))
        params = dataclasses.replace(params, red_scale=torch.tensor([scale]), blue_scale=torch.tensor([-scale]))
        photo: npt.NDArray[np.float32] = (develop(light, params)[0] * 255).permute(1, 2, 0).numpy()
        return photo

    return again


def _linear(pixels: npt.NDArray[np.uint8], candidate: Candidate) -> Tensor:
    codes = torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)
    return linear_light(codes[None], candidate)[0].contiguous()


def _slope(luma: npt.NDArray[np.float32], candidate: Candidate) -> npt.NDArray[np.float32]:
    """Return d code / d ln light by the candidate's curve."""
    light = torch.logspace(-4, 0, 400)
    tone, gamma = torch.tensor([candidate.tone]), torch.tensor([candidate.gamma])
    code = tone_curve(srgb_encode(light)[None, None, None], tone=tone, gamma=gamma)[0, 0, 0].numpy()
    slope = np.gradient(code, np.log(light.numpy()))
    at: npt.NDArray[np.float32] = np.interp(luma, code, slope).astype(np.float32)
    return at


def _pattern_gain(candidate: Candidate, known: Known, quality: int, *, side: int = 256, count: int = 8) -> float:
    """Return how much of a sensor's pattern the estimator finds behind this chain, by simulation on even light."""
    params = device_rows(
        candidate, known, count, (side, side), quality=np.full(count, quality), stops=np.zeros(count), draw=7
    )
    true = 0.01
    params = dataclasses.replace(
        params, prnu_std=torch.full((count,), true), prnu_seed=torch.full((count,), 7, dtype=torch.int64)
    )
    light = torch.linspace(0.1, 0.5, count)[:, None, None, None].expand(-1, 3, side, side).contiguous()
    photos = develop(light, params).permute(0, 2, 3, 1).numpy()
    luma = [np.asarray(photo @ np.asarray(LUMA, np.float32), np.float32) for photo in photos]
    found = fit_pattern(luma, [_slope(plane, candidate) for plane in luma])
    return max(found.std / true, 0.02)


def _remarks(found: Match | None, pattern: Pattern, chart: ChartFit | None, photos: list[Photo]) -> list[str]:
    out = []
    if len(photos) < 10:
        out.append(f"{len(photos)} photographs are few: errors are found by resampling them, and 20 or more fit well.")
    if chart is None:
        out.append("No chart was given: the tone curve rests on the noise alone, casts and saturation on the prior.")
    if found is not None and found.misfit > 1.5:
        out.append(
            f"The chain explains the flat blocks poorly (misfit {found.misfit:.1f}, 1 is ideal): another processing."
        )
    if pattern.shared:
        out.append("All photographs carry one sensor's pattern (or one scene, if a tripod took them).")
    else:
        out.append("No common sensor pattern was found: several cameras, moved windows, or strong denoising.")
    if any(photo.tables is None for photo in photos):
        out.append("Some files are no JPEGs: if they were coded before, their noise is misread.")
    return out
