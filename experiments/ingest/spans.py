"""Which frames of a clip are taken."""


def evenly(count: int, wanted: int) -> list[int]:
    """Return the frames at the middles of `wanted` equal spans of a clip of `count` frames; all of a shorter clip.

    >>> evenly(10, 2), evenly(3, 8)
    ([2, 7], [0, 1, 2])
    """
    if count <= wanted:
        return list(range(count))
    return [(2 * k + 1) * count // (2 * wanted) for k in range(wanted)]
