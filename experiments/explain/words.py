"""What the figures of an explanation allow to be said, in sentences that the command and the report share."""

from typing import Any


def purity_words(embedding: dict[str, Any]) -> list[str]:
    """Say by what the features cluster, and how much."""
    out = []
    for line in embedding["purity"]:
        title, found = line["of"], line["figures"]
        if found is None:
            out.append(f"{title}: one label or too few rows, nothing to cluster by")
            continue
        much = "more than" if found["clustered"] else "no more than"
        out.append(
            f"{title}: {_percent(found['purity'])} of 10 nearest neighbours share the label, "
            f"{much} shuffled labels reach (chance {_percent(found['chance'])}); "
            f"{found['excess']:.2f} of the way from chance to pure, silhouette {found['silhouette']:+.2f}"
        )
    return out


def pointing_words(saliency: dict[str, Any]) -> list[str]:
    """Say whether the network looks at the instrument, by each method, and what was left out."""
    out = []
    for name, method in saliency["methods"].items():
        line = next(line for line in method["lines"] if line["of"] == "all")
        out.append(f"{name}: {verdict(line)}")
    if not saliency["methods"]:
        out.append(f"pointing game: {saliency['attacks']} attacks with a mask that leaves it open, too few")
    return out + doubts(saliency) + left_out(saliency)


WIDE_GAP = 0.25
"""Median gap of integrated gradients, relative to their sum, from which they are said not to hold."""


def doubts(saliency: dict[str, Any]) -> list[str]:
    """Say where integrated gradients do not add up to what they explain."""
    gap = saliency.get("gap")
    if gap is None or gap <= WIDE_GAP:
        return []
    return [f"integrated gradients are not to be relied on here: they miss their sum by {_percent(gap)} (median)"]


def verdict(line: dict[str, Any]) -> str:
    """Say what one line of the pointing game shows, with its baselines."""
    beaten = [
        (line["beats_chance"], "any place of the frame"),
        (line["own_mask"], "the masks of other attacks"),
        (line["shuffled_p"] < 0.05 and line["rate"] > line["shuffled_rate"], "a network with shuffled weights"),
    ]
    surely = [name for won, name in beaten if won]
    rest = [name for won, name in beaten if not won]
    words = f"largest inside the spoof in {line['hits']} of {line['attacks']} attacks"
    if surely:
        words += f", surely more often than {' and '.join(surely)}"
    if rest:
        words += f"; not surely more often than {' or '.join(rest)}"
    return words


def left_out(saliency: dict[str, Any]) -> list[str]:
    """Say which species are not played with, and why."""
    out = []
    if saliency["whole_frame"]:
        named = [f"{name} (median {_percent(share)} of the frame)" for name, share in saliency["whole_frame"].items()]
        out.append(f"left out, because the game would be won anywhere: {', '.join(named)}")
    if saliency["no_mask"]:
        out.append(f"left out, because no spoof mask is recorded: {', '.join(saliency['no_mask'])}")
    return out


def physics_words(physics: dict[str, Any]) -> list[str]:
    """Say of each species, and of all, which parameter goes with being accepted, or why none is named."""
    sets = dict(physics["species"])
    if physics["all"] is not None:
        sets["all species"] = physics["all"]
    return [f"{name}: {explained_words(found)}" for name, found in sets.items()]


def explained_words(found: dict[str, Any]) -> str:
    """Say which parameters one set of attacks names, or why it names none."""
    if found["skill"] is None:
        return f"no parameter named: {found['refused']}"
    skill = f"R² of unseen people {found['skill']:+.2f} [{found['skill_low']:+.2f}, {found['skill_high']:+.2f}]"
    if found["refused"]:
        return f"no parameter named: {found['refused']} ({skill})"
    named = [row for row in found["importances"] if row["p"] < 0.05]
    if not named:
        return f"the model predicts ({skill}), but no parameter alone surely matters"
    parts = [f"{row['name']} ({way(row['direction'])})" for row in named]
    return f"accepted more by {', '.join(parts)}; {skill}"


def way(direction: float) -> str:
    """Say which values of a parameter go with being accepted; weak rank correlations have no one way."""
    if abs(direction) < 0.1:
        return "no one way"
    return "high" if direction > 0 else "low"


def p_words(p: float) -> str:
    """Format a p-value.

    >>> p_words(0.00004), p_words(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
