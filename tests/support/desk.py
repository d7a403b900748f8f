"""A reader in this process: a real client over a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.support.engine import QUICK, SilentLog
from worker.engine.clock import Clock
from worker.engine.events import Events
from worker.engine.reading import Reader
from worker.engine.settings import Settings
from worker.engine.stop import Stop
from worker.model import NoReply
from worker.sandbox import ACCOUNT
from worker.workspace.client import Client, Credentials, Transport
from worker.workspace.preflight import ME, Account, read_account


class Desk(NamedTuple):
    """A reader, what it obeys, and who it reads as."""

    reader: Reader
    stop: Stop
    clock: Clock
    account: Account
    client: Client


@asynccontextmanager
async def desk(url: str, settings: Settings = QUICK, *, token: str = ACCOUNT.token) -> AsyncIterator[Desk]:
    """Open a reader on a sandbox."""
    stop, clock = Stop(), Clock()
    transport = Transport(url, connect_timeout=0.25, answer_timeout=0.5)
    async with Client(transport, Credentials(ACCOUNT.user_id, token)) as client:
        reply = await client.get(ME)
        assert not isinstance(reply, NoReply)
        reader = Reader(client, settings, stop=stop, clock=clock, events=Events(SilentLog(), clock))
        yield Desk(reader, stop, clock, read_account(reply, url), client)
