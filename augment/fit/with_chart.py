"""What a colour chart changes in what is believed, and what it writes into the profile."""

import math

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.chart import ChartFit, fit_chart
from spooflab.augment.fit.sought import NAMES, Prior
from spooflab.errors import DataError

_LARGEST_RESIDUAL = 12
_SEEN = ("tone", "gamma", "saturation")
_LEAST_STD = np.array([0.01, 0.003, 0.01])
"""What other cameras' curves and matrices may be wrong by, which the chart's own error does not hold."""


def checked_chart(
    charts: dict[str, npt.NDArray[np.uint8]], ccm: npt.NDArray[np.float64], lens: tuple[float, float]
) -> ChartFit:
    """Return `fit_chart` of pictures by name.

    Raises:
        DataError: pictures that no curve and colours explain, by name: another chart, a turned one, or a wrong crop.
    """
    fit = fit_chart(list(charts.values()), ccm, lens)
    if fit.residual <= _LARGEST_RESIDUAL:
        return fit
    alone = {name: fit_chart([chart], ccm, lens).residual for name, chart in charts.items()}
    worst = max(alone, key=lambda name: alone[name])
    raise DataError(
        f"chart {worst}: patches differ from a 24-patch chart's by {alone[worst]:.0f} code values of 255",
        wanted=f"at most {_LARGEST_RESIDUAL}: the chart cropped to its outer edge, dark skin at the top left",
        next_step="turn or crop the picture, or leave it out",
    )


def seen_by(chart: ChartFit) -> dict[str, float]:
    """Return the chart's curve and saturation by name, in the noise fit's units."""
    return {name: getattr(chart, name) for name in _SEEN}


def belief_with_chart(belief: Prior, chart: ChartFit) -> Prior:
    """Return the belief with the chart's curve and saturation, errors and correlations as the chart has them.

    The gains that noise shows are those the camera applies, its lasting cast included: the belief moves along.
    """
    places = [NAMES.index(name) for name in _SEEN]
    seen = np.array(list(seen_by(chart).values()))
    belief = belief.with_known(places, seen, np.array(chart.covariance) + np.diag(_LEAST_STD**2))
    mean = belief.mean.copy()
    for name, cast in (("red_gain", chart.cast_ev[0]), ("blue_gain", chart.cast_ev[2])):
        mean[NAMES.index(name)] += cast * math.log(2)
    return Prior(mean, belief.covariance)


def pinned(chart: ChartFit | None) -> dict[str, object]:
    """Return the colours of this one camera, as a profile's `colour` holds them."""
    if chart is None:
        return {}
    rows = [[round(red, 4), round(green, 4)] for red, green, _ in chart.departure]
    return {
        "unit_departure": [[red, green, round(-red - green, 4)] for red, green in rows],
        "unit_cast_ev": [round(v, 4) for v in chart.cast_ev],
    }
