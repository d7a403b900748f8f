"""The columns of `retry.csv` by which a new run knows what its parent run left in doubt.

They are written for `unknown` rows. A seal over the values, the pair, the workspace and the operation shows whether
they were edited or belong to something else: then they are ignored, and the row is one like any other.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from rolecall.files.output.csv_sanitiser import id_cell, parse_id_cell
from rolecall.models import BadRow, JobRow, Json, Outcome, Prior, PriorState, Result, Row, RowDoubt
from rolecall.text import rfc3339

DOUBT_COLUMNS = (
    "rolecallDoubt",
    "rolecallPrior",
    "rolecallReadAt",
    "rolecallUsername",
    "rolecallAccounts",
    "rolecallAttemptedAt",
    "rolecallSeal",
)
"""The reason of the doubt, the prior state with its time, the user's name, who called and when last, and the seal."""
SEAL_LENGTH = 16


class RunTarget(NamedTuple):
    """The workspace and the operation of a run: what its doubts belong to."""

    workspace: str
    operation: str


def doubt_cells(result: Result, target: RunTarget) -> list[str]:
    """Return the cells of a row; empty ones for a row that is not in doubt."""
    if result.outcome is not Outcome.UNKNOWN or result.attempted_at is None:
        return [""] * len(DOUBT_COLUMNS)
    values = _values(RowDoubt(result.reason, result.prior, result.attempted_at))
    seal = _seal(values, result.room_id, result.user_id, target)
    return [id_cell(value) for value in (*values, seal)]


def take_doubt(row: JobRow) -> JobRow:
    """Return a row without these columns, with the doubt that they describe where all values can be parsed."""
    if isinstance(row, BadRow) or not row.extra or row.extra.keys().isdisjoint(DOUBT_COLUMNS):
        return row
    extra = {name: value for name, value in row.extra.items() if name not in DOUBT_COLUMNS}
    return row._replace(extra=extra, doubt=_parse(row.extra))


def belongs_to(row: Row, target: RunTarget) -> bool:
    """Return whether the doubt of a row was written by a run of this workspace and operation, and is unchanged."""
    doubt = row.doubt
    return doubt is not None and doubt.seal == _seal(_values(doubt), row.room_id, row.user_id, target)


def _values(doubt: RowDoubt) -> tuple[str, ...]:
    state, read_at, username, accounts = doubt.prior
    times = [rfc3339(time) or "" for time in (read_at, doubt.attempted_at)]
    return doubt.reason, state.value, times[0], username, " ".join(accounts), times[1]


def _seal(values: tuple[str, ...], room_id: str, user_id: str, target: RunTarget) -> str:
    text = "\0".join((*target, room_id, user_id, *values))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:SEAL_LENGTH]


def _parse(cells: Mapping[str, Json]) -> RowDoubt | None:
    values = [cells.get(name) for name in DOUBT_COLUMNS]
    texts = [parse_id_cell(value.strip()) for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        return None
    reason, state, read_at, username, accounts, attempted_at, seal = texts
    try:
        prior = Prior(PriorState(state), _time(read_at), username, tuple(accounts.split()))
        at = _time(attempted_at)
    except (ValueError, OverflowError):
        return None
    return None if at is None else RowDoubt(reason, prior, at, seal)


def _time(text: str) -> int | None:
    """Parse a time as `rfc3339` formats it. Raises ValueError for any other text."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    if time.utcoffset() is None:
        raise ValueError(text)
    return round(time.timestamp() * 1000)
