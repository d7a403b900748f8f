"""Reading calls, with the same care as changing ones: each route in its own window, retried, outages waited out.

A reading call changes nothing, so it writes no intent and leaves no doubt: it is repeated as often as its attempts
allow.
"""

from collections.abc import AsyncIterator
from typing import TypeVar

from rolecall.engine.context import RunContext
from rolecall.engine.route_health import MAX_REFUSALS, Credentials
from rolecall.engine.stop_signal import ShutdownRequested, StopReason
from rolecall.engine.throttle.admission import CallKind
from rolecall.engine.throttle.call_executor import CallExecutor
from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import FORBIDDEN, Action
from rolecall.rocketchat.response_classifier import CallResult, ReadResult, classify_read

T = TypeVar("T")

PAGE_SIZE = 100
"""Entries requested at once: the server's maximum unless its administrator has changed it."""


class ReadCall:
    """One reading request; see `Call`."""

    prepare = None
    may_be_the_cause = True
    """A listing can be too long or too slow for a proxy."""

    def __init__(self, client: Client, context: RunContext, path: str, query: dict[str, str]) -> None:
        self._client = client
        self._events = context.events
        self._path = path
        self._query = query
        self._read: ReadResult | None = None

    def result(self) -> ReadResult:
        """Return the result of the last attempt, with the body."""
        if self._read is None:
            raise AssertionError("a read has a result once it was executed")
        return self._read

    def cancel_prepared(self) -> None:
        """Do nothing: a read prepares nothing."""

    async def send(self) -> Reply | NoReply:
        """Send the request."""
        return await self._client.get_listing(self._path, **self._query)

    def record_response(self, reply: Reply | NoReply) -> CallResult:
        """Classify the response and keep its body."""
        self._read = classify_read(reply)
        return self._read.verdict

    def discard_attempt(self) -> None:
        """Do nothing: a read records no attempts."""

    async def complete_attempt(self, result: CallResult) -> CallResult:
        """Return the result as it is."""
        return result

    def report_retry(self, result: CallResult, seconds: float) -> None:
        """Report the next attempt to the session's events."""
        self._events.retrying_read(self._path, result, seconds)


class ReadClient:
    """Reads from one workspace; one for a command, shared by its tasks."""

    def __init__(self, client: Client, context: RunContext) -> None:
        self._client = client
        self._context = context
        self._executors: dict[str, CallExecutor] = {}

    async def read(self, path: str, **query: str) -> ReadResult:
        """Read one thing; without a body the result says why. Raise ShutdownRequested."""
        call = ReadCall(self._client, self._context, path, query)
        with self._context.admission.observed_by(self._context.events, CallKind.READ):
            result = await self._executor(path).execute(call)
        if result.rule.action is Action.STOP:
            return self._without_permission(call.result())
        return call.result()

    async def entries(self, path: str, key: str, **query: str) -> AsyncIterator[dict[str, object] | CallResult]:
        """Read a paged list, the array `key` of each response, entry by entry; a last CallResult says why it broke off.

        A list that has become shorter is read again from so much before: entries have moved up, some of them to a page
        that was read already. So an entry may come twice. Raise ShutdownRequested.
        """
        offset, total = 0, 1
        while offset < total:
            read = await self.read(path, **query, offset=str(offset), count=str(PAGE_SIZE))
            if read.body is None:
                yield read.verdict
                return
            reported = read.body.get("total")
            removed = total - reported if offset and isinstance(reported, int) else 0
            if removed > 0:
                offset, total = max(0, offset - removed), total - removed
                continue
            page = read.body.get(key)
            found = [entry for entry in page if isinstance(entry, dict)] if isinstance(page, list) else []
            if not found:
                return
            for entry in found:
                yield entry
            offset += len(found)
            total = reported if isinstance(reported, int) else offset

    def _without_permission(self, read: ReadResult) -> ReadResult:
        """Distinguish a missing permission, for which 8.x also sends a 401, from credentials that are not accepted."""
        if self._context.credentials.last is Credentials.REFUSED:
            self._context.stop.request(StopReason.CREDENTIALS, read.verdict.message)
            raise ShutdownRequested
        return read._replace(verdict=read.verdict._replace(rule=FORBIDDEN))

    def _executor(self, path: str) -> CallExecutor:
        executor = self._executors.get(path)
        if executor is None:
            route = self._context.admission.route(path, CallKind.READ)
            executor = self._executors[path] = CallExecutor(
                route, self._client, self._context, max_refusals=MAX_REFUSALS
            )
        return executor
