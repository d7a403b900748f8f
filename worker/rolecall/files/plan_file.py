"""The plan of a run: what a check predicts for each pair, for a second person to look at and for the run to keep to.

JSON Lines: the first line says which run was planned, every other one is a pair with its predicted outcome.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import orjson

from rolecall.files.output.atomic_write import replace_atomically
from rolecall.files.output.csv_sanitiser import json_text, scrubbed
from rolecall.models import Json, Outcome, Result, RolecallError
from rolecall.text import sanitise

VERSION = 1
MAX_HEADER_LENGTH = 100_000
"""Bytes of a first line; one that is longer belongs to no plan."""
_NAMES = ("workspace", "operation", "accountId", "account", "jobDigest", "checkedAt")
"""The header's fields as the file spells them."""


class PlanFileError(RolecallError):
    """The file is no plan, or a broken one: str() is one line that says which and where."""


class PlanHeader(NamedTuple):
    """Which run was planned."""

    workspace: str
    operation: str
    account_id: str
    account: str
    job_digest: str
    checked_at: str
    """UTC, RFC 3339."""


class PlannedPair(NamedTuple):
    """What a check predicts for one pair."""

    room_id: str
    user_id: str
    outcome: Outcome
    reason: str


class Plan(NamedTuple):
    """An opened plan."""

    path: Path
    digest: str
    """SHA-256 of the file, in hex."""
    header: PlanHeader

    def pairs(self) -> Iterator[PlannedPair]:
        """Give the pairs, one by one; may be called again. Raises PlanFileError."""
        with self.path.open("rb") as file:
            next(file)
            for number, line in enumerate(file, start=2):
                yield _planned(self.path, number, line)


@contextmanager
def open_plan_file(path: Path, header: PlanHeader) -> Iterator[Callable[[Iterable[Result]], None]]:
    """Open a new plan, mode 0600; the value writes results. It gets its name when the block ends. Raises OSError.

    Rows that are never sent in any case (invalid, duplicate) are left out.
    """
    with replace_atomically(path) as file:
        told = dict(zip(_NAMES, header, strict=True))
        file.write(json_text({"rolecallPlan": VERSION, **told}) + "\n")

        def write(results: Iterable[Result]) -> None:
            for result in results:
                if result.outcome in (Outcome.INVALID, Outcome.DUPLICATE):
                    continue
                pair: Json = {"roomId": scrubbed(result.room_id), "userId": scrubbed(result.user_id)}
                file.write(json_text({**pair, "outcome": result.outcome.value, "reason": result.reason}) + "\n")

        yield write


def write_plan(path: Path, header: PlanHeader, results: Iterable[Result]) -> None:
    """Write a whole plan, see `open_plan_file`."""
    with open_plan_file(path, header) as write:
        write(results)


def is_plan(path: Path) -> bool:
    """Tell whether a file begins as a plan does, of whatever version."""
    try:
        with path.open("rb") as file:
            told = _object(file.readline(MAX_HEADER_LENGTH))
    except OSError:
        return False
    return told is not None and "rolecallPlan" in told


def open_plan(path: Path) -> Plan:
    """Read a plan's first line and its digest, and look at every line of it. Raises PlanFileError."""
    try:
        with path.open("rb") as file:
            first = file.readline()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PlanFileError(f"{path} cannot be read: {error.strerror}") from None
    plan = Plan(path, digest, _read_header(path, first))
    for _ in plan.pairs():
        pass
    return plan


def _read_header(path: Path, line: bytes) -> PlanHeader:
    told = _object(line)
    if told is None or "rolecallPlan" not in told:
        raise PlanFileError(f"{path} is no plan; write one with 'rolecall check JOB --save-plan FILE'")
    if told["rolecallPlan"] != VERSION:
        raise PlanFileError(f"{path} is a plan of another version of Rolecall; check the job again")
    texts = [told.get(name) for name in _NAMES]
    if missing := [name for name, text in zip(_NAMES, texts, strict=True) if not isinstance(text, str)]:
        raise PlanFileError(f"{path}: line 1 has no {missing[0]!r}; check the job again")
    header = PlanHeader(*map(str, texts))
    try:
        moment = datetime.fromisoformat(header.checked_at)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() != timedelta():
        raise PlanFileError(f"{path}: line 1 has no time of UTC in 'checkedAt'; check the job again") from None
    return header


def _planned(path: Path, number: int, line: bytes) -> PlannedPair:
    told = _object(line) or {}
    try:
        pair = PlannedPair(told["roomId"], told["userId"], Outcome(told["outcome"]), told["reason"])
    except (KeyError, ValueError):
        pair = None
    if pair is None or not all(isinstance(text, str) for text in pair):
        raise PlanFileError(f"{path}: line {number} is damaged: {sanitise(line.decode(errors='replace'), limit=80)}")
    return pair


def _object(line: bytes) -> dict[str, Json] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
