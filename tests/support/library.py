"""The library at work on a sandbox."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TypedDict

from rolecall import ConnectionConfig, Credentials, Result
from rolecall.models import Outcome
from rolecall.sandbox import ACCOUNT, Sandbox
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.engine import QUICK

FAST = replace(QUICK, shutdown_timeout=5.0)
"""Everything as in a real run, only sooner."""
HASTY = replace(QUICK, shutdown_timeout=0.05)
"""The same with hardly any patience at the end."""


class Target(TypedDict):
    """The arguments of the library that say which workspace is called, and as whom."""

    connection: ConnectionConfig
    credentials: Credentials


def at(sandbox: Sandbox, *, token: str = ACCOUNT.token, timeout: float = 30.0) -> Target:
    """Return the arguments for a call of the library that works on a sandbox."""
    return Target(
        connection=ConnectionConfig(sandbox.url, timeout=timeout), credentials=Credentials(ACCOUNT.user_id, token)
    )


async def first(run: AsyncGenerator[Result, None], number: int) -> list[Result]:
    """Take so many results and leave."""
    results: list[Result] = []
    async with aclosing(run):
        while len(results) < number:
            results.append(await anext(run))
    return results


def recorded(ledger: SqliteDatabase, result: Result) -> Outcome:
    """Tell what a ledger has on disk of a row."""
    pair = (result.room_id, result.user_id)
    return next(row.outcome for row in ledger.results() if (row.room_id, row.user_id) == pair)
