"""What a schedule does at a moment: no tick starts two runs, and none is left out without a report."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.cluster.schedules import rules as schedule_rules
from rolecall.cluster.schedules.cron import parse_cron
from rolecall.cluster.schedules.rules import MissedReason, Overlap, ScheduleRules, parse_duration
from rolecall.models import RolecallError

HOURLY = parse_cron("0 * * * *", "UTC")
DAY = datetime(2026, 5, 4, tzinfo=UTC)


def hour(number: float) -> datetime:
    """Return the moment so many hours after the start of the day."""
    return DAY + timedelta(hours=number)


def test_before_its_time_nothing_happens() -> None:
    """A schedule whose time has not come stays as it is."""
    assert ScheduleRules(HOURLY).decide(hour(5), hour(4.9), is_unfinished=True) == (None, (), hour(5))


def test_a_tick_starts_its_run() -> None:
    """The tick that is due starts a run, and the next one is the schedule's next time."""
    assert ScheduleRules(HOURLY).decide(hour(5), hour(5.01), is_unfinished=False) == (hour(5), (), hour(6))


def test_of_several_ticks_the_newest_starts_the_run() -> None:
    """After some hours without a worker one run starts; older ticks are reported, as late or as replaced."""
    start, missed, next_at = ScheduleRules(HOURLY, late=timedelta(hours=3)).decide(
        hour(1), hour(8.5), is_unfinished=False
    )
    assert (start, next_at) == (hour(8), hour(9))
    assert missed == (
        (hour(1), hour(5), 5, MissedReason.LATE),
        (hour(6), hour(7), 2, MissedReason.REPLACED),
    )


def test_a_tick_that_is_due_or_late_at_this_very_moment() -> None:
    """It starts at its time; it is late only once it is older than the limit, which is six hours if none is set."""
    assert ScheduleRules(HOURLY).decide(hour(5), hour(5), is_unfinished=False) == (hour(5), (), hour(6))
    daily = ScheduleRules(parse_cron("0 0 * * *", "UTC"))
    assert daily.decide(hour(0), hour(6), is_unfinished=False).start == hour(0)
    assert daily.decide(hour(0), hour(6.001), is_unfinished=False).start is None


@pytest.mark.parametrize("now", [hour(5), hour(5.5)])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_one_run_starts_however_many_decisions_it_takes(
    monkeypatch: pytest.MonkeyPatch, now: datetime, limit: int
) -> None:
    """A decision that leaves later ticks to the next one starts nothing, and looks at no more ticks than it may."""
    monkeypatch.setattr(schedule_rules, "MAX_TICKS", limit)
    next_at, starts, replaced = hour(1), list[datetime](), 0
    while next_at <= now:
        start, missed, next_at = ScheduleRules(HOURLY).decide(next_at, now, is_unfinished=False)
        starts += [start] if start else []
        assert {each.reason for each in missed} <= {MissedReason.REPLACED}
        assert all(each.ticks <= limit for each in missed)
        replaced += sum(each.ticks for each in missed)
    assert (starts, replaced, next_at) == ([hour(5)], 4, hour(6))


def test_all_late_ticks_are_only_reported() -> None:
    """Where the newest tick is late too, nothing starts."""
    daily = ScheduleRules(parse_cron("0 0 * * *", "UTC"), late=timedelta(hours=6))
    assert daily.decide(hour(0), hour(31), is_unfinished=False) == (
        None,
        ((hour(0), hour(24), 2, MissedReason.LATE),),
        hour(48),
    )


def test_a_tick_during_an_unfinished_run_is_skipped_or_waits() -> None:
    """`skip` reports it, `queue` leaves it due: it starts once the run has ended."""
    skip, queue = ScheduleRules(HOURLY), ScheduleRules(HOURLY, Overlap.QUEUE)
    skipped = ((hour(5), hour(5), 1, MissedReason.OVERLAP),)
    assert skip.decide(hour(5), hour(5.2), is_unfinished=True) == (None, skipped, hour(6))
    assert queue.decide(hour(5), hour(5.2), is_unfinished=True) == (None, (), hour(5))
    assert queue.decide(hour(5), hour(5.4), is_unfinished=False) == (hour(5), (), hour(6))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["0 * * * *", "*/20 * * * *", "0 6 * * *", "30 2 * * 0"]),
    st.sampled_from(Overlap),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 2_000), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 7),
)
def test_every_tick_is_accounted_for_once(
    expression: str, overlap: Overlap, late: int, steps: list[tuple[int, bool]], limit: int
) -> None:
    """However long no worker is up: each tick starts one run or is in one report, never both and never neither."""
    rules = ScheduleRules(parse_cron(expression, "Europe/Berlin"), overlap, timedelta(hours=late))
    first = next_at = rules.cron.next_after(DAY)
    now, seen = DAY, list[datetime]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule_rules, "MAX_TICKS", limit)
        for minutes, is_unfinished in steps:
            now += timedelta(minutes=minutes)
            while True:
                decision = rules.decide(next_at, now, is_unfinished=is_unfinished)
                assert decision.next_at >= next_at
                is_same, next_at = decision.next_at == next_at, decision.next_at
                for missed in decision.missed:
                    seen += in_between(rules, missed.first, missed.last, missed.ticks)
                if decision.start is not None:
                    assert now - decision.start <= rules.late
                    assert not is_unfinished
                    seen.append(decision.start)
                if is_same or next_at > now:
                    break
    assert seen == in_between(rules, first, next_at, None)[:-1]


def in_between(rules: ScheduleRules, first: datetime, last: datetime, number: int | None) -> list[datetime]:
    """Return the ticks from the first to the last; there are so many, where a number is given."""
    ticks = [first]
    while ticks[-1] < last:
        ticks.append(rules.cron.next_after(ticks[-1]))
    assert number in (None, len(ticks))
    assert ticks[-1] == last
    return ticks


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("30 min", 1800), ("6h", 21_600), ("2d", 172_800), ("366d", 31_622_400)],
)
def test_durations(text: str, seconds: int) -> None:
    """A number and a unit are a duration."""
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "-6h", "0h", "6 weeks", "1e3h", "367d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(RolecallError, match="is not a duration"):
        parse_duration(text)
