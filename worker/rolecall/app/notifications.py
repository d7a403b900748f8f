"""Report the end of a run to others: a message into a room or to a webhook, metrics for a monitor.

A failure to do so changes nothing about the run.
"""

import asyncio
import platform
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rolecall.app.connection import AppContext, until_stopped
from rolecall.app.errors import OperatorError, RunStopped
from rolecall.app.run_job import RunResult
from rolecall.engine.clock import Clock
from rolecall.engine.events import EventLogger
from rolecall.engine.stop_signal import STOP_HINTS, StopReason
from rolecall.files.output.prometheus import RunMetrics, is_foreign_file, write_metrics, write_start
from rolecall.models import OUTCOMES, NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import InvalidUrlError, workspace_url
from rolecall.rocketchat.error_table import TIMEOUT
from rolecall.rocketchat.messages import (
    POST_MESSAGE,
    Room,
    RunSummary,
    Target,
    compose,
    room_payload,
    webhook_payload,
)
from rolecall.rocketchat.response_classifier import ReadResult, classify_read, rate_limit_delay
from rolecall.store.base import StoreError
from rolecall.store.records import Count, count_by_outcome

NO_PEOPLE: Mapping[str, int] = MappingProxyType({})
MAX_CALL_SECONDS = 10.0
"""Seconds for one attempt."""
MAX_RATE_LIMIT_WAIT = 30.0
"""Seconds that a rate limited message is delayed; for longer delays it is given up."""

Post = Callable[[str], Awaitable[Reply | NoReply]]
"""Sends a text."""


class NotifyConfig(NamedTuple):
    """Where the end of a run is posted, and which ends are."""

    target: Target
    only_failure: bool = False


async def notify(result: RunResult, config: NotifyConfig, context: AppContext) -> None:
    """Post how a run ended; raises nothing. A request to stop, or a cancellation, gives the message up."""
    if not result.sent or (config.only_failure and result.is_success):
        return
    if not result.recorded and result.stop is StopReason.INTERRUPTED:
        return
    log = result.log or context.observer.open_log(None, hide=context.credentials.token)
    await post_summary(lambda: _summary(result), config.target, context, log)


async def post_summary(make: Callable[[], RunSummary], target: Target, context: AppContext, log: EventLogger) -> None:
    """Post the summary that `make` returns, and log how that went; raises nothing."""
    name = target.name if isinstance(target, Room) else "webhook"
    try:
        reading = await _post(target, compose(await asyncio.to_thread(make)), context)
    except (asyncio.CancelledError, RunStopped):
        log.warning("notification failed", target=name, reason="interrupted")
    except Exception as error:  # a message that fails changes nothing about the run
        log.warning("notification failed", target=name, reason=type(error).__name__)
    else:
        _log_result(log, name, reading, secret=not isinstance(target, Room))


def _log_result(log: EventLogger, target: str, reading: ReadResult, *, secret: bool) -> None:
    verdict = reading.verdict
    if reading.body is not None:
        log.info("notified", target=target)
        return
    detail = "" if secret else verdict.message  # a webhook's response may contain its URL
    log.warning("notification failed", target=target, reason=verdict.rule.reason, status=verdict.status, detail=detail)


def _summary(result: RunResult) -> RunSummary:
    summary = result.summary
    if summary is None:
        raise StoreError("The run store cannot be read.")
    session, reasons = summary.sessions[-1], Counter[str]()
    for count in summary.counts:
        if OUTCOMES[count.outcome].is_failure:
            reasons[count.reason] += count.rows
    ended_at = session.ended_at or Clock().wall_ms()
    return RunSummary(
        _headline(result),
        {outcome.value: rows for outcome, rows in count_by_outcome(summary.counts).items()},
        reasons,
        summary.identity.operation,
        summary.identity.workspace,
        session.account,
        (ended_at - session.started_at) / 1000,
        platform.node(),
        str((result.folder / "report.csv").resolve()),
        summary.reason,
    )


def _headline(result: RunResult) -> str:
    if result.stop is not None:
        return f"Rolecall stopped: {STOP_HINTS[result.stop]}."
    if result.report_error:
        return "Rolecall has done its job, but could not write the report."
    if result.is_success:
        return "Rolecall has done its job."
    return "Rolecall has done its job, but some rows need a look."


async def _post(target: Target, text: str, context: AppContext) -> ReadResult:
    """Post a text, a second time if the first attempt was rate limited."""
    connection = context.connection
    seconds = min(MAX_CALL_SECONDS, connection.connect_timeout + connection.timeout)
    async with _poster(target, context) as post:
        work = _post_with_retry(post, text, seconds)
        # After the run was stopped only a cancellation, the second signal, gives the message up.
        return classify_read(await (until_stopped(work, context.stop) if context.stop.reason is None else work))


@asynccontextmanager
async def _poster(target: Target, context: AppContext) -> AsyncIterator[Post]:
    if isinstance(target, Room):
        async with Client(context.connection, context.credentials) as client:
            yield lambda text: client.post_json(POST_MESSAGE, room_payload(target, text))
    else:  # perhaps another host: without token and user id
        async with Client(replace(context.connection, url=target.origin), None) as client:
            yield lambda text: client.post_json(target.path, webhook_payload(text))


async def _post_with_retry(post: Post, text: str, seconds: float) -> Reply | NoReply:
    reply = await _within(post(text), seconds)
    wait = rate_limit_delay(reply)
    if wait is None or wait > MAX_RATE_LIMIT_WAIT:
        return reply
    await asyncio.sleep(wait)
    return await _within(post(text), seconds)


async def _within(call: Awaitable[Reply | NoReply], seconds: float) -> Reply | NoReply:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        return NoReply(TIMEOUT.reason, "no response in time", maybe_sent=True)


@dataclass(frozen=True, slots=True)
class MetricsWriter:
    """The file, and what is known before there is a run."""

    file: Path
    workspace: str
    operation: str
    job: str
    started_at: float
    """Epoch seconds."""

    def write_start(self) -> None:
        """Write that the command is running; what is known of the last one stays. Raises OSError."""
        write_start(self.file, self.workspace, self.operation, self.job, self.started_at)

    def write(self, exit_code: int, counts: Iterable[Count] = (), people: Mapping[str, int] = NO_PEOPLE) -> None:
        """Write how the command ended. Raises OSError."""
        rows = [(count.outcome.value, count.reason, count.rows) for count in counts]
        times = (self.started_at, time.time())
        metrics = RunMetrics(self.workspace, self.operation, self.job, *times, exit_code, rows, people)
        write_metrics(self.file, metrics)


def create_metrics_writer(file: Path, url: str, operation: str, job: str, *, allow_http: bool) -> MetricsWriter:
    """Create the writer before the run. Raises OperatorError for a file that cannot be written."""
    if not file.parent.is_dir():
        raise OperatorError(f"The metrics file {file} cannot be written: there is no folder {file.parent}.")
    if is_foreign_file(file):
        raise OperatorError(f"The metrics file {file} exists and has no metrics of Rolecall; it is left as it is.")
    try:
        workspace = workspace_url(url, allow_http=allow_http)
    except InvalidUrlError:  # reported below; not written here because the URL may contain a password
        workspace = ""
    return MetricsWriter(file, workspace, operation, "stdin" if job == "-" else Path(job).name, time.time())
