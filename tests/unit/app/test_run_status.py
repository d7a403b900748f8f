"""The state of a run, from its counts and its pauses."""

from contextlib import closing
from pathlib import Path

import pytest

from rolecall.app.run_status import LiveState, live_state, progress_at_rest, progress_under_way, read_status
from rolecall.models import OutageStatus, Outcome, RateLimitPause, RateLimitStatus, Row, RowOutcome
from rolecall.store.records import Batch, Count, Identity, Pause, PauseEnd, PauseKind
from rolecall.store.run_lock import RunLock
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import import_rows

NOON = 1_772_366_400.0
COUNTS = [
    Count(Outcome.REMOVED, "", 30),
    Count(Outcome.UNKNOWN, "killed_in_flight", 4),
    Count(Outcome.NOT_ATTEMPTED, "killed", 66),
]


def pause(kind: PauseKind, at: float, until: float | None = None, limit: int | None = None) -> Pause:
    """Return a pause; times in seconds from noon."""
    planned = None if until is None else round((NOON + until) * 1000)
    return Pause(kind, round((NOON + at) * 1000), planned, None, limit, 60.0 if limit else None)


FULL = pause(PauseKind.WINDOW, -1, 41, limit=10)


@pytest.mark.parametrize(
    ("pauses", "state"),
    [
        ([], LiveState()),
        ([FULL], LiveState(RateLimitPause(41.0, refused=False), RateLimitStatus(10, 60.0, 0, 41.0))),
        ([pause(PauseKind.REFUSED, -1, 5)], LiveState(RateLimitPause(5.0, refused=True))),
        ([pause(PauseKind.OUTAGE, -72)], LiveState(outage=OutageStatus(72.0))),
        ([pause(PauseKind.SHUTDOWN, -2, 8)], LiveState(stopping_in=8.0)),
        ([pause(PauseKind.SHUTDOWN, -20, -10)], LiveState(stopping_in=0.0)),
    ],
)
def test_the_pauses_that_last_are_the_live_state(pauses: list[Pause], state: LiveState) -> None:
    """A rate limit pause has its limit, an outage its age, a shutdown the time that is left."""
    assert live_state(pauses, NOON) == state


@pytest.mark.parametrize(
    ("ended", "expected"),
    [(False, LiveState(outage=OutageStatus(30.0))), (True, LiveState())],
)
async def test_the_state_is_read_from_the_store(tmp_path: Path, ended: bool, expected: LiveState) -> None:
    """A pause that is over and an outage that has ended are not part of it; nothing is read from the log."""
    with closing(SqliteDatabase(tmp_path / "ledger.sqlite")) as database:
        database.open_session("bulk.bot", round((NOON - 60) * 1000))
        over, outage = pause(PauseKind.WINDOW, -50, -40, limit=10), pause(PauseKind.OUTAGE, -30)
        ends = [PauseEnd(PauseKind.OUTAGE, round((NOON - 5) * 1000))] if ended else []
        database.commit(Batch(pauses=[over, outage, *ends]))
        assert live_state(database.open_pauses(round(NOON * 1000)), NOON) == expected


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
