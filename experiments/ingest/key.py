"""Keys of stored pictures: the item's number and the frame's; they tell nothing of the label."""


def key_of(item: int, frame: int) -> str:
    """Return the key of a frame of an item.

    >>> key_of(7, 12), item_of(key_of(7, 12))
    ('r00000007-000012', 7)
    """
    return f"r{item:08d}-{frame:06d}"


def item_of(key: str) -> int:
    """Return the number of the item that a key belongs to."""
    return int(key[1:].partition("-")[0])
