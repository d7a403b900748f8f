"""The one function of the library: rows in, a result for each out."""

import asyncio
from collections.abc import AsyncGenerator
from os import PathLike
from pathlib import Path
from typing import Literal, Self, TypeAlias

from rolecall.api.result_stream import JobRequest, ResultStream
from rolecall.api.row_ingest import RowInputs
from rolecall.api.workspace import Workspace
from rolecall.engine.events import EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Result
from rolecall.rocketchat.operations import OPERATIONS, Operation

MIN_AHEAD = 64
"""Results that may wait for a slow program; more where that many calls are under way at once."""

OperationName: TypeAlias = Literal[
    "groups.removeLeader",
    "groups.removeModerator",
    "groups.removeOwner",
    "groups.addLeader",
    "groups.addModerator",
    "groups.addOwner",
    "channels.removeLeader",
    "channels.removeModerator",
    "channels.removeOwner",
    "channels.addLeader",
    "channels.addModerator",
    "channels.addOwner",
]
"""The operations by their names, which are the keys of OPERATIONS."""


class RunStopped(Exception):
    """The run ended before its last row; raised after the last result. With a folder, the same call goes on."""

    def __init__(self, reason: StopReason, detail: str) -> None:
        super().__init__(f"The run stopped ({reason.value}){f': {detail}' if detail else ''}.")
        self.reason = reason
        """Why; also the `reason` of each row that was not attempted."""
        self.detail = detail
        """The words of whoever stopped it, such as the workspace's; may be empty."""


class NullLogger:
    """A log that nobody reads."""

    def bind(self, **values: object) -> Self:
        """Add nothing."""
        return self

    def info(self, event: str, **values: object) -> None:
        """Tell nobody."""

    def warning(self, event: str, **values: object) -> None:
        """Tell nobody."""


async def change_roles(
    rows: RowInputs,
    *,
    workspace: Workspace,
    operation: OperationName = "groups.removeLeader",
    folder: str | PathLike[str] | None = None,
    settings: Settings | None = None,
    log: EventLogger | None = None,
) -> AsyncGenerator[Result, None]:
    """Take a role from (or give it to) each (room, user) pair in `rows`, and yield one result for each row.

    `rows` is any iterable or async iterable of (room id, user id) pairs, of mappings with `roomId` and `userId` (named
    as in job files; further keys come back in `Result.extra`), or of Row. All rows are taken in before the first is
    sent; memory does not grow with their number. `Result.line` is the row's place in them, counted from 1.

    First come the rows that need no call, in their order: invalid ones, duplicates, and those that an earlier call on
    the same `folder` has settled. Then the others, each as soon as its outcome is on disk: what was yielded survives a
    crash. At most 64 rows (or four times `settings.concurrency`) are worked on ahead of the one that you have.

    With a `folder` the run is durable: the same call again goes on, settles what was left in doubt, and sends nothing
    that is done. It is the folder of `rolecall run --out`, so `rolecall report` writes its reports. Without one, the
    ledger is in a private temporary folder that is removed in the end. `settings` are those of the command (10 calls a
    second by default). `log` takes the command's log events, as a structlog logger does; without it nothing is logged.

    Closing the generator, or cancelling the task that awaits it, ends the run in stages: no further row is begun, the
    calls under way have `settings.shutdown_timeout` seconds to be answered, and all that is known is written. A second
    cancellation ends it at once, and leaves the calls under way in doubt. To leave early, wrap the generator in
    `contextlib.aclosing`: a plain `break` ends the run too, but only in the background.

    Raises, before anything is sent: ValueError (no such operation), BadAddress, BadAuthorities, BadCredentials,
    WorkspaceAway, UnusableFolder, UnusableLedger, RunHeld (another run holds the folder), LedgerFailed, OSError, and
    whatever `rows` raises. Raises RunStopped after the last result when the run ended before its last row; the rows
    that were left are yielded before as `not_attempted`. Raises LedgerFailed where not even those can be told.
    """
    settings = settings or Settings()
    where = None if folder is None else Path(folder)
    order = JobRequest(rows, workspace, _operation(operation), where, settings, log or NullLogger())
    session = ResultStream(order, max(MIN_AHEAD, 4 * settings.concurrency))
    task = session.start()
    try:
        while results := await session.take():
            for result in results:
                yield result
                session.taken()
    finally:
        await _ended(task, session)
    if session.stop.reason is not None:
        raise RunStopped(session.stop.reason, session.stop.detail)


def _operation(name: str) -> Operation:
    if name not in OPERATIONS:
        raise ValueError(f"{name!r} is no operation; there are {', '.join(OPERATIONS)}")
    return OPERATIONS[name]


async def _ended(task: asyncio.Task[None], session: ResultStream) -> None:
    """Await the session's end, asking for it where it goes on; another cancellation ends it at once.

    Raises what the session raised, or CancelledError.
    """
    again: asyncio.CancelledError | None = None
    if not task.done():
        session.leave()
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as cancelled:
            if again is None:
                task.cancel()
            again = cancelled
    if again is not None:
        raise again
    if not (task.cancelled() and session.left):
        task.result()
