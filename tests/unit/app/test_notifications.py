"""The message about a run whose ledger fails: it says what is known, and never raises."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rolecall.app.connection import Reach
from rolecall.app.notifications import NotifyConfig, NotifyTransport, notify
from rolecall.app.open_run import Run
from rolecall.cli.exit_codes import ExitCode
from rolecall.models import Row
from rolecall.rocketchat.client import Client, Credentials, Transport
from rolecall.rocketchat.messages import Room
from rolecall.sandbox import ACCOUNT, Sandbox, World, leader_world
from rolecall.store.base import Identity
from rolecall.store.sqlite.database import SqliteDatabase, import_rows
from tests.support.store import as_store


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


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Give a run whose session has not been closed, as when its ledger cannot be written any more."""
    ledger = SqliteDatabase(tmp_path / "ledger.sqlite")
    identity = Identity("http://127.0.0.1:9", "groups.removeLeader", "")
    import_rows(ledger, identity, [Row(2, "room", "user", {})])
    ledger.open_session("bulk.bot", 1_772_357_400_000)
    yield Run(tmp_path, identity, as_store(ledger))
    ledger.close()


async def tell(run: Run, world: World, log: KeptLog) -> None:
    """Tell the end of a run to a room of a sandbox."""
    async with (
        Sandbox(world) as sandbox,
        Client(Transport(sandbox.url), Credentials(ACCOUNT.user_id, ACCOUNT.token)) as client,
    ):
        await notify(run, NotifyConfig(Room("#ops")), ExitCode.STOPPED, NotifyTransport(client, Reach(), {}), log)


async def test_a_session_that_could_not_be_closed_is_told_as_such(run: Run) -> None:
    """A full disk stops the run; whoever waits for it is told so, with what the ledger has."""
    world, log = leader_world([("room", "user")]), KeptLog()
    world.add_room("OPS", name="ops", type="c")
    await tell(run, world, log)
    (post,) = world.record.posts
    assert "Rolecall stopped: the ledger could not be written" in post.text
    assert "1 row: 1 `not_attempted`." in post.text
    assert log.events == [("notified", None)]


async def test_a_ledger_that_cannot_be_read_is_one_event(run: Run) -> None:
    """Where nothing is known any more nothing is posted, and nothing is raised."""
    world, log = leader_world([("room", "user")]), KeptLog()
    await run.store.close()
    await tell(run, world, log)
    assert world.record.posts == []
    assert [event for event, _ in log.events] == ["notification failed"]
