"""What photographs show of a camera's noise and processing, and the match that rests on all of it."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.behind import pattern_gain, slope_of
from spooflab.augment.fit.beside import SIDE as STEP_SIDE
from spooflab.augment.fit.beside import Sides, StepSimulator, seen_beside, striped_covers
from spooflab.augment.fit.chain import Candidate, Known
from spooflab.augment.fit.coding import Coding
from spooflab.augment.fit.edges import Edges
from spooflab.augment.fit.estimate import Estimate
from spooflab.augment.fit.estimates import pattern_strength, skin_estimate
from spooflab.augment.fit.flat_blocks import Blocks, FloatArray
from spooflab.augment.fit.noise import Match, Start, look, match, told
from spooflab.augment.fit.pattern import Pattern, fit_pattern
from spooflab.augment.fit.prior import b_power
from spooflab.augment.fit.sharpness import Sharpness, fit_sharpness
from spooflab.augment.fit.simulator import Simulator
from spooflab.augment.fit.skin import apart_from_skin, fit_skin, skin_coloured
from spooflab.augment.fit.sought import Prior, to_candidate
from spooflab.augment.fit.surfaces import Surfaces, surfaces_of
from spooflab.augment.profile import DeviceProfile
from spooflab.augment.view import View

_FEWEST_LEVELS = 3
_CLEAR_SMOOTHING = 2.0
"""Standard errors from which skin smoothing is taken as seen."""
_FEWEST_STEPS, _MOST_STEPS = 192, 768
"""Edges from which what lies beside them is compared, and how many colours of theirs are simulated."""


@dataclass(frozen=True)
class Evidence:
    """What is compared with candidates, measured once.

    Attributes:
        surfaces: that noise is matched on.
        skin: flat blocks of skin; None where noise has little else to go by.
        edges, sides: clean edges, and what lies beside them.
        luma: (H, W) of each photograph.
        plain: (H, W) of each, which pixels have no hint of skin colour.
        coding: the photographs' files.
        lens: a photograph's window.
        prior: what gaps are filled from.
    """

    surfaces: Surfaces
    skin: Blocks | None
    edges: Edges
    sides: Sides
    luma: list[FloatArray]
    plain: list[npt.NDArray[np.bool_]]
    coding: Coding
    lens: View
    prior: DeviceProfile

    def match(self, known: Known, belief: Prior) -> tuple[Match | None, Pattern, float]:
        """Return the matched noise, the sensor's pattern, and what of a pattern the chain lets through.

        The pattern is part of the noise of bright light, and how much of it passes depends on the processing: it is
        measured between a rough look, with the prior's pattern, and the match itself. Strong noise makes pixels of
        other colours look like skin for a moment, so smoothing that is clearly seen is simulated in the match, though
        skin itself takes no part in it.
        """
        if len(self.surfaces.levels) < _FEWEST_LEVELS:
            return None, *self.pattern(to_candidate(belief.mean), known)
        start = look(self._simulator(known), belief)
        rough = to_candidate(start.z)
        pattern, gain = self.pattern(rough, known)
        if pattern.shared:
            belief, start = told(belief, start, "prnu_std", *pattern_strength(pattern, gain))
        smoothing = self.smoothing(start, known)
        if smoothing.fitted and smoothing.value > _CLEAR_SMOOTHING * smoothing.std:
            known = dataclasses.replace(known, beautify=smoothing.value)
        return match(self._simulator(known), belief, start, self.steps(rough, known)), pattern, gain

    def pattern(self, behind: Candidate, known: Known) -> tuple[Pattern, float]:
        """Return the photographs' common pattern, and what of one the candidate's chain lets through.

        Not on skin, which cameras may smooth.
        """
        slopes = [slope_of(plane, behind) * seen for plane, seen in zip(self.luma, self.plain, strict=True)]
        return fit_pattern(self.luma, slopes), pattern_gain(behind, known, self.coding.typical)

    def smoothing(self, behind: Start | Match | None, known: Known) -> Estimate:
        """Return the strength of skin smoothing behind the noise that was found; None if none was."""
        if self.skin is None or behind is None:
            return skin_estimate(None, self.prior)
        found = fit_skin(
            self.skin, known, self.coding.quality, behind.z, behind.stops, b_power=b_power(self.prior)
        )  # fmt: skip
        return skin_estimate(found, self.prior)

    def sharpness(self, behind: Candidate, known: Known) -> Sharpness:
        """Return the blur of each photograph."""
        return fit_sharpness(self.edges, behind, known, self.coding.quality, self.lens)

    def steps(self, behind: Candidate, known: Known) -> StepSimulator | None:
        """Return what simulates steps like the photographs' edges; None where these are few, or the window small."""
        blur_px = self.sharpness(behind, known).blur_px
        plain = np.flatnonzero(~skin_coloured(self.edges.colours).any(1))
        if len(plain) < _FEWEST_STEPS or min(self.lens.width, self.lens.height) < STEP_SIDE or np.isnan(blur_px).all():
            return None
        chosen = self.edges.take(np.random.default_rng(0).permutation(plain)[:_MOST_STEPS])
        covers = striped_covers(len(chosen), self.lens, float(np.nanmean(blur_px)))
        seen, power = seen_beside(self.edges, self.sides), b_power(self.prior)
        return StepSimulator(seen, chosen, known, self.coding.quality, covers, b_power=power)

    def _simulator(self, known: Known) -> Simulator:
        return Simulator(self.surfaces, known, self.coding.quality, b_power=b_power(self.prior))


def plain_and_skin(blocks: Blocks) -> tuple[Surfaces, Blocks | None]:
    """Return the surfaces that noise is matched on, and blocks of skin: None where noise has little else to go by."""
    plain, skin = apart_from_skin(blocks)
    surfaces = surfaces_of(plain)
    if len(surfaces.levels) >= _FEWEST_LEVELS:
        return surfaces, skin
    return surfaces_of(blocks), None
