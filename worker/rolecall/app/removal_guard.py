"""The guard against a wrong list that would succeed: what a run would take is counted before its first change."""

from typing import NamedTuple

from rolecall.app.connection import AppContext, Connection, until_stopped
from rolecall.app.errors import OperatorError
from rolecall.app.observer import ReadingRemovals
from rolecall.app.run_directory import Run
from rolecall.engine.context import RunContext
from rolecall.engine.directory.removal_forecast import MAX_ROOMS, RemovalForecast, forecast_removals
from rolecall.engine.directory.role_check import RoleCheck
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.events import EventLogger
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.settings import Settings
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Advice, Outcome, is_due
from rolecall.rocketchat.operations import Operation
from rolecall.store.records import Pair
from rolecall.text import plural

MAX_QUESTION_SECONDS = 60.0
"""A question waits at most this long for its figures: above, it has none."""


class PreparedRun(NamedTuple):
    """A run whose rows are imported, with everything that sending them takes."""

    run: Run
    connection: Connection
    app: AppContext
    context: RunContext
    """Of the session that is about to start."""
    log: EventLogger
    """Of the run, with a file of its own."""
    due: int
    """Rows to send."""
    rooms: int
    """Rooms of these rows."""


class RemovalGuardError(OperatorError):
    """The run would take more roles than it may; nothing was sent."""

    advice = Advice.ALLOW_REMOVALS


async def count_removals(prepared: PreparedRun, limits: RemovalLimits) -> RemovalForecast | None:
    """Count what the run would take; None where no limit and no question needs it. Raises RunStopped and StoreError."""
    app, operation = prepared.app, prepared.run.operation
    if operation.adds:
        return None
    is_limited = limits.apply_to(prepared.due)
    estimate = prepared.connection.estimate(app.settings, prepared.rooms)
    if not is_limited:
        is_quick = estimate is None or estimate.seconds <= MAX_QUESTION_SECONDS
        if not (is_quick and app.observer.will_ask()):
            return None
    app.observer.notice(ReadingRemovals(prepared.rooms, estimate))
    reader = RoleReader(ReadClient(prepared.connection.client, prepared.context), operation)

    def is_due_pair(pair: Pair) -> bool:
        return pair.line is not None and is_due(pair.outcome, retry_failed=app.settings.retry_failed)

    work = forecast_removals(
        prepared.run.store,
        reader,
        limits if is_limited else NO_LIMITS,
        is_due_pair,
        concurrency=app.settings.concurrency,
    )
    return await until_stopped(work, app.stop)


async def count_checked_removals(
    run: Run, check: RoleCheck, connection: Connection, settings: Settings
) -> RemovalForecast | None:
    """Return what a run of a checked job would take; None where that is not known at a bearable cost.

    Rooms that the check has not read by itself are read for it, if a person has set a limit or it takes no longer than
    for a question. Raises ShutdownRequested and StoreError.
    """
    if run.operation.adds:
        return None
    if check.has_read_all_rooms:
        return check.removals
    rooms, _ = await run.store.count_rooms_and_users(list(Outcome))
    estimate = connection.estimate(settings, rooms)
    if check.removals.limits.are_chosen or estimate is None or estimate.seconds <= MAX_QUESTION_SECONDS:
        return await check.count_removals(concurrency=settings.concurrency)
    return None


def require_allowed(forecast: RemovalForecast, operation: Operation) -> None:
    """Raise RemovalGuardError if the run would take more than it may; the text has the figures."""
    if why := format_excess(forecast, operation):
        raise RemovalGuardError(
            f"Refused before the first change: {format_removals(forecast, operation)}. "
            f"Not allowed: {why}. Nothing was sent."
        )


def format_excess(forecast: RemovalForecast, operation: Operation) -> str:
    """Format which limits the run would exceed, such as `more than 5 in 2 groups (room0, room1)`; empty for none."""
    if forecast.is_allowed:
        return ""
    limits, kind, role = forecast.limits, operation.kind.removesuffix("s"), operation.role
    why = []
    if forecast.is_over_limit:
        why.append(f"more than {limits.in_all} of them")
    if forecast.rooms_over_share:
        why.append(f"more than {limits.per_room} in {plural(forecast.rooms_over_share, kind)}")
    if forecast.rooms_below_keep:
        left = f"fewer than {plural(limits.keep, role)}"
        why.append(f"{plural(forecast.rooms_below_keep, kind)} with {left} left")
    rooms = forecast.rooms_over_share + forecast.rooms_below_keep
    if forecast.named:
        why[-1] += f" ({', '.join(forecast.named)}{', ...' if rooms > MAX_ROOMS else ''})"
    return "; ".join(why)


def format_removals(forecast: RemovalForecast, operation: Operation, subject: str = "it") -> str:
    """Format what a run would take, such as `it takes 42 of 57 leaders; 3 groups would have none left`."""
    kind = operation.kind.removesuffix("s")
    parts = [f"{subject} takes {forecast.removals:,} of {plural(forecast.holders, operation.role)}"]
    if forecast.emptied:
        parts.append(f"{plural(forecast.emptied, kind)} would have none left")
    if forecast.unread:
        parts.append(f"the roles of {plural(forecast.unread, 'row')} could not be read")
    return "; ".join(parts)
