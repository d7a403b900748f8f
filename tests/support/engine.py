"""The engine in this process: a real client over a real socket, a real ledger file."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from worker.engine.clock import Clock
from worker.engine.events import Events
from worker.engine.failures import Threshold
from worker.engine.reasons import StopReason
from worker.engine.runner import work_through
from worker.engine.settings import Settings
from worker.engine.stop import Stop
from worker.ledger.interface import Identity
from worker.ledger.sqlite import SqliteLedger
from worker.model import Result, Row
from worker.sandbox import ACCOUNT
from worker.workspace.client import Client, Credentials, Transport
from worker.workspace.operations import REMOVE_LEADER

NEVER = Threshold(100, is_percent=True)
QUICK = Settings(rate=None, attempts=3, backoff=0.01, outage_patience=0.4, max_failures=NEVER, grace=0.2)
"""Settings for faults: everything as in a real run, only sooner."""


class Told(NamedTuple):
    """What a run told in the end."""

    results: list[Result]
    stop: StopReason | None


class SilentLog:
    """Takes every event and shows none."""

    def bind(self, **values: object) -> "SilentLog":
        """Add nothing."""
        return self

    def info(self, event: str, **values: object) -> None:
        """Take one."""

    def warning(self, event: str, **values: object) -> None:
        """Take one."""


async def run_pairs(
    url: str,
    pairs: Iterable[tuple[str, str]],
    path: Path,
    settings: Settings = QUICK,
    *,
    stop: Stop | None = None,
    answer_within: float = 0.25,
) -> Told:
    """Run a job of pairs to its end and read its results from the ledger at `path`, which may hold earlier ones."""
    stop, clock = stop or Stop(), Clock()
    ledger = SqliteLedger(path)
    try:
        rows = (Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2))
        ledger.take_in(Identity(url, REMOVE_LEADER.name, ""), rows)
        ledger.open_session("tester", clock.wall_ms())
        transport = Transport(url, connect_timeout=0.25, answer_timeout=answer_within)
        async with Client(transport, Credentials(ACCOUNT.user_id, ACCOUNT.token)) as client:
            events = Events(SilentLog(), clock)
            await work_through(ledger, client, REMOVE_LEADER, settings, stop=stop, clock=clock, events=events)
        ledger.close_session(stop.reason or "", clock.wall_ms())
        return Told(list(ledger.results()), stop.reason)
    finally:
        ledger.close()
