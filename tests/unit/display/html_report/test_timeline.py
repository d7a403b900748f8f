"""The run's working time: sessions without their pauses, holds and outages from the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.display.html_report.timeline import MOST_CELLS, Axis, WaitStats, timeline
from rolecall.models import Json
from tests.unit.display.html_report.making import START, event, result, tallied

DAY = 86_400_000


def waited(*events: dict[str, Json], end: float | None = None) -> WaitStats:
    """Read events."""
    waits = WaitStats()
    for each in events:
        waits.add(each)
    waits.close(None if end is None else START + round(end * 1_000))
    return waits


def test_holds_and_outages_are_read_from_the_log() -> None:
    """Their number and their lengths are those that the log tells."""
    waits = waited(
        event("rate limit pause", 1, seconds=10.0),
        event("outage began", 20),
        event("outage ended", 26.5, seconds=6.5),
        event("rate limit pause", 30, seconds=2.5),
    )
    assert (waits.holds, waits.held_ms, waits.outages, waits.away_ms) == (2, 12_500, 1, 6_500)


def test_a_hold_that_is_prolonged_counts_once() -> None:
    """Two holds that overlap last from the begin of the first to the end of the second."""
    assert waited(event("rate limit pause", 0, seconds=10), event("rate limit pause", 5, seconds=10)).held_ms == 15_000


@pytest.mark.parametrize("ended", ["run stopped", "run ended", "run resumed", None])
def test_an_outage_that_does_not_end_lasts_as_long_as_the_run(ended: str | None) -> None:
    """An outage that stopped the run ends with it, or where the log ends with the last session."""
    events = [event("outage began", 10), *([event(ended, 25)] if ended else [])]
    assert waited(*events, end=25).away_ms == 15_000


@pytest.mark.parametrize(
    "bad",
    [
        {"event": "rate limit pause"},
        {"event": "rate limit pause", "timestamp": 5, "seconds": 1},
        {"event": "rate limit pause", "timestamp": "yesterday", "seconds": 1},
        event("rate limit pause", 1),
        event("rate limit pause", 1, seconds="long"),
        event("rate limit pause", 1, seconds=-3),
        event("rate limit pause", 1, seconds=1e300),
        event("rate limit pause", 1, seconds=float("nan")),
        event("outage ended", 1),
        {"event": ["rate limit pause"], "timestamp": "2026-03-01T09:30:00Z"},
        {},
    ],
)
def test_what_the_log_tells_badly_is_passed_over(bad: dict[str, Json]) -> None:
    """The log is not the truth: nonsense in it is no hold, and no error."""
    waits = waited(bad, end=100)
    assert (waits.held_ms, waits.away_ms) == (0, 0)


SPANS = st.lists(st.tuples(st.integers(0, DAY), st.integers(1, DAY)), min_size=1, max_size=6)


@given(SPANS, st.lists(st.integers(0, 10**9)))
def test_places_follow_the_time(parts: list[tuple[int, int]], times: list[int]) -> None:
    """The place of a time never leaves the axis, a later time is never before an earlier, and places lead back."""
    spans, at = list[tuple[int, int]](), START
    for pause, length in parts:
        spans.append((at + pause, at + pause + length))
        at += pause + length
    axis = Axis(spans)
    places = [axis.place(START + time) for time in sorted(times)]
    assert places == sorted(places)
    assert all(0 <= place <= axis.length for place in places)
    assert axis.length == sum(length for _, length in parts)
    assert all(axis.place(axis.time(place)) == pytest.approx(place, abs=1) for place in places)


@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=300), st.integers(1, 5))
def test_rates_add_up_to_the_rows(seconds: list[int], sessions: int) -> None:
    """Rows are neither lost nor made when bins become cells, however the sessions lie."""
    length = 4_100_000 // sessions
    spans = [(START + n * length, START + (n + 1) * length - (200 if n + 1 < sessions else 0)) for n in range(sessions)]
    line = timeline(spans, tallied(map(result, seconds)), WaitStats())
    assert sum(cell.rows for cell in line.cells) * line.width / 1_000 == pytest.approx(len(seconds))
    assert len(line.cells) <= MOST_CELLS


def test_a_hold_fills_its_cells() -> None:
    """Of a minute with a hold from second 20 to 40 a third is held, all of it in the middle."""
    line = timeline([(START, START + 60_000)], tallied([result(1)]), waited(event("rate limit pause", 20, seconds=20)))
    held = [cell.held for cell in line.cells]
    third = len(held) // 3
    assert sum(held) / len(held) == pytest.approx(1 / 3, abs=0.02)
    assert sum(held[: third - 1]) == sum(held[2 * third + 2 :]) == 0


def test_marks_are_round_times_and_name_a_new_day() -> None:
    """The axis is labelled with whole seconds or minutes; where the day changes it says so."""
    assert [text for _, text in Axis([(START, START + 4_000)]).marks(5)] == [
        "09:30:00", "09:30:01", "09:30:02", "09:30:03", "09:30:04",
    ]  # fmt: skip
    two_days = Axis([(START, START + 1_200_000), (START + DAY, START + DAY + 1_200_000)])
    texts = [text for _, text in two_days.marks(6)]
    assert texts == ["09:30", "09:40", "09:50", "2 Mar 09:40", "09:50"]
