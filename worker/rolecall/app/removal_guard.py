"""The guard against a wrong list that would succeed: what a run would take is counted before its first change."""

from typing import NamedTuple

from rolecall.app.connection import AppContext, Connection, until_stopped
from rolecall.app.errors import OperatorError
from rolecall.app.observer import ReadingRemovals
from rolecall.app.run_directory import Run
from rolecall.engine.context import RunContext
from rolecall.engine.directory.removal_forecast import MAX_ROOMS, RemovalForecast, forecast_removals
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.events import EventLogger
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Advice
from rolecall.rocketchat.operations import Operation
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
    work = forecast_removals(prepared.run.store, reader, operation, app.settings, limits if is_limited else NO_LIMITS)
    return await until_stopped(work, app.stop)


def require_allowed(forecast: RemovalForecast, operation: Operation) -> None:
    """Raise RemovalGuardError if the run would take more than it may; the text has the figures."""
    if forecast.is_allowed:
        return
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
    raise RemovalGuardError(
        f"Refused before the first change: {format_removals(forecast, operation)}. "
        f"Not allowed: {'; '.join(why)}. Nothing was sent."
    )


def format_removals(forecast: RemovalForecast, operation: Operation) -> str:
    """Format what a run would take, such as `it takes 42 of 57 leaders; 3 groups would have none left`."""
    kind = operation.kind.removesuffix("s")
    parts = [f"it takes {forecast.removals:,} of {plural(forecast.holders, operation.role)}"]
    if forecast.emptied:
        parts.append(f"{plural(forecast.emptied, kind)} would have none left")
    if forecast.unread:
        parts.append(f"the roles of {plural(forecast.unread, 'row')} could not be read")
    return "; ".join(parts)
