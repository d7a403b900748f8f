"""Plan file: the outcome that a check predicts for each pair, for review and for `run --plan`.

JSON Lines: the first line is a header that identifies the job, every other line is one pair with its predicted outcome.
"""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from rolecall.file_access import in_open_directory
from rolecall.files.output.text_files import format_json, parse_json_object, replace_atomically, replace_surrogates
from rolecall.models import Advice, Json, Outcome, Result, RolecallError
from rolecall.text import sanitise

VERSION = 2
NEVER_SENT = (Outcome.INVALID, Outcome.DUPLICATE)
"""Outcomes of rows that are in no plan."""
MAX_LINE_LENGTH = 100_000
"""Bytes of a line. Real lines are far shorter."""
_VERSION_FIELD = "rolecallPlan"
_HEADER_FIELDS = ("workspace", "operation", "accountId", "account", "jobDigest", "checkedAt")
"""The fields of `PlanHeader` as the file spells them."""


class PlanFileError(RolecallError):
    """The file is not a plan, or is damaged; str() is one line with the file and the place."""


class PlanHeader(NamedTuple):
    """The job, workspace and account that the plan was made for."""

    workspace: str
    operation: str
    account_id: str
    account: str
    job_digest: str
    checked_at: str
    """UTC, RFC 3339."""


class PlannedPair(NamedTuple):
    """The predicted outcome of one pair."""

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
        """Yield the pairs; may be called again. Raises PlanFileError."""
        with _open_regular(self.path) as file:
            file.readline(MAX_LINE_LENGTH)
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_LENGTH), b""), start=2):
                yield _parse_pair(self.path, number, line)


@contextmanager
def open_plan_file(path: Path, header: PlanHeader) -> Iterator[Callable[[Iterable[Result]], None]]:
    """Open a new plan, mode 0600; the value writes results. It gets its name when the block ends. Raises OSError.

    Rows that are never sent (invalid, duplicate) are left out.
    """
    with replace_atomically(path) as file:
        fields = dict(zip(_HEADER_FIELDS, header, strict=True))
        file.write(format_json({_VERSION_FIELD: VERSION, **fields}) + "\n")

        def write(results: Iterable[Result]) -> None:
            for result in results:
                if result.outcome in NEVER_SENT:
                    continue
                pair: Json = {
                    "roomId": replace_surrogates(result.room_id),
                    "userId": replace_surrogates(result.user_id),
                }
                names = {"roomName": result.room_name, "username": result.username}
                pair |= {name: replace_surrogates(value) for name, value in names.items() if value}
                file.write(format_json({**pair, "outcome": result.outcome.value, "reason": result.reason}) + "\n")

        yield write


def is_plan(path: Path) -> bool:
    """Return whether a file begins like a plan, of any version."""
    try:
        with in_open_directory(path) as place, open(place.open(os.O_RDONLY, any_owner=True), "rb") as file:  # noqa: PTH123
            header = parse_json_object(file.readline(MAX_LINE_LENGTH))
    except OSError:
        return False
    return header is not None and _VERSION_FIELD in header


def _open_regular(path: Path) -> io.BufferedReader:
    """Open a plan for reading. Raises OSError, also for a pipe or a device, which may have no end."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def open_plan(path: Path) -> Plan:
    """Read the header, compute the digest and validate every line. Raises PlanFileError."""
    try:
        with _open_regular(path) as file:
            first = file.readline(MAX_LINE_LENGTH)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PlanFileError(f"{path} cannot be read: {error.strerror}") from None
    plan = Plan(path, digest, _parse_header(path, first))
    for _ in plan.pairs():
        pass
    return plan


def _parse_header(path: Path, line: bytes) -> PlanHeader:
    record = parse_json_object(line)
    if record is None or _VERSION_FIELD not in record:
        raise PlanFileError(f"{path} is not a plan.", Advice.WRITE_PLAN)
    if record[_VERSION_FIELD] != VERSION:
        raise PlanFileError(f"{path} is a plan of another version of Rolecall; check the job again")
    for name in _HEADER_FIELDS:
        if not isinstance(record.get(name), str):
            raise PlanFileError(f"{path}: line 1 has no {name!r}; check the job again")
    header = PlanHeader(*(record[name] for name in _HEADER_FIELDS))
    if not _is_utc_time(header.checked_at):
        raise PlanFileError(f"{path}: line 1 has no UTC time in 'checkedAt'; check the job again")
    return header


def _is_utc_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta()
    except ValueError:
        return False


def _parse_pair(path: Path, number: int, line: bytes) -> PlannedPair:
    record = parse_json_object(line) or {}
    try:
        pair = PlannedPair(record["roomId"], record["userId"], Outcome(record["outcome"]), record["reason"])
    except (KeyError, ValueError):
        pair = None
    if pair is None or not all(isinstance(value, str) for value in pair):
        raise PlanFileError(f"{path}: line {number} is damaged: {sanitise(line.decode(errors='replace'), limit=80)}")
    return pair
