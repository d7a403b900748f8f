"""The way to the workspace: its address checked, a session with it, and the one call that tells who we are."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from rolecall.app.out_folder import InvalidRunDirectoryError
from rolecall.cli.config.credentials import Login
from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.terminal import console
from rolecall.cli.terminal.signals import cancelled_by_signals
from rolecall.files.checkpoint import CheckpointError, CheckpointLockedError
from rolecall.files.input.problems import JobFileError
from rolecall.files.plan_file import PlanFileError
from rolecall.models import Reply
from rolecall.rocketchat.client import CaFileError, Client, Credentials, Transport
from rolecall.rocketchat.preflight import (
    Account,
    AuthenticationError,
    WorkspaceUnavailableError,
    fetch_current_user,
    parse_account,
)
from rolecall.rocketchat.rate_limit_headers import server_date
from rolecall.rocketchat.url import InvalidUrlError, proxy_for
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLockedError


@dataclass(frozen=True, slots=True)
class Reach:
    """How the workspace shall be reached; the options bear these names."""

    allow_http: bool = False
    connect_timeout: float = 10.0
    timeout: float = 30.0
    ca_file: str | None = None


class Connection(NamedTuple):
    """A session with a workspace that knows us."""

    client: Client
    account: Account
    server_date: float | None
    """The server's clock when it told who we are: epoch seconds."""


@asynccontextmanager
async def connect(
    url: str, login: Login, reach: Reach, environ: Mapping[str, str], patience: float, *, quiet: bool = False
) -> AsyncIterator[Connection]:
    """Open a session with the workspace at `url` and ask who we are; a full window is waited for up to `patience`.

    Raises CaFileError, InvalidUrlError, AuthenticationError and WorkspaceUnavailableError.
    """

    def tell_of_wait(seconds: float) -> None:
        if not quiet:
            console.print_info(f"The workspace limits calls; waiting {seconds:.0f} s before the first.")

    transport = Transport(url, reach.connect_timeout, reach.timeout, proxy_for(url, environ), reach.ca_file)
    async with Client(transport, Credentials(login.user_id, login.token)) as client:
        with cancelled_by_signals():
            reply = await fetch_current_user(client, patience, tell_of_wait)
        date = server_date(reply.headers) if isinstance(reply, Reply) else None
        yield Connection(client, parse_account(reply, url), date)


UNUSABLE = (
    JobFileError,
    PlanFileError,
    CheckpointError,
    InvalidRunDirectoryError,
    InvalidStoreError,
    InvalidUrlError,
    CaFileError,
)
"""What was given and cannot be used; the text of each is one line for a person."""


@contextmanager
def operator_errors() -> Iterator[None]:
    """Turn whatever can end a command before its work into a Refusal with its exit code."""
    try:
        yield
    except UNUSABLE as refusal:
        raise OperatorError(str(refusal)) from None
    except (RunLockedError, CheckpointLockedError) as held:
        raise OperatorError(str(held), ExitCode.HELD) from None
    except AuthenticationError as refused:
        raise OperatorError(f"{refused} Nothing was sent.", ExitCode.CREDENTIALS) from None
    except (WorkspaceUnavailableError, StoreError) as away:
        raise OperatorError(str(away), ExitCode.STOPPED) from None
    except OSError as error:
        raise OperatorError(f"The run's files cannot be written: {error}.", ExitCode.STOPPED) from None
