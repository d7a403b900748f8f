"""The way to the workspace: its address checked, a session with it, and the one call that tells who we are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from rolecall.cli.terminal import console
from rolecall.cli.terminal.signals import cancelled_by_signals
from rolecall.models import Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.preflight import Account, fetch_current_user, parse_account
from rolecall.rocketchat.rate_limit_headers import server_date


class Connection(NamedTuple):
    """A session with a workspace that knows us."""

    client: Client
    account: Account
    server_date: float | None
    """The server's clock when it told who we are: epoch seconds."""


@asynccontextmanager
async def connect(
    config: ConnectionConfig, credentials: Credentials, patience: float, *, quiet: bool = False
) -> AsyncIterator[Connection]:
    """Open a session with a workspace and ask who we are; a full window is waited for up to `patience`.

    Raises CaFileError, InvalidUrlError, AuthenticationError and WorkspaceUnavailableError.
    """

    def tell_of_wait(seconds: float) -> None:
        if not quiet:
            console.print_info(f"The workspace limits calls; waiting {seconds:.0f} s before the first.")

    async with Client(config, credentials) as client:
        with cancelled_by_signals():
            reply = await fetch_current_user(client, patience, tell_of_wait)
        date = server_date(reply.headers) if isinstance(reply, Reply) else None
        yield Connection(client, parse_account(reply, config.url), date)
