"""A device profile from photographs: every estimator in turn, with its error, and the prior where they are silent."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spooflab.augment.color import luminance
from spooflab.augment.fit.assemble import assemble
from spooflab.augment.fit.behind import again_with_fringe, linear_of, luma_of
from spooflab.augment.fit.beside import sides_of
from spooflab.augment.fit.chart import ChartFit
from spooflab.augment.fit.coding import codec_of, read_coding
from spooflab.augment.fit.distortion import Distortion, fit_distortion
from spooflab.augment.fit.estimate import Estimate
from spooflab.augment.fit.estimates import (
    assumed_estimates,
    fringe_is_seen,
    lens_estimates,
    light_estimates,
    pattern_estimate,
    processing_estimates,
)
from spooflab.augment.fit.evidence import Evidence, plain_and_skin
from spooflab.augment.fit.falloff import Falloff, fit_falloff
from spooflab.augment.fit.flat_blocks import Blocks, flat_blocks
from spooflab.augment.fit.fringe import Fringe, fit_fringe
from spooflab.augment.fit.lines import edge_chains
from spooflab.augment.fit.noise import Match, given
from spooflab.augment.fit.pattern import Pattern
from spooflab.augment.fit.photographs import Photographs
from spooflab.augment.fit.prior import choose_prior, known_of, prior_of
from spooflab.augment.fit.remarks import remarks_on
from spooflab.augment.fit.sharpness import Sharpness
from spooflab.augment.fit.skin import plain_pixels
from spooflab.augment.fit.sought import to_candidate
from spooflab.augment.fit.texture import without_texture
from spooflab.augment.fit.unit import Traits, nearest_unit
from spooflab.augment.fit.with_chart import belief_with_chart, checked_chart, pinned, seen_by
from spooflab.augment.profile import DeviceProfile
from spooflab.augment.view import View


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
    charts: dict[str, npt.NDArray[np.uint8]] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Fit:
    """Return the profile of the camera that took `photographs`.

    Args:
        photographs: of one camera and one size, as it wrote them.
        name: of the new profile.
        prior: where gaps are filled from; None for the shipped profile nearest in what is known.
        charts: pictures by name of a 24-patch colour chart, each cropped to its outer edge (see `fit_chart`).
        progress: told each step.

    Raises:
        DataError: a chart picture that shows no chart, or a turned one.
    """
    photos = photographs.photos
    pixels = [photo.pixels for photo in photos]
    progress("flat blocks")
    coding = read_coding(photos)
    blocks = Blocks.join([flat_blocks(own, photo=i) for i, own in enumerate(pixels)])
    surfaces, skin = plain_and_skin(without_texture(blocks))
    if prior is None:
        prior = choose_prior(surfaces, coding.quality, coding.subsampling)
    optics = (_middle(prior.lens.f_number), _middle(prior.sensor.pitch_um))
    known, belief = known_of(prior, coding.subsampling), prior_of(prior)
    chart = checked_chart(charts, known.ccm, optics) if charts else None
    if chart is not None:
        belief = belief_with_chart(belief, chart)
    progress("lines and edges")
    luma = [luma_of(own) for own in pixels]
    chains = [edge_chains(plane * 255) for plane in luma]
    distortion = fit_distortion(chains, photographs.size)
    lens = _lens(photographs.size, optics, distortion, prior)
    edges, sides = sides_of(pixels)
    plain = [plain_pixels(own) for own in pixels]
    evidence = Evidence(surfaces, skin, edges, sides, luma, plain, coding, lens, prior)
    progress("noise and processing, by simulation")
    found, pattern, gain = evidence.match(known, belief)
    if found and chart:
        found = given(found, seen_by(chart))  # the profile holds what the chart shows, and noise that goes with it
    candidate = found.candidate if found else to_candidate(belief.mean)
    estimates = processing_estimates(found, belief, chart, prior, len(photos))
    smoothing = evidence.smoothing(found, known)
    estimates.append(smoothing)
    known = dataclasses.replace(known, beautify=smoothing.value if smoothing.fitted else 0.0)
    progress("lens and light")
    linear = [linear_of(own, candidate) for own in pixels]
    falloff = fit_falloff([luminance(light[None])[0, 0].numpy() for light in linear])
    sharpness = evidence.sharpness(candidate, known)
    fringe = fit_fringe(pixels, again_with_fringe(candidate, known, coding.typical))
    estimates += lens_estimates(distortion, falloff, sharpness, fringe, prior)
    estimates.append(pattern_estimate(found, pattern, gain, prior))
    estimates += assumed_estimates(*optics)
    estimates += light_estimates(linear, chart, prior)
    profile = assemble(name, prior, estimates, *codec_of(coding, prior), len(photos), pinned(chart))
    return Fit(
        profile, nearest_unit(profile, _traits(fringe, distortion)), prior.name, estimates, photographs, found,
        distortion, falloff, sharpness, pattern, fringe, chart, chains, remarks_on(found, pattern, chart, photos),
    )  # fmt: skip


def _traits(fringe: Fringe, distortion: Distortion) -> Traits:
    seen = fringe_is_seen(fringe)
    return Traits(
        red_scale=fringe.red if seen else None,
        blue_scale=fringe.blue if seen else None,
        k1=None if distortion.reason else distortion.k1,
    )


def _lens(size: tuple[int, int], optics: tuple[float, float], distortion: Distortion, prior: DeviceProfile) -> View:
    """Return the finished device's window; where lines are silent its lens bends as much as half of the prior's do."""
    k1, k2 = distortion.k1, distortion.k2
    if distortion.reason:
        k1, k2 = max(np.abs(prior.lens.edge_distortion)) / 2, 0.0
    return View.ideal(*size, k1=k1, k2=k2, f_number=optics[0], pitch_um=optics[1])


def _middle(limits: tuple[float, float]) -> float:
    return sum(limits) / 2
