"""One session of a run: its start and its end are recorded and logged in any case."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.app.run_directory import Run, mark_reports_stale
from rolecall.engine.stop_signal import StopReason
from rolecall.store.base import StoreError

if TYPE_CHECKING:  # needed only after the preflight
    from rolecall.engine.context import RunContext


@dataclass(slots=True)
class SendSession:
    """What is known of a session once it has ended."""

    failure: StoreError | None = None
    """Why its end could not be recorded: the store cannot be written any more, or is not in its place."""
    seconds: float = 0.0
    """How long it took."""

    @property
    def is_recorded(self) -> bool:
        """Whether its end was recorded."""
        return self.failure is None


@asynccontextmanager
async def open_session(run: Run, account: str, due: int, context: "RunContext") -> AsyncIterator[SendSession]:
    """Record and log the start of a session with so many due rows, and record its end after the block.

    Its end is logged by the caller, with the result; only after a block that raises is it logged here. A store that
    cannot record the end stops the context with StopReason.STORE and raises nothing: the rows that are on disk can
    perhaps still be read.
    """
    session, store, clock = SendSession(), run.store, context.clock
    resumed = bool(await store.sessions())
    await mark_reports_stale(run)
    await store.open_session(account, clock.wall_ms())
    context.events.session_started(run.identity, run.folder, account, due, resumed=resumed)
    started, completed = clock.now(), False
    try:
        yield session
        completed = True
    finally:
        session.seconds = clock.now() - started
        try:
            await store.close_session(context.stop.reason or "", clock.wall_ms())
        except StoreError as failure:
            context.stop.request(StopReason.STORE, str(failure))
            session.failure = failure
        if not completed:
            context.events.session_ended(session.seconds, context.outcomes, run.folder)
