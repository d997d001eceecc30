"""Names that can be written down, and how the others are shown."""

import os

import pytest

from spooflab.file_names import has_surrogates, name_refusal, shown_name


@pytest.mark.parametrize(
    "name", ["a.png", "a b.png", "é.png", "日本.png", "👩‍🚀.png", "a\u202fb.png", "a\\b", "<i>", "--x"]
)
def test_ordinary_names_of_any_language_are_taken(name: str) -> None:
    assert name_refusal(name) is None
    assert shown_name(name) == name


@pytest.mark.parametrize(
    ("name", "why", "shown"),
    [
        (b"\xff.png", "the name is not UTF-8", "\\udcff.png"),
        (b"a\nb.png", "a control character, U+000A, in the name", "a\\nb.png"),
        (b"\x1b[31m", "a control character, U+001B, in the name", "\\x1b[31m"),
        ("a\u202egnp".encode(), "a control character, U+202E, in the name", "a\\u202egnp"),
        ("a\u2028b".encode(), "a control character, U+2028, in the name", "a\\u2028b"),
    ],
)
def test_names_that_lists_cannot_hold_are_refused_and_shown_by_escapes(name: bytes, why: str, shown: str) -> None:
    text = os.fsdecode(name)
    assert name_refusal(text) == why
    assert shown_name(text) == shown
    assert name_refusal(shown) is None
    assert has_surrogates(text) == (name == b"\xff.png")
