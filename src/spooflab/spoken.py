"""Quantities as a person says them."""


def duration(seconds: float) -> str:
    """Say a time in the unit that suits it.

    >>> [duration(s) for s in (0, 59.6, 3599, 9000, 100_000)]
    ['0 s', '1 min', '60 min', '2.5 h', '27.8 h']
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Say a number of bytes, in powers of a thousand.

    >>> size(3_200_000), size(5_600_000_000)
    ('3 MB', '5.6 GB')
    """
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
