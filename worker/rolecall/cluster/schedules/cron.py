"""Cron expressions in the local time of a zone: the next moment, also where the clocks change.

A local time that occurs twice (the clocks go back) fires at its first occurrence only. A local time that does not occur
(the clocks go forward) fires once, as far after the change as it would have been: with a gap from 02:00 to 03:00, the
tick of 02:30 fires at 03:30. Where another tick fires at that moment anyway, both are one.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from rolecall.models import RolecallError
from rolecall.text import did_you_mean, sanitise

MAX_EXPRESSION_LENGTH = 200
FIELDS = 5
_RANDOM = re.compile(r"(?<![a-z@])[rh](?![a-z])", re.IGNORECASE)
"""A field that the library fills by chance or by a name; days and months are longer words."""
_ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_CHANGE_WINDOW = timedelta(hours=26)
"""Longer than any change of the clocks: whole days have been skipped at the date line."""


class CronError(RolecallError, ValueError):
    """The cron expression or the time zone cannot be used; the text is one line for a person."""


class Cron(NamedTuple):
    """A cron expression in a time zone; made by `parse_cron`."""

    expression: str
    zone: ZoneInfo

    def next_after(self, after: datetime) -> datetime:
        """Return the first tick later than `after`, which has a time zone; in UTC. Raise CronError without one."""
        margin = self._margin(after)
        best: tuple[datetime, datetime] | None = None
        for local in self._local_times(after.astimezone(self.zone).replace(tzinfo=None) - margin):
            at = local.replace(tzinfo=self.zone).astimezone(UTC)  # fold=0: the first of two, and after a gap
            if at > after and (best is None or at < best[0]):
                best = at, local
                margin = max(margin, self._margin(at))
            if best is not None and local - best[1] >= margin:
                break
        if best is None:
            raise CronError(f"The cron expression {self.expression!r} has no next time.")
        return best[0]

    def _margin(self, at: datetime) -> timedelta:
        """Return how far local times near `at` may be out of order: by how much the clocks change around it."""
        before, after = ((at + sign * _CHANGE_WINDOW).astimezone(self.zone).utcoffset() for sign in (-1, 1))
        return abs((after or timedelta(0)) - (before or timedelta(0)))

    def _local_times(self, after: datetime) -> Iterator[datetime]:
        """Yield the local times of the expression later than `after`, without a time zone."""
        times = croniter(self.expression, after.replace(microsecond=0) - timedelta(seconds=1), ret_type=datetime)
        while True:
            try:
                yield times.get_next()
            except CroniterBadDateError:
                return


def parse_cron(expression: str, zone: str) -> Cron:
    """Parse five fields or a word such as `@daily`, and the name of a zone. Raises CronError."""
    words = " ".join(expression.split())
    shown = sanitise(words, limit=60)
    if len(words) > MAX_EXPRESSION_LENGTH:
        raise CronError(f"The cron expression is longer than {MAX_EXPRESSION_LENGTH} characters.")
    if words.startswith("@"):
        if words.lower() not in _ALIASES:
            known = did_you_mean(words, _ALIASES) or f"known are {', '.join(_ALIASES)}."
            raise CronError(f"{shown!r} is not a cron expression; {known}")
    elif len(words.split()) != FIELDS:
        raise CronError(
            f"{shown!r} is not a cron expression: write five fields (minute, hour, day of the month, month, day of the "
            "week), such as '15 2 * * *'."
        )
    if _RANDOM.search(words):
        raise CronError(f"{shown!r} has a time of chance (R, H), which is another one each time it is read.")
    try:
        croniter.expand(words)
    except (CroniterBadCronError, ValueError, KeyError) as error:
        raise CronError(f"{shown!r} is not a cron expression: {sanitise(str(error), limit=200)}.") from None
    cron = Cron(words, _zone(zone))
    try:
        cron.next_after(datetime(2024, 1, 1, tzinfo=UTC))
    except CronError:
        raise CronError(f"{shown!r} names a day that no year has.") from None
    return cron


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        from zoneinfo import available_timezones

        known = did_you_mean(name, available_timezones()) or "write one such as Europe/Berlin."
        raise CronError(f"There is no time zone {sanitise(name, limit=60)!r}; {known}") from None
