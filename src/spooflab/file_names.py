"""Names of strangers' files: which cannot be written into records, lists and pages, and how those are shown."""

import unicodedata

_LINES_AND_TURNS = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Ends of lines, and marks that turn the direction of writing so that a name reads as another."""


def name_refusal(name: str) -> str | None:
    """Return what is wrong with a file's name, None where nothing is.

    Args:
        name: as Python gives it: bytes that are not UTF-8 are lone surrogates.

    >>> name_refusal("a/b.png"), name_refusal("a\\nb.png")
    (None, 'a control character, U+000A, in the name')
    """
    for letter in name:
        kind = unicodedata.category(letter)
        if kind == "Cs":
            return "the name is not UTF-8"
        if kind == "Cc" or letter in _LINES_AND_TURNS:
            return f"a control character, U+{ord(letter):04X}, in the name"
    return None


def shown_name(name: str) -> str:
    """Return a name as every list and page can hold it: what `name_refusal` refuses is written as an escape.

    >>> shown_name("a\\nb.png"), shown_name("é.png")
    ('a\\\\nb.png', 'é.png')
    """
    return "".join(
        letter if name_refusal(letter) is None else letter.encode("unicode_escape").decode("ascii") for letter in name
    )


def has_surrogates(text: str) -> bool:
    """Return whether a text cannot be written as UTF-8, as a name that is not, or a half character of a JSON file."""
    return any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)
