"""Text for people: sanitised, counted, with times in UTC and durations."""

import pytest

from rolecall.text import format_countdown, format_duration, format_estimate, plural, rfc3339, sanitise, wrap_words


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
        (253_402_387_139_000, "9999-12-31T23:59:59.999Z"),
        (10**18, "9999-12-31T23:59:59.999Z"),
        (-62_135_596_802_000, "1000-01-01T00:00:00.000Z"),
    ],
)
def test_rfc3339(milliseconds: int | None, text: str | None) -> None:
    """Times are UTC with milliseconds and a Z."""
    assert rfc3339(milliseconds) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ms"),
        (25, "25 ms"),
        (1_000, "1 s"),
        (3_240, "3.2 s"),
        (59_949, "59.9 s"),
        (59_990, "1 min"),
        (100_000, "1 min 40 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (3_601_000, "1 h"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_durations(milliseconds: int, text: str) -> None:
    """A duration has its two largest units; a second unit of zero is left out."""
    assert format_duration(milliseconds / 1_000) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.4, "0 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_061, "25 h 1 min")],
)
def test_durations_in_whole_seconds(seconds: float, text: str) -> None:
    """Units are seconds to hours, two of them at most."""
    assert format_duration(seconds, whole_seconds=True) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.1, "1 s"),
        (41.2, "42 s"),
        (99, "99 s"),
        (100, "1 min 40 s"),
        (828, "13 min 48 s"),
        (1541, "26 min"),
        (3600, "1 h 00 min"),
        (11_100, "3 h 05 min"),
        (100_000, "27 h 46 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_countdowns(seconds: float, text: str) -> None:
    """A countdown is rounded up, and less exact the longer it is."""
    assert format_countdown(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 second"),
        (1.4, "1 second"),
        (8.0, "8 seconds"),
        (89.4, "89 seconds"),
        (90.0, "2 minutes"),
        (2520.0, "42 minutes"),
        (5399.0, "90 minutes"),
        (5400.0, "1.5 hours"),
        (12_600.0, "3.5 hours"),
    ],
)
def test_estimates(seconds: float, text: str) -> None:
    """An estimate has one unit: seconds, minutes or hours."""
    assert format_estimate(seconds) == text


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("one two", ["one two"]),
        ("/a/path/that/is/longer", ["/a/path/that/is/longer"]),
        ("see well-known.word here", ["see", "well-known.word", "here"]),
        ("Next: rolecall verify a", ["Next: rolecall verify a"]),
        ("Undo: rolecall undo a", ["Undo: rolecall undo a"]),
    ],
)
def test_lines_are_broken_between_words(line: str, lines: list[str]) -> None:
    """No word is broken, and a command that is copied stays in one line."""
    assert wrap_words(line, 8).splitlines() == lines
