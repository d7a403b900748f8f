"""A reader in this process: a real client over a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import NoReply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.preflight import ME, Account, parse_account
from rolecall.sandbox import ACCOUNT
from tests.support.engine import QUICK, SilentLog


class Desk(NamedTuple):
    """A reader, what it obeys, and who it reads as."""

    reader: ReadClient
    stop: StopSignal
    clock: Clock
    account: Account
    client: Client


@asynccontextmanager
async def desk(url: str, settings: Settings = QUICK, *, token: str = ACCOUNT.token) -> AsyncIterator[Desk]:
    """Open a reader on a sandbox."""
    context = RunContext.create(settings, SilentLog())
    transport = ConnectionConfig(url, connect_timeout=0.25, timeout=0.5)
    async with Client(transport, Credentials(ACCOUNT.user_id, token)) as client:
        reply = await client.get(ME)
        assert not isinstance(reply, NoReply)
        reader = ReadClient(client, context)
        yield Desk(reader, context.stop, context.clock, parse_account(reply, url), client)
