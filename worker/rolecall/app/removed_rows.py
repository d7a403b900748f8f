"""Rows in doubt that an edited job file no longer has: they are settled by reading, and never sent again."""

from collections.abc import Sequence

from rolecall.app.connection import Connection, run_reading
from rolecall.app.run_directory import Run
from rolecall.engine.context import RunContext
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.directory.role_verify import RoleVerification, VerifiedRow, VerifyHooks, is_in_doubt
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.rocketchat.operations import Operation
from rolecall.store.base import StoreError
from rolecall.store.records import Pair


async def settle_removed_rows(run: Run, connection: Connection, operation: Operation, context: RunContext) -> None:
    """Record the outcomes of these rows, as far as what is read now proves something; the others stay `unknown`.

    A store that cannot be written stops the context with StopReason.STORE.
    """
    settings = context.settings
    if not settings.read_roles or not await run.store.count_removed_in_doubt():
        return
    reader = RoleReader(ReadClient(connection.client, context), operation)
    verification = RoleVerification(run.store, reader, operation, settings, context.clock)
    try:
        await run_reading(verification.run(VerifyHooks(_ignore), wait=False, wanted=_is_removed), context.stop)
    except StoreError as failure:
        context.stop.request(StopReason.STORE, str(failure))


def _is_removed(pair: Pair) -> bool:
    return pair.line is None and is_in_doubt(pair)


async def _ignore(_: Sequence[VerifiedRow]) -> None:
    """Do nothing: the outcomes are in the store."""
