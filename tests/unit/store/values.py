"""Short constructors for the values of a run store, and a full disk."""

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rolecall.models import BadRow, Json, Outcome, Row, RowOutcome
from rolecall.store.records import Batch, Identity, Intent, IntentRollback

RUN = Identity("https://chat.example.org", "groups.removeLeader", "digest")


def row(line: int, room: str = "R", user: str | None = None, extra: Mapping[str, Json] | None = None) -> Row:
    """Return a usable row; without `user`, each line has its own user."""
    return Row(line, room, f"u{line}" if user is None else user, extra or {})


def bad(line: int, room: str = "", user: str = "", extra: Mapping[str, Json] | None = None) -> BadRow:
    """Return an unusable row."""
    return BadRow(line, room, user, "missing_room_id", "There is no room.", extra or {})


def settled(
    key: int, outcome: Outcome = Outcome.REMOVED, *, reason: str = "", message: str = "", in_doubt: bool = False
) -> RowOutcome:
    """Return an outcome; it is recorded at 2000 + `key`."""
    return RowOutcome(key, outcome, reason, 200, "error-x" if reason else "", message, 2000 + key, 12, in_doubt)


def intents(*keys: int, attempt: int = 1) -> Batch:
    """Return a batch of intents; each is recorded at 1000 + its key."""
    return Batch(intents=[Intent(key, attempt, 1000 + key) for key in keys])


def outcomes(*entries: RowOutcome) -> Batch:
    """Return a batch of outcomes."""
    return Batch(outcomes=entries)


def rollbacks(*entries: IntentRollback) -> Batch:
    """Return a batch of rollbacks."""
    return Batch(rollbacks=entries)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limit every file of this process to `size` bytes; beyond it, writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
