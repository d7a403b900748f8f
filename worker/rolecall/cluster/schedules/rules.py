"""What a schedule does at a moment: start a run, wait for the one before, or report ticks that it leaves out."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from rolecall.cluster.schedules.cron import Cron
from rolecall.models import RolecallError

MAX_TICKS = 5_000
"""Ticks that one decision looks at; the rest is left to the next one."""
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,6})\s*(s|m|min|h|d)")
MAX_LATE = timedelta(days=366)


class Overlap(StrEnum):
    """What a tick does while a run of its schedule is unfinished."""

    SKIP = "skip"
    """It is left out, and reported."""
    QUEUE = "queue"
    """It waits for the end of that run."""


class MissedReason(StrEnum):
    """Why a tick started no run."""

    LATE = "late"
    """It was noticed later than --late after its time: no worker was up."""
    OVERLAP = "overlap"
    """A run of the schedule was unfinished."""
    REPLACED = "replaced"
    """A later tick was due at the same moment, and started the run."""


class MissedTicks(NamedTuple):
    """Ticks in a row that started no run, for one reason."""

    first: datetime
    last: datetime
    ticks: int
    reason: MissedReason


class TickDecision(NamedTuple):
    """What to do now. `next_at` is the schedule's next time; where it is not later than now, more is to be decided."""

    start: datetime | None
    """The time of the tick whose run starts; None where none does."""
    missed: tuple[MissedTicks, ...]
    next_at: datetime


class ScheduleRules(NamedTuple):
    """The rules of one schedule."""

    cron: Cron
    overlap: Overlap = Overlap.SKIP
    late: timedelta = timedelta(hours=6)
    """A tick that is older is reported as missed, and starts nothing."""

    def decide(self, next_at: datetime, now: datetime, *, is_unfinished: bool) -> TickDecision:
        """Decide what the ticks from `next_at` to `now` do; `is_unfinished`: a run of the schedule goes on.

        At most one of them starts a run, the newest that is not late: a later tick of the same job does what the
        earlier ones would have done. A tick is never left out without a report.
        """
        ticks = list(islice(self._ticks(next_at, now), MAX_TICKS))
        late = [tick for tick in ticks if now - tick > self.late]
        due = ticks[len(late) :]
        missed = _missed(late, MissedReason.LATE)
        if not due:
            return TickDecision(None, missed, self._after(late, next_at))
        if is_unfinished and self.overlap is Overlap.QUEUE:
            return TickDecision(None, missed, due[0])
        after = self._after(due, next_at)
        if is_unfinished:
            return TickDecision(None, (*missed, *_missed(due, MissedReason.OVERLAP)), after)
        if after <= now:  # a later tick will start the run
            return TickDecision(None, (*missed, *_missed(due, MissedReason.REPLACED)), after)
        return TickDecision(due[-1], (*missed, *_missed(due[:-1], MissedReason.REPLACED)), after)

    def _ticks(self, first: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the ticks from `first` to `until`."""
        tick = first
        while tick <= until:
            yield tick
            tick = self.cron.next_after(tick)

    def _after(self, ticks: Sequence[datetime], otherwise: datetime) -> datetime:
        return self.cron.next_after(ticks[-1]) if ticks else otherwise


def _missed(ticks: Sequence[datetime], reason: MissedReason) -> tuple[MissedTicks, ...]:
    """Return these ticks as one record; nothing where there are none."""
    return (MissedTicks(ticks[0], ticks[-1], len(ticks), reason),) if ticks else ()


def parse_duration(text: str) -> timedelta:
    """Parse `90s`, `30m`, `6h` or `2d`. Raises RolecallError."""
    found = _DURATION.fullmatch(text.strip().lower())
    duration = timedelta(seconds=int(found[1]) * _UNITS[found[2]]) if found else None
    if duration is None or not timedelta(0) < duration <= MAX_LATE:
        raise RolecallError(f"{text!r} is not a duration: write a number and s, m, h or d, such as 6h, up to 366d")
    return duration
