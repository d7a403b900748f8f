"""The working time of a run: sessions without the time between them, pauses and outages."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.display.html_report.timeline import MAX_BUCKETS, TimeAxis, WaitStats, build_timeline
from tests.unit.display.html_report.making import START, collected, result

DAY = 86_400_000


def waited(
    *pauses: tuple[float, float], outages: Sequence[tuple[float, float | None]] = (), end: float | None = None
) -> WaitStats:
    """Return the statistics of pauses and outages, each with its start and end in seconds."""
    waits = WaitStats()
    for start, stop in pauses:
        waits.add_pause(_ms(start), _ms(stop))
    for start, last in outages:
        waits.add_outage(_ms(start), None if last is None else _ms(last))
    waits.close(None if end is None else _ms(end))
    return waits


def _ms(seconds: float) -> int:
    return START + round(seconds * 1_000)


def test_pauses_and_outages_are_counted() -> None:
    """Their number and their duration are those of the store."""
    waits = waited((1, 11), (30, 32.5), outages=[(20, 26.5)])
    assert (waits.pauses, waits.paused_ms, waits.outages, waits.outage_ms) == (2, 12_500, 1, 6_500)


def test_a_pause_that_is_prolonged_counts_once() -> None:
    """Two pauses that overlap last from the begin of the first to the end of the second."""
    assert waited((0, 10), (5, 15)).paused_ms == 15_000


@pytest.mark.parametrize("ended", [25, None])
def test_an_outage_that_does_not_end_lasts_as_long_as_the_run(ended: float | None) -> None:
    """An outage that stopped the run ends with the run, or with the last row if the process was killed."""
    waits = waited(outages=[(10, ended)], end=25)
    assert (waits.outages, waits.outage_ms) == (1, 15_000)


@pytest.mark.parametrize("span", [(5, 5), (5, 3), (0, 1e9), (-1e9, 5)])
def test_impossible_times_are_ignored(span: tuple[float, float]) -> None:
    """A pause or an outage that ends before it starts, or lasts for decades, has no duration: a clock was set."""
    waits = waited(span, outages=[span])
    assert (waits.paused_ms, waits.outage_ms) == (0, 0)


SPANS = st.lists(st.tuples(st.integers(0, DAY), st.integers(1, DAY)), min_size=1, max_size=6)


@given(SPANS, st.lists(st.integers(0, 10**9)))
def test_positions_follow_the_time(parts: list[tuple[int, int]], times: list[int]) -> None:
    """The position of a time is on the axis, later times have later positions, and a position gives its time back."""
    spans, at = list[tuple[int, int]](), START
    for pause, length in parts:
        spans.append((at + pause, at + pause + length))
        at += pause + length
    axis = TimeAxis(spans)
    positions = [axis.position(START + time) for time in sorted(times)]
    assert positions == sorted(positions)
    assert all(0 <= position <= axis.length for position in positions)
    assert axis.length == sum(length for _, length in parts)
    assert all(axis.position(axis.time(position)) == pytest.approx(position, abs=1) for position in positions)


@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=300), st.integers(1, 5))
def test_rates_add_up_to_the_rows(seconds: list[int], sessions: int) -> None:
    """The sum over all buckets is the number of rows, for any sessions."""
    length = 4_100_000 // sessions
    spans = [(START + n * length, START + (n + 1) * length - (200 if n + 1 < sessions else 0)) for n in range(sessions)]
    line = build_timeline(spans, collected(map(result, seconds)), WaitStats())
    assert sum(bucket.rows for bucket in line.buckets) * line.width / 1_000 == pytest.approx(len(seconds))
    assert len(line.buckets) <= MAX_BUCKETS


def test_a_pause_fills_its_buckets() -> None:
    """Of a minute with a pause from second 20 to 40 a third is paused, all of it in the middle."""
    line = build_timeline([(START, START + 60_000)], collected([result(1)]), waited((20, 40)))
    paused = [bucket.paused for bucket in line.buckets]
    third = len(paused) // 3
    assert sum(paused) / len(paused) == pytest.approx(1 / 3, abs=0.02)
    assert sum(paused[: third - 1]) == sum(paused[2 * third + 2 :]) == 0


def test_ticks_are_round_times_and_name_a_new_day() -> None:
    """Ticks are at whole seconds or minutes; the first of a new day has its date."""
    assert [text for _, text in TimeAxis([(START, START + 4_000)]).ticks(5)] == [
        "09:30:00", "09:30:01", "09:30:02", "09:30:03", "09:30:04",
    ]  # fmt: skip
    two_days = TimeAxis([(START, START + 1_200_000), (START + DAY, START + DAY + 1_200_000)])
    texts = [text for _, text in two_days.ticks(6)]
    assert texts == ["09:30", "09:40", "09:50", "2 Mar 09:40", "09:50"]
