"""The end of a run, told to a room or a webhook; whatever goes wrong with that changes nothing about the run."""

import asyncio
import platform
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from rolecall.app import reports
from rolecall.app.connection import Reach
from rolecall.app.open_run import Run
from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.terminal import console
from rolecall.cli.terminal.signals import two_stage_interrupt
from rolecall.engine.clock import Clock
from rolecall.engine.events import EventLogger
from rolecall.engine.stop_signal import STOP_HINTS, StopReason
from rolecall.models import OUTCOMES, NoReply, Reply
from rolecall.rocketchat.client import Client, Transport
from rolecall.rocketchat.error_table import TIMEOUT
from rolecall.rocketchat.messages import (
    POST_MESSAGE,
    NotifyTargetError,
    Room,
    RunSummary,
    Target,
    compose,
    is_url,
    parse_target,
    room_payload,
    webhook_payload,
)
from rolecall.rocketchat.response_classifier import ReadResult, classify_read, rate_limit_delay
from rolecall.rocketchat.url import proxy_for
from rolecall.store.base import count_by_outcome

LONGEST_CALL = 10.0
"""Seconds for one attempt."""
LONGEST_HOLD = 30.0
"""Seconds that a 'too many requests' may ask for; where it asks for more, the message is given up."""
LONGEST_FILE = 4096

Post = Callable[[str], Awaitable[Reply | NoReply]]
"""Sends a text."""


class NotifyConfig(NamedTuple):
    """To whom the end of a run is told, and which ends."""

    target: Target | None = None
    only_failure: bool = False


class NotifyTransport(NamedTuple):
    """How messages leave: the run's own session, and how to reach another host."""

    client: Client
    reach: Reach
    environ: Mapping[str, str]


def choose_target(given: str | None, file: Path | None, *, typed: bool, allow_http: bool) -> Target | None:
    """Read the target; `typed` when it stands on the command line. Raises Refusal, which never shows an address."""
    if given and typed and is_url(given):
        raise OperatorError(
            "--notify on the command line takes only #channel, @user or a room id: a webhook's address is a secret, "
            "and others could read it there; put it into ROLECALL_NOTIFY, rolecall.toml or a file for --notify-file."
        )
    if not given and file is not None:
        given = _read(file)
    try:
        return parse_target(given, allow_http=allow_http) if given else None
    except NotifyTargetError as bad:
        raise OperatorError(str(bad)) from None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST_FILE).decode("utf-8", "replace").strip()
        if is_url(text) and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            console.print_warning(f"{file} holds a webhook's secret and can be read by others: chmod 600 {file}")
    except OSError as error:
        raise OperatorError(f"--notify-file {file} cannot be read: {error.strerror}.") from None
    if not text:
        raise OperatorError(f"--notify-file {file} is empty.")
    return text


async def notify(run: Run, notice: NotifyConfig, code: ExitCode, way: NotifyTransport, log: EventLogger) -> None:
    """Post how the run ended, where that is wanted; raises nothing."""
    if notice.target is None or (notice.only_failure and code is ExitCode.DONE):
        return
    where = notice.target.name if isinstance(notice.target, Room) else "webhook"
    try:
        if code is ExitCode.INTERRUPTED and not await reports.reports_up_to_date(run):
            return  # a second signal: the person wants the end at once
        reading = await _post(notice.target, compose(await _ending(run, code)), way)
    except asyncio.CancelledError:
        log.warning("notification failed", target=where, reason="interrupted")
    except Exception as error:  # a message that was not sent is no reason to tell a run otherwise than it was
        log.warning("notification failed", target=where, reason=type(error).__name__)
    else:
        _tell(log, where, reading, secret=not isinstance(notice.target, Room))


def _tell(log: EventLogger, where: str, reading: ReadResult, *, secret: bool) -> None:
    verdict = reading.verdict
    if reading.body is not None:
        log.info("notified", target=where)
        return
    detail = "" if secret else verdict.message  # a webhook's answer may have its address in it
    log.warning("notification failed", target=where, reason=verdict.rule.reason, status=verdict.status, detail=detail)


async def _ending(run: Run, code: ExitCode) -> RunSummary:
    session = (await run.store.sessions())[-1]
    # A session that could not note its own end is one whose ledger cannot be written.
    stop = session.stop or ("" if session.ended_at else StopReason.STORE.value)
    ended_at = session.ended_at or Clock().wall_ms()
    counts, reasons = await run.store.counts(), Counter[str]()
    for count in counts:
        if OUTCOMES[count.outcome].is_failure:
            reasons[count.reason] += count.rows
    return RunSummary(
        _headline(stop, code),
        {outcome.value: rows for outcome, rows in count_by_outcome(counts).items()},
        reasons,
        run.identity.operation,
        run.identity.workspace,
        session.account,
        (ended_at - session.started_at) / 1000,
        platform.node(),
        str((run.folder / "report.csv").resolve()),
    )


def _headline(stop: str, code: ExitCode) -> str:
    if stop:
        return f"Rolecall stopped: {STOP_HINTS[StopReason(stop)]}."
    if code is ExitCode.DONE:
        return "Rolecall has done its job."
    if code is ExitCode.ROWS:
        return "Rolecall has done its job, but some rows need a look."
    return "Rolecall has done its job, but could not write the report."


async def _post(target: Target, text: str, way: NotifyTransport) -> ReadResult:
    """Post a text, a second time where the first was one call too many; a signal gives it up (CancelledError)."""
    patience = min(LONGEST_CALL, way.reach.connect_timeout + way.reach.timeout)
    async with AsyncExitStack() as stack:
        post = await _poster(target, way, stack)
        task = asyncio.ensure_future(_post_with_retry(post, text, patience))
        with two_stage_interrupt(task.cancel, task.cancel):
            return classify_read(await task)


async def _poster(target: Target, way: NotifyTransport, stack: AsyncExitStack) -> Post:
    if isinstance(target, Room):
        return lambda text: way.client.post_json(POST_MESSAGE, room_payload(target, text))
    # Another host, perhaps: a session of its own, which knows neither token nor user id.
    proxy = proxy_for(target.origin, way.environ)
    transport = Transport(target.origin, way.reach.connect_timeout, way.reach.timeout, proxy, way.reach.ca_file)
    client = await stack.enter_async_context(Client(transport, None))
    return lambda text: client.post_json(target.path, webhook_payload(text))


async def _post_with_retry(post: Post, text: str, patience: float) -> Reply | NoReply:
    reply = await _within(post(text), patience)
    wait = rate_limit_delay(reply)
    if wait is None or wait > LONGEST_HOLD:
        return reply
    await asyncio.sleep(wait)
    return await _within(post(text), patience)


async def _within(call: Awaitable[Reply | NoReply], seconds: float) -> Reply | NoReply:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        return NoReply(TIMEOUT.reason, "no response in time", maybe_sent=True)
