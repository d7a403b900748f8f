"""One session of a run: its start and its end are recorded and logged in any case."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from rolecall.app.connection import AppContext, Connection
from rolecall.app.run_directory import Run, mark_reports_stale
from rolecall.engine.context import RunContext
from rolecall.engine.stop_signal import StopReason
from rolecall.store.base import StoreError


class PreparedRun(NamedTuple):
    """A run whose rows are imported, with everything that sending them takes."""

    run: Run
    connection: Connection
    app: AppContext
    context: RunContext
    """Of the session that is about to start."""
    due: int
    """Rows to send."""
    rooms: int
    """Rooms of these rows."""


@dataclass(slots=True)
class SendSession:
    """What is known of a session once it has ended."""

    is_recorded: bool = True
    """False where its end could not be recorded: the store cannot be written any more."""


@asynccontextmanager
async def open_session(run: Run, account: str, due: int, context: RunContext) -> AsyncIterator[SendSession]:
    """Record and log the start of a session with so many due rows, and its end after the block.

    A store that cannot record the end stops the context with StopReason.STORE and raises nothing: the rows that are on
    disk can perhaps still be read.
    """
    session, store, clock = SendSession(), run.store, context.clock
    resumed = bool(await store.sessions())
    await mark_reports_stale(run)
    await store.open_session(account, clock.wall_ms())
    context.events.session_started(run.identity, run.folder, account, due, resumed=resumed)
    started = clock.now()
    try:
        yield session
    finally:
        try:
            await store.close_session(context.stop.reason or "", clock.wall_ms())
        except StoreError as failure:
            context.stop.request(StopReason.STORE, str(failure))
            session.is_recorded = False
        context.events.session_ended(clock.now() - started, context.outcomes)
