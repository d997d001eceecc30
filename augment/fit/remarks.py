"""What a person should know of a fit, one sentence each."""

from spooflab.augment.fit.chart import ChartFit
from spooflab.augment.fit.noise import Match
from spooflab.augment.fit.pattern import Pattern
from spooflab.augment.fit.photographs import Photo


def remarks_on(found: Match | None, pattern: Pattern, chart: ChartFit | None, photos: list[Photo]) -> list[str]:
    """Return the remarks: few photographs, no chart, a chain that does not fit, other formats."""
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
