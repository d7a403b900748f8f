"""Cron expressions in a time zone: every local time fires once, also on the days when the clocks change."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.cluster.schedules.cron import CronError, parse_cron

MINUTES = ("0", "15", "*/20", "30", "59", "5,35", "*/7")
HOURS = ("*", "0", "1", "2", "3", "23", "*/2", "1-3")
DAYS = ("*", "1", "28", "29-31", "L")
WEEKDAYS = ("*", "0", "mon-fri", "6")
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # a whole day was skipped
    "Africa/Casablanca",
    "America/St_Johns",
    "Asia/Kathmandu",
    "UTC",
)
CHANGES = (
    datetime(2026, 3, 28, tzinfo=UTC),
    datetime(2026, 10, 24, tzinfo=UTC),
    datetime(2026, 3, 7, tzinfo=UTC),
    datetime(2026, 10, 31, tzinfo=UTC),
    datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2026, 10, 3, tzinfo=UTC),
    datetime(2011, 12, 29, tzinfo=UTC),
    datetime(2026, 2, 14, tzinfo=UTC),
)
EXPRESSIONS = st.builds(
    "{} {} {} * {}".format,
    st.sampled_from(MINUTES),
    st.sampled_from(HOURS),
    st.sampled_from(DAYS),
    st.sampled_from(WEEKDAYS),
)
STARTS = st.builds(
    lambda day, hours, seconds: day + timedelta(hours=hours, seconds=seconds),
    st.sampled_from(CHANGES),
    st.integers(-30, 60),
    st.integers(0, 3_600),
)


def ticks(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Return all ticks later than `start` up to `end`, each computed from the one before."""
    cron, found, at = parse_cron(expression, zone), [], start
    while (at := cron.next_after(at)) <= end:
        found.append(at)
    return found


def first_occurrences(expression: str, zone: str, start: datetime, end: datetime) -> set[datetime]:
    """Return the same from all local times of the days around; what occurs twice counts at its first occurrence."""
    local = (start.astimezone(ZoneInfo(zone)) - timedelta(days=2)).replace(tzinfo=None, second=0, microsecond=0)
    last, times, found = (
        local + (end - start) + timedelta(days=4),
        croniter(expression, local, ret_type=datetime),
        set(),
    )
    while (at := times.get_next()) < last:
        moment = at.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
        if start < moment <= end:
            found.add(moment)
    return found


@settings(max_examples=40, deadline=None)
@given(EXPRESSIONS, st.sampled_from(ZONES), STARTS)
def test_the_ticks_are_the_first_occurrences_of_the_local_times(expression: str, zone: str, start: datetime) -> None:
    """Step by step the same ticks are found as from all local times of these days, in order."""
    end = start + timedelta(hours=40)
    found = ticks(expression, zone, start, end)
    assert all(one < other for one, other in pairwise(found))
    assert set(found) == first_occurrences(expression, zone, start, end)


@settings(max_examples=40, deadline=None)
@given(EXPRESSIONS, st.sampled_from(ZONES), STARTS)
def test_no_local_time_fires_twice(expression: str, zone: str, start: datetime) -> None:
    """Over the days around a change of the clocks no time of a wall clock is seen at two ticks."""
    walls = Counter(
        at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        for at in ticks(expression, zone, start, start + timedelta(days=3))
    )
    assert not walls or max(walls.values()) == 1


@settings(max_examples=40, deadline=None)
@given(EXPRESSIONS, st.sampled_from(ZONES), STARTS, st.integers(0, 90_000))
def test_the_next_tick_does_not_depend_on_when_it_is_computed(
    expression: str, zone: str, start: datetime, seconds: int
) -> None:
    """From any moment before a tick the same tick is the next one, unless another comes first."""
    cron = parse_cron(expression, zone)
    first = cron.next_after(start)
    between = start + timedelta(seconds=seconds)
    assert cron.next_after(between) == first if between < first else cron.next_after(between) > between


@pytest.mark.parametrize(
    ("expression", "start", "local"),
    [
        ("15 2 * * *", "2026-03-28T02:00", ["28T02:15+01:00", "29T03:15+02:00", "30T02:15+02:00"]),
        ("30 * * * *", "2026-03-29T00:45", ["29T01:30+01:00", "29T03:30+02:00", "29T04:30+02:00"]),
        ("15 2 * * *", "2026-10-24T12:00", ["25T02:15+02:00", "26T02:15+01:00"]),
        ("*/30 * * * *", "2026-10-25T01:45", ["25T02:00+02:00", "25T02:30+02:00", "25T03:00+01:00"]),
        ("@daily", "2026-10-24T12:00", ["25T00:00+02:00", "26T00:00+01:00"]),
    ],
)
def test_days_on_which_the_clocks_change(expression: str, start: str, local: list[str]) -> None:
    """In Berlin a skipped time fires an hour later, once; a repeated one fires at its first occurrence."""
    zone = ZoneInfo("Europe/Berlin")
    cron, at = parse_cron(expression, "Europe/Berlin"), datetime.fromisoformat(start).replace(tzinfo=zone)
    found = []
    for _ in local:
        at = cron.next_after(at)
        found.append(at.astimezone(zone).isoformat(timespec="minutes")[8:])
    assert found == local


@pytest.mark.parametrize(("expression", "day"), [("20,35 2 * * *", "2026-10-03"), ("20,35 2 4,5 * *", "2026-09-20")])
def test_local_times_that_change_their_order_fire_in_the_order_of_their_moments(expression: str, day: str) -> None:
    """On Lord Howe the clocks go from 02:00 to 02:30: what was set for 02:20 fires at 02:50, after that of 02:35."""
    cron, at = parse_cron(expression, "Australia/Lord_Howe"), datetime.fromisoformat(f"{day}T12:00+00:00")
    found = []
    for _ in range(3):
        at = cron.next_after(at)
        found.append(at.astimezone(ZoneInfo("Australia/Lord_Howe")).isoformat(timespec="minutes"))
    assert found == ["2026-10-04T02:35+11:00", "2026-10-04T02:50+11:00", "2026-10-05T02:20+11:00"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("before", [0.5, 1.0, 1.5])
def test_a_tick_of_the_next_moment_is_not_missed(before: float, zone: str) -> None:
    """Half a second before its time too, in every zone; at its very time the next one follows."""
    noon, cron = datetime(2026, 5, 6, 12, tzinfo=UTC), parse_cron("0 * * * *", zone)
    assert cron.next_after(noon - timedelta(seconds=before)) == noon
    assert cron.next_after(noon) == noon + timedelta(hours=1)
    assert cron.next_after(noon).tzinfo is UTC


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("@hourly", "2026-05-06T13:00"),
        ("@daily", "2026-05-07T00:00"),
        ("@midnight", "2026-05-07T00:00"),
        ("@weekly", "2026-05-10T00:00"),
        ("@Monthly", "2026-06-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
    ],
)
def test_words_for_expressions(word: str, first: str) -> None:
    """Each word has its next tick, which is in UTC."""
    tick = parse_cron(word, "UTC").next_after(datetime(2026, 5, 6, 12, 30, tzinfo=UTC))
    assert (tick, tick.tzinfo) == (datetime.fromisoformat(first).replace(tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "words"),
    [
        ("", "UTC", "write five fields"),
        ("15 2 * *", "UTC", "write five fields"),
        ("0 15 2 * * *", "UTC", "write five fields"),
        ("61 2 * * *", "UTC", "'61 2 * * *' is not a cron expression"),
        ("x 2 * * *", "UTC", "is not a cron expression"),
        ("0 0 30 2 *", "UTC", "names a day that no year has"),
        ("R 2 * * *", "UTC", "has a time of chance"),
        ("0 r(1-5) * * *", "UTC", "has a time of chance"),
        ("0 0 * * 1,R/2", "UTC", "has a time of chance"),
        ("H 2 * * *", "UTC", "has a time of chance"),
        ("@dayly", "UTC", "did you mean '@daily'?"),
        ("* * * * " + "1," * 200, "UTC", "longer than 200 characters"),
        ("15 2 * * *", "Europe/Berlni", "There is no time zone 'Europe/Berlni'; did you mean 'Europe/Berlin'?"),
        ("15 2 * * *", "../etc/passwd", "There is no time zone"),
        ("15 2 * * *", "", "There is no time zone"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(expression: str, zone: str, words: str) -> None:
    """A wrong expression and an unknown zone are named, with the nearest zone."""
    with pytest.raises(CronError) as caught:
        parse_cron(expression, zone)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text("0123456789*/,-# LWHRa?@\n", max_size=20), st.text(max_size=8))
def test_any_text_is_parsed_or_refused(expression: str, zone: str) -> None:
    """No expression and no zone leads to anything but a schedule or one line."""
    for name in ("UTC", zone):
        try:
            parsed, said = parse_cron(expression, name), ""
        except CronError as error:
            parsed, said = None, str(error)
        assert "\n" not in said
        assert parsed is None or parsed.next_after(CHANGES[0]) > CHANGES[0]
