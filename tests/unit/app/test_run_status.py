"""How a run stands, from its counts and its log."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.app.run_status import LiveState, progress_at_rest, progress_under_way, read_status, replay_log_tail
from rolecall.models import OutageStatus, Outcome, RateLimitPause, RateLimitStatus, Row, RowOutcome
from rolecall.store.base import Batch, Count, Identity
from rolecall.store.run_lock import RunLock
from rolecall.store.sqlite.database import SqliteDatabase, import_rows

NOON = 1_772_366_400.0
COUNTS = [
    Count(Outcome.REMOVED, "", 30),
    Count(Outcome.UNKNOWN, "killed_in_flight", 4),
    Count(Outcome.NOT_ATTEMPTED, "killed", 66),
]


def stamp(seconds: float) -> str:
    """Write a moment as the log does."""
    return datetime.fromtimestamp(NOON + seconds, UTC).isoformat().replace("+00:00", "Z")


def event(name: str, at: float = -1.0, **values: Any) -> dict[str, Any]:
    """Make an event of the log."""
    return {"timestamp": stamp(at), "event": name, **values}


HELD = event("rate limit pause", cause="window", seconds=42.0, until=stamp(41), limit=10, window=60)
STARTED = event("run started")


@pytest.mark.parametrize(
    ("events", "news"),
    [
        ([], LiveState()),
        ([STARTED], LiveState()),
        ([STARTED, HELD], LiveState(RateLimitPause(41.0, refused=False), RateLimitStatus(10, 60.0, 0, 41.0))),
        ([event("rate limit pause", cause="refused", until=stamp(5))], LiveState(RateLimitPause(5.0, refused=True))),
        ([event("rate limit pause", cause="window", until=stamp(-5), limit=10, window=60)], LiveState()),
        ([HELD, event("run resumed")], LiveState()),
        ([HELD, event("run stopped")], LiveState()),
        ([event("outage began", at=-72)], LiveState(outage=OutageStatus(72.0))),
        ([event("outage began", at=-72), event("outage ended")], LiveState()),
        ([event("stopping", at=-2, grace=10.0)], LiveState(stopping_in=8.0)),
        ([event("stopping", at=-20, grace=10.0)], LiveState(stopping_in=0.0)),
        ([event("rate limit pause", until=None), event("rate limit pause", until="soon", limit="x")], LiveState()),
        ([event("row failed"), event("progress", done=3), {"event": None}, {}], LiveState()),
    ],
)
def test_the_log_tells_how_things_stand(events: list[dict[str, Any]], news: LiveState) -> None:
    """Only what is true now, and only of the session that goes on."""
    assert replay_log_tail(events, NOON) == news


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(stamp(5))
names = st.sampled_from(["rate limit pause", "outage began", "outage ended", "stopping", "run started"])
keys = st.sampled_from(["timestamp", "until", "limit", "window", "grace", "cause"])


@given(st.lists(st.tuples(names, st.dictionaries(keys, json_values))))
def test_any_log_can_be_read(events: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever stands in the log, reading it does not fail."""
    replay_log_tail([{**values, "event": name} for name, values in events], NOON)


def test_a_run_that_goes_on() -> None:
    """Rows whose calls are under way are neither unknown nor done, and the time left comes from the speed."""
    progress = progress_under_way(COUNTS, LiveState(), lately=20, seen=10.0, at=NOON)
    assert (progress.total, progress.done, progress.in_flight) == (100, 30, 4)
    assert progress.outcomes == {Outcome.REMOVED: 30}
    assert progress.per_second == 2.0
    assert progress.remaining == 35.0


@pytest.mark.parametrize(
    ("news", "seconds"),
    [
        (LiveState(RateLimitPause(41.0, refused=False), RateLimitStatus(10, 60.0, 0, 41.0)), 41.0 + 360),
        (LiveState(RateLimitPause(5.0, refused=True)), 40.0),
        (LiveState(outage=OutageStatus(72.0)), None),
        (LiveState(stopping_in=8.0), None),
    ],
)
def test_the_time_left_knows_what_holds_the_run(news: LiveState, seconds: float | None) -> None:
    """Windows count where one holds the run; nothing is said where nobody can know."""
    assert progress_under_way(COUNTS, news, lately=20, seen=10.0, at=NOON).remaining == seconds


@pytest.mark.parametrize(("lately", "seen"), [(0, 60.0), (3, 0.2), (0, 0.0)])
def test_too_little_says_nothing(lately: int, seen: float) -> None:
    """Without a row in the last minute, or just after the start, no time is told."""
    progress = progress_under_way(COUNTS, LiveState(), lately=lately, seen=seen, at=NOON)
    assert progress.per_second is None
    assert progress.remaining is None


def test_a_run_on_which_nobody_works() -> None:
    """Rows in doubt and rows not attempted are not done."""
    progress = progress_at_rest(COUNTS, NOON)
    assert (progress.total, progress.done, progress.in_flight) == (100, 30, 0)
    assert progress.outcomes[Outcome.UNKNOWN] == 4


async def test_the_speed_is_that_of_the_present_session(tmp_path: Path) -> None:
    """Rows of a session that ended some seconds ago do not make the one that goes on look fast."""

    def settle(key: int, seconds: float) -> Batch:
        at = round((NOON + seconds) * 1000)
        return Batch([RowOutcome(key, Outcome.REMOVED, "", 200, "", "", at, 12, False)])

    with RunLock(tmp_path), closing(SqliteDatabase(tmp_path / "ledger.sqlite")) as ledger:
        identity = Identity("https://chat.example.org", "groups.removeLeader", "digest")
        import_rows(ledger, identity, (Row(line, "R", f"u{line}", {}) for line in range(1, 101)))
        ledger.open_session("bulk.bot", round((NOON - 40) * 1000))
        for key in range(1, 31):
            ledger.commit(settle(key, -30))
        ledger.close_session("interrupted", round((NOON - 20) * 1000))
        ledger.open_session("bulk.bot", round((NOON - 10) * 1000))
        ledger.commit(settle(31, -5))
        standing = await read_status(tmp_path, NOON)
    assert standing is not None
    assert standing.progress.done == 31
    assert standing.progress.per_second == pytest.approx(0.1)
    assert standing.progress.remaining == pytest.approx(690.0)
