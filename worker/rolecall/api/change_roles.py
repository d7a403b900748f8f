"""Change roles from a program: (async) iterables of rows in, one result for each out; and the same backwards."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

from rolecall.api.result_stream import stream_results
from rolecall.app.connection import AppContext, lock_wait
from rolecall.app.observer import NullObserver
from rolecall.app.run_directory import Run, identity_of, on_thread, open_run
from rolecall.app.run_paths import RunKind, make_private_directory
from rolecall.app.undo_run import Undo, open_undo
from rolecall.engine.events import EventLogger
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.settings import Settings
from rolecall.files.doubt_columns import take_doubt
from rolecall.files.input.json_parse_row import parse_row
from rolecall.models import JobRow, Result, Row
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.operations import OPERATIONS, Operation
from rolecall.store.base import PAGE_SIZE
from rolecall.store.records import Identity

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
LAST_LINE = 2**63 - 1
"""The greatest line number that the store accepts."""
RowInput: TypeAlias = tuple[str, str] | Mapping[str, object] | Row
"""A (room id, user id) pair, a mapping with ids or names (its keys as in job files), or a Row."""
RowInputs: TypeAlias = Iterable[RowInput] | AsyncIterable[RowInput]


def change_roles(
    rows: RowInputs,
    *,
    connection: ConnectionConfig,
    credentials: Credentials,
    operation: OperationName = "groups.removeLeader",
    folder: str | PathLike[str] | None = None,
    settings: Settings | None = None,
    limits: RemovalLimits = NO_LIMITS,
    log: EventLogger | None = None,
) -> AsyncGenerator[Result, None]:
    """Remove a role from (or add it to) each (room, user) pair in `rows`, and yield one result for each row.

    `rows` is any iterable or async iterable of (room id, user id) pairs, of mappings with `roomId` and `userId` (named
    as in job files; further keys come back in `Result.extra`), or of Row. All rows are imported before the first is
    sent; memory does not grow with their number. `Result.line` is the row's place in them, counted from 1.

    First come the rows that need no call, in their order: invalid ones, duplicates, and those that an earlier call on
    the same `folder` has finished. Then the others, each as soon as its outcome is on disk: what was yielded survives a
    crash. At most 64 rows (or four times `settings.concurrency`) are worked on ahead of the one that you have.

    With a `folder` the run is durable: the same call again continues it, resolves what was left in doubt, and sends
    nothing that is done. `rolecall run --out` and `rolecall report` work on the same folder. Without one, the store is
    in a private temporary folder that is removed in the end. `settings` are those of the command (10 calls a second by
    default). `limits` refuse a run that would take too much, with an OperatorError before its first change. `log`
    receives the command's log events, like a structlog logger; without it nothing is logged.

    Closing the generator, or cancelling the task that awaits it, ends the run in stages: no further row is started, the
    calls in flight have `settings.shutdown_timeout` seconds to be answered, and all that is known is written. A second
    cancellation ends it at once, and leaves the calls in flight in doubt. To leave early, wrap the generator in
    `contextlib.aclosing`: a plain `break` ends the run too, but only in the background.

    Raises ValueError at once where there is no such operation. Raises, before anything is sent: CaFileError,
    InvalidUrlError, AuthenticationError, WorkspaceUnavailableError, InvalidRunDirectoryError, InvalidStoreError,
    RunLockedError, StoreError, OSError, and everything that `rows` raises. Raises RunStopped after the last result if
    the run ended before its last row; the rows that were left are yielded before as `not_attempted`. Raises StoreError
    where not even those can be read.
    """
    chosen = require_operation(operation)
    app = create_context(connection, credentials, settings, log)

    @asynccontextmanager
    async def open_rows() -> AsyncIterator[Undo]:
        identity = identity_of(RunKind.RUN, connection.url, chosen, "")  # the digest is that of a job file
        async with open_run_in(folder, identity, app) as run:
            yield Undo(run, chosen, lambda: parse_rows(rows))

    return stream_results(open_rows, app, limits)


def undo(
    folder: str | PathLike[str],
    *,
    connection: ConnectionConfig,
    credentials: Credentials,
    include_inferred: bool = False,
    settings: Settings | None = None,
    log: EventLogger | None = None,
) -> AsyncGenerator[Result, None]:
    """Restore the roles that the run in `folder` is known to have changed, and yield one result for each row.

    With `include_inferred` also for the rows whose responses were lost and that were found to be done. The undo is a
    run of its own in `folder/undo`: the same call continues it. The rows, the guarantees and the end are those of
    `change_roles`.

    Raises OperatorError where there is nothing to undo, where all is undone already, or for a check's folder.
    """
    app = create_context(connection, credentials, settings, log)
    return stream_results(lambda: open_undo(Path(folder), app, inferred=include_inferred), app)


def create_context(
    connection: ConnectionConfig, credentials: Credentials, settings: Settings | None, log: EventLogger | None
) -> AppContext:
    """Return the context of one call: nothing is shown, events go to `log`."""
    return AppContext(connection, credentials, settings or Settings(), NullObserver(log))


def require_operation(name: str) -> Operation:
    """Return the operation of this name. Raises ValueError."""
    if name not in OPERATIONS:
        raise ValueError(f"{name!r} is no operation; there are {', '.join(OPERATIONS)}")
    return OPERATIONS[name]


@asynccontextmanager
async def open_run_in(folder: str | PathLike[str] | None, identity: Identity, app: AppContext) -> AsyncIterator[Run]:
    """Lock and open the run in a folder; without one, in a private temporary folder that is removed afterwards."""
    if folder is None:
        async with on_thread(_temporary_folder()) as temporary, open_run(temporary, identity) as run:
            yield run
    else:
        path = await asyncio.to_thread(make_private_directory, Path(folder))
        async with open_run(path, identity, lock_wait(app)) as run:
            yield run


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="rolecall-") as path:
        yield Path(path)


def parse_row_input(given: object, place: int) -> JobRow:
    """Parse the input of a program by the rules for JSON job files; `place` counts from 1.

    A Row keeps its own line. Anything that is not a row becomes a BadRow.
    """
    match given:
        case Row(line=int(line), extra=Mapping() as extra) if 0 < line <= LAST_LINE and _has_names(extra):
            row = parse_row({**extra, "roomId": given.room_id, "userId": given.user_id}, line)
            is_named = isinstance(row, Row) and (given.room_name or given.username)
            return row._replace(room_name=given.room_name, username=given.username) if is_named else row
        case Row():
            return parse_row(None, place)
        case Mapping() if _has_names(given):
            return parse_row(dict(given), place)
        case tuple() | list():
            return parse_row(list(given), place)
        case _:
            return parse_row(None, place)


def _has_names(columns: Mapping[object, object]) -> bool:
    return all(isinstance(key, str) for key in columns)


async def parse_rows(rows: RowInputs) -> AsyncGenerator[Sequence[JobRow], None]:
    """Return the rows in pages; they are iterated in the task that reads this. What the iterable raises is raised."""
    page: list[JobRow] = []
    place = 0
    async for row in _iterate(rows):
        place += 1
        page.append(take_doubt(parse_row_input(row, place)))
        if len(page) == PAGE_SIZE:
            yield page
            page = []
    if page:
        yield page


async def _iterate(rows: RowInputs) -> AsyncGenerator[object, None]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
