"""Text for people: sanitised, counted, with times in UTC."""

import pytest

from rolecall.text import plural, rfc3339, sanitise


def test_sanitise_cuts_and_shows_that_it_has_cut() -> None:
    """A text beyond the limit ends in an ellipsis and has exactly the limit's length; a line break is replaced."""
    assert sanitise("abcdef", limit=4) == "abc…"
    assert sanitise("abcd", limit=4) == "abcd"
    assert sanitise("a\r\nb") == "a\ufffd\ufffdb"


def test_sanitise_keeps_the_characters_that_are_allowed() -> None:
    """Only the characters in `keep` stay as they are."""
    assert sanitise("a\tb\nc\x1b", keep="\t\n") == "a\tb\nc\ufffd"


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_200, "1,200 rows")])
def test_plural(number: int, text: str) -> None:
    """Everything but one is plural; thousands are separated."""
    assert plural(number, "row") == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_772_357_400_250, "2026-03-01T09:30:00.250Z"),
        (999, "1970-01-01T00:00:00.999Z"),
    ],
)
def test_rfc3339(milliseconds: int | None, text: str | None) -> None:
    """Times are UTC with milliseconds and a Z."""
    assert rfc3339(milliseconds) == text
