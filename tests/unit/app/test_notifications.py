"""The message about a run whose store fails: it has what is known, and never raises."""

from pathlib import Path

from rolecall.app.connection import AppContext
from rolecall.app.notifications import NotifyConfig, notify
from rolecall.app.observer import NullObserver
from rolecall.app.reports import ReportSummary
from rolecall.app.run_job import RunResult
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.messages import Room
from rolecall.sandbox import ACCOUNT, Sandbox, World, leader_world
from rolecall.store.records import Count, Identity, Session


class KeptLog:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def bind(self, **values: object) -> "KeptLog":
        """Add nothing."""
        return self

    def info(self, event: str, **values: object) -> None:
        """Keep one."""
        self.events.append((event, values.get("reason")))

    warning = info


def stopped_run(folder: Path, *, readable: bool) -> RunResult:
    """Return a run whose store could not be written any more, so that its session has no end."""
    session = Session(1_772_357_400_000, None, "", "bulk.bot")
    identity = Identity("http://127.0.0.1:9", "groups.removeLeader", "")
    summary = ReportSummary(folder, identity, [Count(Outcome.NOT_ATTEMPTED, "killed", 1)], [session])
    return RunResult(folder, summary if readable else None, StopReason.STORE, "disk full", recorded=False)


async def post(result: RunResult, world: World, log: KeptLog) -> None:
    """Post the end of a run to a room of a sandbox."""
    async with Sandbox(world) as sandbox:
        connection, credentials = ConnectionConfig(sandbox.url), Credentials(ACCOUNT.user_id, ACCOUNT.token)
        context = AppContext(connection, credentials, observer=NullObserver(log))
        await notify(result, NotifyConfig(Room("#ops")), context)


async def test_a_session_that_could_not_be_closed_is_posted_as_such(tmp_path: Path) -> None:
    """A full disk stops the run; the message says so, with what the store has."""
    world, log = leader_world([("room", "user")]), KeptLog()
    world.add_room("OPS", name="ops", type="c")
    await post(stopped_run(tmp_path, readable=True), world, log)
    (message,) = world.record.posts
    assert "Rolecall stopped: the run store could not be written" in message.text
    assert "1 row: 1 `not_attempted`." in message.text
    assert log.events == [("notified", None)]


async def test_a_store_that_cannot_be_read_is_one_event(tmp_path: Path) -> None:
    """Where nothing is known any more nothing is posted, and nothing is raised."""
    world, log = leader_world([("room", "user")]), KeptLog()
    await post(stopped_run(tmp_path, readable=False), world, log)
    assert world.record.posts == []
    assert [event for event, _ in log.events] == ["notification failed"]
