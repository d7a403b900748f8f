"""The way to the workspace: its address checked, a session with it, and the one call that tells who we are."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from worker.commands.exits import Exit, Refusal
from worker.commands.settings.credentials import Login
from worker.commands.terminal import console
from worker.commands.terminal.signals import cancelled_by_signals
from worker.files import UnusableFolder, UnusableJob
from worker.files.part import PartHeld, UnusablePart
from worker.files.plan import UnusablePlan
from worker.ledger.interface import LedgerFailed, UnusableLedger
from worker.ledger.lock import RunHeld
from worker.model import Reply
from worker.workspace.address import BadAddress, proxy_for
from worker.workspace.client import BadAuthorities, Client, Credentials, Transport
from worker.workspace.limits import server_date
from worker.workspace.preflight import Account, BadCredentials, WorkspaceAway, ask_who_we_are, read_account


@dataclass(frozen=True, slots=True)
class Reach:
    """How the workspace shall be reached; the options bear these names."""

    allow_http: bool = False
    connect_timeout: float = 10.0
    timeout: float = 30.0
    ca_file: str | None = None


class Connected(NamedTuple):
    """A session with a workspace that knows us."""

    client: Client
    account: Account
    server_date: float | None
    """The server's clock when it told who we are: epoch seconds."""


@asynccontextmanager
async def connected(
    url: str, login: Login, reach: Reach, environ: Mapping[str, str], patience: float, *, quiet: bool = False
) -> AsyncIterator[Connected]:
    """Open a session with the workspace at `url` and ask who we are; a full window is waited for up to `patience`.

    Raises BadAuthorities, BadAddress, BadCredentials and WorkspaceAway.
    """

    def tell_of_wait(seconds: float) -> None:
        if not quiet:
            console.tell(f"The workspace limits calls; waiting {seconds:.0f} s before the first.")

    transport = Transport(url, reach.connect_timeout, reach.timeout, proxy_for(url, environ), reach.ca_file)
    async with Client(transport, Credentials(login.user_id, login.token)) as client:
        with cancelled_by_signals():
            reply = await ask_who_we_are(client, patience, tell_of_wait)
        date = server_date(reply.headers) if isinstance(reply, Reply) else None
        yield Connected(client, read_account(reply, url), date)


UNUSABLE = (
    UnusableJob,
    UnusablePlan,
    UnusablePart,
    UnusableFolder,
    UnusableLedger,
    BadAddress,
    BadAuthorities,
)
"""What was given and cannot be used; the text of each is one line for a person."""


@contextmanager
def refusals() -> Iterator[None]:
    """Turn whatever can end a command before its work into a Refusal with its exit code."""
    try:
        yield
    except UNUSABLE as refusal:
        raise Refusal(str(refusal)) from None
    except (RunHeld, PartHeld) as held:
        raise Refusal(str(held), Exit.HELD) from None
    except BadCredentials as refused:
        raise Refusal(f"{refused} Nothing was sent.", Exit.CREDENTIALS) from None
    except (WorkspaceAway, LedgerFailed) as away:
        raise Refusal(str(away), Exit.STOPPED) from None
    except OSError as error:
        raise Refusal(f"The run's files cannot be written: {error}.", Exit.STOPPED) from None
