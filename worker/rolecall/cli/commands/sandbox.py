"""`rolecall sandbox`: serve the embedded workspace on loopback, for rehearsals."""

import csv
import io
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

from rolecall.app.errors import OperatorError
from rolecall.cli.help import DocumentedCommand

TO_REHEARSE = (
    "access-permissions",
    "view-full-other-user-info",
    "view-other-user-channels",
    "view-room-administration",
    "view-statistics",
)
"""Permissions beyond those of its roles, so that the account can find and check everything."""


@click.command(cls=DocumentedCommand, short_help="Serve a stand-in workspace on this machine, for rehearsals.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", default=3000, show_default=True, help="0 uses a free one."
)
@click.option(
    "--rows", type=click.IntRange(1, 100_000), metavar="N", default=300, show_default=True, help="Rows of its job."
)
@click.option(
    "--job",
    type=click.Path(dir_okay=False, path_type=Path),
    default="sandbox-job.csv",
    show_default=True,
    help="Where to write a job file for it.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Rate limit: N calls in a window.")
@click.option(
    "--window",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    default=60,
    show_default=True,
    help="Length of that window in seconds.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=0.02,
    show_default=True,
    help="Seconds before each response.",
)
@click.option("--faults/--no-faults", default=True, show_default=True, help="Inject faults.")
def sandbox(port: int, rows: int, job: Path, limit: int | None, window: float, latency: float, faults: bool) -> int:
    """Serve a stand-in Rocket.Chat workspace on this machine, until Ctrl-C, and write a job file for it."""
    import asyncio

    from rolecall.cli.terminal import event_loop
    from rolecall.sandbox import ACCOUNT, Limiter, Sandbox, ServerAddress, demo_faults, demo_world

    demo = demo_world(rows, roles=("user", "owner") if limit else ("user", "bot"))
    for permission in TO_REHEARSE:
        demo.world.grant(permission, "user")

    async def serve() -> None:
        limiter = Limiter(limit, window) if limit else None
        plan = demo_faults(demo) if faults else ()
        async with Sandbox(
            demo.world, limiter=limiter, faults=plan, latency=latency, address=ServerAddress(port=port)
        ) as served:
            _write_job(job, [(pair.room_id, pair.user_id) for pair in demo.rows])  # not if the port is in use
            click.echo(f"export ROCKETCHAT_URL={served.url}")
            click.echo(f"export ROCKETCHAT_USER_ID={ACCOUNT.user_id}")
            click.echo(f"export ROCKETCHAT_AUTH_TOKEN={ACCOUNT.token}")
            click.echo(f"rolecall run {job}")
            await asyncio.Event().wait()

    try:
        event_loop.run(serve())
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise OperatorError(
            f"The sandbox cannot listen on port {port}: {error.strerror}; name another --port."
        ) from None
    return 0


def _write_job(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write the job file. Raises OperatorError for an existing one with another content."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(("roomId", "userId"))
    table.writerows(pairs)
    content = text.getvalue().encode()
    try:
        with suppress(FileExistsError), path.open("xb") as file:  # a link to nothing counts as existing
            file.write(content)
            return
        if path.read_bytes() != content:
            raise OperatorError(f"{path} exists; name another --job.")
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}; name another --job.") from None
