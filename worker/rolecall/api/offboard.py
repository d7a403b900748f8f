"""Offboard people, examine a workspace and compare runs from a program."""

from collections.abc import AsyncGenerator, Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

from rolecall.api.change_roles import create_context
from rolecall.app import compare_runs, doctor, offboard_report
from rolecall.app.compare_runs import Comparison
from rolecall.app.doctor import Finding
from rolecall.app.find_roles import require_words
from rolecall.app.offboard_report import OffboardResult
from rolecall.app.offboarding import ALL_KINDS, ALL_ROLES, OffboardRequest
from rolecall.engine.events import EventLogger
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.settings import Settings
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.operations import Role


async def offboard(
    people: Sequence[str],
    *,
    connection: ConnectionConfig,
    credentials: Credentials,
    folder: str | PathLike[str],
    roles: Collection[Role] = ALL_ROLES,
    kinds: Collection[Literal["groups", "channels"]] = ALL_KINDS,
    exclude: Collection[str] = (),
    limits: RemovalLimits = NO_LIMITS,
    reason: str = "",
    settings: Settings | None = None,
    log: EventLogger | None = None,
) -> OffboardResult:
    """Find, check, take and read back the roles of people (ids, `@names`, addresses), with one run for each operation.

    The runs and the combined report are in `folder`. A run that stopped early is in the result. Raises OperatorError
    for an impossible name and where `limits` refuse an operation, RunLockedError, and what connecting raises; nothing
    was sent then.
    """
    request = OffboardRequest(
        require_words(people),
        Path(folder).name,
        tuple(role for role in ALL_ROLES if role in roles),
        tuple(kind for kind in ALL_KINDS if kind in kinds),
        require_words(exclude),
        limits,
        reason,
    )
    return await offboard_report.offboard(request, Path(folder), create_context(connection, credentials, settings, log))


def examine(
    *, connection: ConnectionConfig, credentials: Credentials, settings: Settings | None = None
) -> AsyncGenerator[Finding, None]:
    """Yield a finding for each thing that a run depends on: address, account, permissions, rate limit, what is read.

    It only reads; see `rolecall doctor`.
    """
    return doctor.examine(create_context(connection, credentials, settings, None))


async def compare(before: str | PathLike[str], after: str | PathLike[str]) -> Comparison:
    """Compare the outcomes of two runs, or of a check and a run, of one workspace and operation, by their folders.

    Raises InvalidStoreError, StoreError, OSError, and OperatorError for runs that do not belong together.
    """
    return await compare_runs.compare_runs(Path(before), Path(after))
