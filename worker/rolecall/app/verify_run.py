"""Verify a run: read the roles back and compare them with its report."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rolecall.app import reports
from rolecall.app.connection import AppContext, ReadSession, connect, lock_wait, open_read_session, run_reading
from rolecall.app.observer import OpenRows
from rolecall.app.run_directory import (
    Run,
    mark_reports_stale,
    on_thread,
    open_existing_run,
    require_change,
    require_workspace,
)
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.directory.role_verify import RoleVerification, VerifiedRow, VerifyHooks, VerifyStatus
from rolecall.engine.stop_signal import StopReason
from rolecall.files.output.csv_files import VerifyCsvRow, verify_csv
from rolecall.models import Outcome
from rolecall.rocketchat.operations import Operation
from rolecall.store.sqlite.store import FILE_NAME

VERIFY_FILE = "verify.csv"
UNDO_FOLDER = "undo"
"""Below a run's directory: the run that undid it."""
MAX_SHOWN_ROWS = 20
"""Differing rows that are returned; the file has them all."""


class _Incomplete(Exception):  # noqa: N818 - control flow, not an error
    """Not every row was read back: the file of an earlier verification stays."""


@dataclass(slots=True)
class _Collector:
    """Counts the rows by status and keeps the first that differ."""

    found: Counter[VerifyStatus] = field(default_factory=Counter)
    first: list[VerifiedRow] = field(default_factory=list)

    def add(self, row: VerifiedRow) -> bool:
        """Count a row; True where it has to be listed."""
        self.found[row.finding] += 1
        if row.finding in (VerifyStatus.AGREES, VerifyStatus.SETTLED):
            return False
        if len(self.first) < MAX_SHOWN_ROWS:
            self.first.append(row)
        return True


class VerifyResult(NamedTuple):
    """How the workspace compares with the report of a run."""

    folder: Path
    operation: Operation
    found: Mapping[VerifyStatus, int]
    """Rows by status."""
    first: Sequence[VerifiedRow]
    """The first rows that differ, are open or could not be read."""
    stop: StopReason | None
    """Why it ended before the last row; None for a complete verification."""
    undo: Path | None
    """The directory of the run's undo, if there is one."""

    @property
    def differing(self) -> int:
        """Rows whose role is not as reported."""
        return self.found.get(VerifyStatus.DIFFERS, 0)

    @property
    def open(self) -> int:
        """Rows in doubt whose call may still arrive."""
        return self.found.get(VerifyStatus.OPEN, 0)

    @property
    def listed(self) -> int:
        """Rows that differ, are open or could not be read: the rows of `verify.csv`."""
        return self.differing + self.open + self.found.get(VerifyStatus.UNREAD, 0)

    @property
    def rows_file(self) -> Path:
        """The file that lists these rows."""
        return self.folder / VERIFY_FILE


async def verify_run(folder: Path, context: AppContext, *, wait: bool = True) -> VerifyResult:
    """Read the roles of a run's rows back and compare; rows in doubt get their outcome from what is read.

    Rows whose call may still arrive (`Settings.late_arrival`) are read again until they are settled; without `wait`
    they are reported as open.

    Raises RolecallError or OSError for everything that ends it before the first room is read.
    """
    async with open_existing_run(folder, lock_wait(context)) as run:
        operation = require_change(run)
        require_workspace(run, context.connection.url)
        async with connect(context) as connection:
            session = open_read_session(context, connection, run.log_file)
            return await verify_rows(run, operation, session, context, wait=wait)


async def verify_rows(
    run: Run, operation: Operation, session: ReadSession, context: AppContext, *, wait: bool = True
) -> VerifyResult:
    """Read the roles of the rows of an open run back; see `verify_run`."""
    reads, stop, clock = session.reader, session.stop, session.clock
    collector, writing, complete = _Collector(), asyncio.Lock(), False
    with suppress(_Incomplete):
        async with on_thread(verify_csv(run.directory / VERIFY_FILE, await reports.csv_style(run))) as write:

            async def on_rows(rows: Sequence[VerifiedRow]) -> None:
                if listed := [_csv_row(row) for row in rows if collector.add(row)]:
                    async with writing:
                        await asyncio.to_thread(lambda: [write(row) for row in listed])

            def on_wait(rows: int, seconds: float) -> None:
                context.observer.notice(OpenRows(rows, seconds))

            work = RoleVerification(run.store, RoleReader(reads, operation), operation, context.settings, clock)
            complete = await run_reading(work.run(VerifyHooks(on_rows, on_wait), wait=wait), stop)
            if not complete:
                raise _Incomplete
    if collector.found[VerifyStatus.SETTLED]:
        await mark_reports_stale(run)
        await reports.write_reports(run, ())
    undo = run.folder / UNDO_FOLDER
    return VerifyResult(
        run.folder,
        operation,
        collector.found,
        collector.first,
        stop=None if complete else stop.reason,
        undo=undo if await asyncio.to_thread((undo / FILE_NAME).is_file) else None,
    )


def _csv_row(row: VerifiedRow) -> VerifyCsvRow:
    pair, outcome = row.pair, row.pair.outcome or Outcome.UNKNOWN
    ids, names = (pair.line, pair.room_id, pair.user_id), (pair.room_name, pair.username)
    return VerifyCsvRow(*ids, outcome, pair.reason, row.has_role, row.finding, row.why, *names)
