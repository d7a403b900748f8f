"""A server whose clock is set back in mid-run: its window goes on for longer, and few calls find out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome, Reply
from tests.unit.engine.runs import PLAIN, Run, Start
from tests.unit.engine.throttle.fixed_window import BEGINNING as SERVER_BEGINNING
from tests.unit.engine.throttle.fixed_window import Server, stepped
from tests.unit.engine.virtual import BEGINNING

USERS = [f"u{number}" for number in range(60)]
SETTINGS = replace(PLAIN, concurrency=8)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Return a function that starts a run."""
    starter = Start(tmp_path / "run.sqlite")
    yield starter
    starter.done()


class SetBack:
    """A server with 10 calls a minute whose clock is set by so many seconds, 90 s after the beginning."""

    def __init__(self, by: float) -> None:
        self._server = Server(10, 60.0, stepped(90.0, by))
        self.refused: list[float] = []

    def __call__(self, now: float) -> Reply:
        """Answer a call that comes now."""
        status, headers, body = self._server.take(now - BEGINNING + SERVER_BEGINNING)
        if status == 429:
            self.refused.append(now - BEGINNING)
        return Reply(status, headers, body, now, now)


@pytest.mark.parametrize("by", [-1.0, -30.0, -600.0])
async def test_two_calls_are_refused(start: Callable[..., Run], by: float) -> None:
    """With 8 calls in flight two are refused at most, and the run goes on as soon as the server's window ends."""
    server = SetBack(by)
    run = start(USERS, server, SETTINGS)
    await run.go()
    assert run.outcomes() == {(Outcome.REMOVED, ""): 60}
    assert 1 <= len(server.refused) <= 2
    assert run.client.calls[-1][1] - BEGINNING <= 5 * 60.0 - by + 5.0


async def test_an_hour_is_longer_than_a_run_waits(start: Callable[..., Run]) -> None:
    """The second refusal comes after the longest outage that a run waits for: it ends the run."""
    server = SetBack(-3600.0)
    run = start(USERS, server, SETTINGS)
    await run.go()
    assert run.stop.reason is StopReason.OUTAGE
    assert len(server.refused) <= 2
    assert {outcome for outcome, _ in run.outcomes()} == {Outcome.REMOVED, Outcome.NOT_ATTEMPTED}
