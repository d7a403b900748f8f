"""Values for ledgers, made short; and a disk that is full."""

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rolecall.models import BadRow, Json, Outcome, Row, RowOutcome
from rolecall.store.base import Batch, Identity, Intent, IntentRollback

RUN = Identity("https://chat.example.org", "groups.removeLeader", "digest")


def row(line: int, room: str = "R", user: str | None = None, extra: Mapping[str, Json] | None = None) -> Row:
    """Make a usable row; each line has its own user where none is given."""
    return Row(line, room, f"u{line}" if user is None else user, extra or {})


def bad(line: int, room: str = "", user: str = "", extra: Mapping[str, Json] | None = None) -> BadRow:
    """Make an unusable row."""
    return BadRow(line, room, user, "missing_room_id", "There is no room.", extra or {})


def settled(
    key: int, outcome: Outcome = Outcome.REMOVED, *, reason: str = "", message: str = "", in_doubt: bool = False
) -> RowOutcome:
    """Make an outcome."""
    return RowOutcome(key, outcome, reason, 200, "error-x" if reason else "", message, 2000 + key, 12, in_doubt)


def intents(*keys: int, attempt: int = 1) -> Batch:
    """Make a batch of intents."""
    return Batch([], [], [Intent(key, attempt, 1000 + key) for key in keys])


def outcomes(*entries: RowOutcome) -> Batch:
    """Make a batch of outcomes."""
    return Batch(entries, [], [])


def rollbacks(*entries: IntentRollback) -> Batch:
    """Make a batch of rollbacks."""
    return Batch([], entries, [])


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes (SQLite is told so by the system, as by a full disk)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
