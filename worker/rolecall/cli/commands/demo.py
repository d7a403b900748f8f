"""`rolecall demo`: the main job against the embedded sandbox; no network, no account."""

import csv
import tempfile
from pathlib import Path

import click


@click.command(short_help="See it work: a job of some hundred rows, no account needed.")
@click.option("--rows", type=click.IntRange(1, 100_000), default=300, show_default=True, help="Rows of the job.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the report goes; without it, a new folder under the system's temporary one.",
)
def demo(rows: int, out: Path | None) -> int:
    """Run a job of some hundred rows against a workspace inside this very process, and show the report.

    There are leaders, people who lead nothing, every kind of refusal, and some answers that get lost.
    """
    from rolecall.app import run_job
    from rolecall.cli.config.credentials import Login
    from rolecall.cli.exit_codes import ExitCode, OperatorError
    from rolecall.cli.terminal import event_loop
    from rolecall.engine.settings import Settings
    from rolecall.sandbox import Sandbox, demo_faults, demo_world

    if out is not None and (out / "job.csv").exists():
        raise OperatorError(f"{out} has a job.csv already; name another --out.")
    folder = out or Path(tempfile.mkdtemp(prefix="rolecall-demo-"))
    if (folder / "run").exists():
        raise OperatorError(f"{folder} has the report of an earlier demo; name another --out.")
    world = demo_world(rows)
    job = folder / "job.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with job.open("x", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("roomId", "userId"))
            table.writerows((pair.room_id, pair.user_id) for pair in world.rows)
    except OSError as error:
        raise OperatorError(f"{job} cannot be written: {error.strerror}; name another --out.") from None

    async def run() -> ExitCode:
        async with Sandbox(world.world, faults=demo_faults(world), latency=0.02) as sandbox:
            login = Login(sandbox.url, world.account.user_id, world.account.token)
            request = run_job.RunRequest(Settings(rate=100.0), assume_yes=True)
            return await run_job.run_job(str(job), folder / "run", request, login, {})

    ended = event_loop.run(run())
    return ExitCode.DONE if ended is ExitCode.ROWS else ended  # refused rows are what the demo is to show
