"""The rows of a job with ids only: names are looked up in the workspace, which is connected to where it is needed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from rolecall.app.connection import AppContext, LazyConnection, open_read_session
from rolecall.app.errors import RunStopped
from rolecall.app.run_directory import Run
from rolecall.engine.directory.name_resolver import NameResolver
from rolecall.engine.stop_signal import ShutdownRequested, StopReason
from rolecall.file_access import Target
from rolecall.models import BadRow, JobRow, Row

if TYPE_CHECKING:  # needed only for names, after the preflight
    from rolecall.engine.context import RunContext
    from rolecall.engine.directory.name_lookup import NameLookup

JobPages = AsyncGenerator[Sequence[JobRow], None]
"""Rows of a job, page by page."""
Pages = AsyncGenerator[Sequence[Row | BadRow], None]
"""Rows with ids, page by page."""


async def with_ids(
    pages: JobPages, run: Run, connection: LazyConnection, context: AppContext, *, log_file: Target | None
) -> Pages:
    """Yield the pages while they are imported into the run's store; each name is looked up once for the run.

    A row whose name has no id becomes a BadRow. A stop request ends it between two pages, too, so that the import is
    undone. Raises RunStopped, NameLookupError, and what connecting raises.
    """

    async def open_lookup() -> "tuple[NameLookup, RunContext]":
        from rolecall.engine.directory.name_lookup import NameLookup

        connected = await connection.get()
        session = open_read_session(context, connected, log_file)
        return NameLookup(session.reader, run.operation.kind, connected.account.roles), session.context

    stop = context.stop
    try:
        async with aclosing(pages), aclosing(NameResolver(run.store, open_lookup).resolve(pages)) as resolved:
            async for page in resolved:
                stop.raise_if_requested()
                yield page
    except ShutdownRequested:
        raise RunStopped(stop.reason or StopReason.INTERRUPTED, stop.detail) from None
