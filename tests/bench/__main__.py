"""`python -m tests.bench [PART]`: measure, print tables, keep the figures in bench.json."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson

from tests.bench import measure
from tests.bench.report import rewrite_docs, tables

BENCH = Path(os.environ.get("BENCH_JSON", measure.ROOT / "bench.json")).resolve()
"""Two runs at once need a file each: what one part finds replaces what the file had of it."""
SIZES = "1000,10000,100000,1000000"


def say(text: str) -> None:
    """Tell the person who waits."""
    click.echo(f"  {text}", err=True)


def keep(**found: Any) -> None:
    """Add figures to bench.json, and print their tables."""
    known = orjson.loads(BENCH.read_bytes()) if BENCH.is_file() else {}
    known.setdefault("machine", measure.machine())
    known.update(found)
    BENCH.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2))
    for name, text in tables(found).items():
        click.echo(f"\n## {name}\n\n{text}\n")


@click.group(invoke_without_command=True)
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure everything (about 15 minutes), or one part. A quiet machine gives steady figures."""
    if context.invoked_subcommand is None:
        BENCH.unlink(missing_ok=True)
        keep(machine=measure.machine())
        every = (
            startup,
            jobs,
            throughput,
            nginx,
            window,
            rate,
            workers,
            reading,
            parts,
            databases,
            profile,
            scale,
            memory,
        )
        for part in every:
            click.echo(f"{part.name} ...", err=True)
            # A process for each part: what one part imports must not count as memory of what another starts.
            subprocess.run([sys.executable, "-m", "tests.bench", str(part.name)], cwd=measure.ROOT, check=True)
        click.echo(f"\nThe figures are in {BENCH}; `python -m tests.bench docs` puts them into the documents.")


@bench.command()
@click.option("--rows", default=20_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--submitted", default=1_000_000, show_default=True, help="Rows of the large import.")
def databases(rows: int, rounds: int, submitted: int) -> None:
    """Rows a second with PostgreSQL beside SQLite, and a large import."""
    from tests.bench.databases import databases as measured

    keep(databases=measured(rows, rounds, submitted, say))


@bench.command()
@click.option("--rows", default=50_000, show_default=True, help="Rows of the fast ones, at no latency.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--latency", "latencies", multiple=True, type=float, default=(0.0, 0.02), show_default=True)
@click.option("--only", default="", help="Beginnings of names, comma-separated.")
def throughput(rows: int, rounds: int, latencies: tuple[float, ...], only: str) -> None:
    """Rows a second and processor time, against other ways to do the same."""
    from tests.bench.throughput import throughput as measured

    keep(throughput=measured(rows, rounds, latencies, say, only))


@bench.command()
@click.option("--rows", default=20_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def nginx(rows: int, rounds: int) -> None:
    """Measure the fast ones against nginx, where it is installed: is the target itself in the way?"""
    from tests.bench.nginx import cross_check

    found = cross_check(rows, rounds, say)
    if found is not None:
        keep(nginx=found)


@bench.command()
@click.option("--sizes", default=SIZES, show_default=True, help="Rows of each run.")
def memory(sizes: str) -> None:
    """Peak memory as the job grows; a finished run again."""
    from tests.bench.memory import memory as measured

    keep(memory=measured([int(size) for size in sizes.split(",")], say))


@bench.command()
@click.option("--socket/--no-socket", default=True, help="Also over a real socket (a minute and a half).")
def window(socket: bool) -> None:
    """Time against the ideal in a server's window, and 429s."""
    from tests.bench.pacing import OVER_THE_SOCKET, windows

    keep(window=windows(OVER_THE_SOCKET if socket else (), say))


@bench.command()
def rate() -> None:
    """Measure the own rate, achieved and in its worst second."""
    from tests.bench.pacing import RATES, rates

    keep(rate=rates(RATES, say))


@bench.command()
def workers() -> None:
    """Measure several workers on a database: a shared rate, windows, and what waiting costs (8 minutes)."""
    from tests.bench.workers import workers as measured

    keep(workers=measured(say))


@bench.command()
def reading() -> None:
    """Measure what reading the roles first costs, in calls and in time."""
    from tests.bench.reading import reading as measured

    keep(reading=measured(say))


@bench.command()
@click.option("--rounds", default=5, show_default=True, help="Of the job that is measured with real processes.")
def jobs(rounds: int) -> None:
    """Measure four whole jobs, as users have them, beside scripts that send every row."""
    from tests.bench.whole_jobs import whole_jobs

    keep(jobs=whole_jobs(rounds, say))


@bench.command()
@click.option("--rows", default=20_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def parts(rows: int, rounds: int) -> None:
    """Measure what one row costs in each part."""
    from tests.bench.parts import parts as measured

    keep(parts=measured(rows, rounds, say))


@bench.command()
@click.option("--rows", default=20_000, show_default=True)
@click.option("--lines", default=30, show_default=True)
def profile(rows: int, lines: int) -> None:
    """Where a whole run spends its time."""
    from tests.bench.profile import profile as measured

    keep(profile=measured(rows, lines))


@bench.command()
@click.option("--rounds", default=10, show_default=True)
def startup(rounds: int) -> None:
    """From the start of the command to its end, or to its first request."""
    from tests.bench.startup import startup as measured

    keep(startup=measured(rounds, say))


@bench.command()
def scale() -> None:
    """Several clients and one window, simulated."""
    from tests.bench.shared_window import scale as simulated

    keep(scale=simulated())


@bench.command()
@click.argument("figures", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=BENCH)
def docs(figures: Path) -> None:
    """Put the tables and the plot into docs/, from bench.json."""
    for path in rewrite_docs(orjson.loads(figures.read_bytes())):
        click.echo(path)


if __name__ == "__main__":
    run: Callable[[], Any] = bench
    run()
