"""The engine in this process: a real client over a real socket, a real store file."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.context import Caller, RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.settings import FailureThreshold, Settings
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.models import Result, Row
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.operations import REMOVE_LEADER, Operation
from rolecall.sandbox import ACCOUNT
from rolecall.store.records import Identity
from tests.support.store import FailingDatabase, as_store, import_rows

NEVER = FailureThreshold(100, is_percent=True)
QUICK = Settings(
    rate=None, max_attempts=3, retry_backoff=0.01, outage_timeout=0.4, max_failures=NEVER, shutdown_timeout=0.2
)
"""Settings for faults: everything as in a real run, with shorter times."""


class Told(NamedTuple):
    """The end of a run."""

    results: list[Result]
    stop: StopReason | None


class SilentLog:
    """A log that drops every event."""

    def bind(self, **values: object) -> "SilentLog":
        """Return itself."""
        return self

    def info(self, event: str, **values: object) -> None:
        """Drop one."""

    def warning(self, event: str, **values: object) -> None:
        """Drop one."""


async def run_pairs(
    url: str,
    pairs: Iterable[tuple[str, str]],
    path: Path,
    settings: Settings = QUICK,
    *,
    stop: StopSignal | None = None,
    answer_within: float = 0.25,
    operation: Operation = REMOVE_LEADER,
    commits: int | None = None,
    may_be_exempt: bool = False,
) -> Told:
    """Run a job of pairs to its end and return its results from the store at `path`, which may have earlier ones.

    After so many `commits` the store writes nothing more, as if the process had been killed.
    """
    stop, clock = stop or StopSignal(), Clock()
    ledger = FailingDatabase(path)
    if commits is not None:
        ledger.commits_left = commits
    try:
        rows = (Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2))
        import_rows(ledger, Identity(url, operation.name, ""), rows)
        ledger.open_session("tester", clock.wall_ms())
        transport = ConnectionConfig(url, connect_timeout=0.25, timeout=answer_within)
        async with Client(transport, Credentials(ACCOUNT.user_id, ACCOUNT.token)) as client:
            caller = Caller(ACCOUNT.user_id, clock.wall_ms(), may_be_exempt)
            context = RunContext.create(settings, SilentLog(), clock=clock, stop=stop, caller=caller)
            await process_rows(as_store(ledger), client, operation, context)
        if stop.reason is not StopReason.STORE:
            ledger.close_session(stop.reason or "", clock.wall_ms())
        return Told(list(ledger.results()), stop.reason)
    finally:
        ledger.close()
