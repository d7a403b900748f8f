"""Run a campaign for a time."""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from tests.campaign.rounds import NOTHING, Round, play

Play = Callable[[int, Path], Awaitable[Round]]
"""Plays the round of a seed in an empty folder."""


def campaign(seconds: float, seed: int, *, workers: bool = False) -> int:
    """Play rounds until the time is over; print the figures, or the seed of the round that broke an invariant.

    `workers`: with several workers on a database, instead of one command on a folder.
    """
    print(f"campaign seed {seed}, {seconds:g} s", flush=True)
    with ExitStack() as stack:
        return _campaign(seconds, seed, play_on_database(stack) if workers else play)


def play_on_database(stack: ExitStack) -> Play:
    """Start a database that is stopped with the stack; return what plays a round with several workers on it."""
    from tests.campaign.cluster_rounds import play_with_workers  # here: a database is started by it
    from tests.support.postgres import PostgresServer, wheel_binaries

    server = PostgresServer(wheel_binaries(), {})  # a commit waits for the disk, as in use
    stack.callback(server.stop)
    return lambda seed, folder: play_with_workers(seed, folder, server)


def _campaign(seconds: float, seed: int, play_round: Play) -> int:
    total = NOTHING
    end = time.monotonic() + seconds
    for number in count():
        if time.monotonic() >= end:
            break
        with tempfile.TemporaryDirectory(prefix="rolecall-campaign-") as folder:
            try:
                played = asyncio.run(_await(play_round(seed + number, Path(folder))))
            except AssertionError as violation:
                print(f"round {number}, seed {seed + number}: {violation}", flush=True)
                return 1
            except Exception:
                print(f"round {number}, seed {seed + number}:", flush=True)
                raise
        total = total.plus(played)
    outcomes = ", ".join(f"{rows} {outcome}" for outcome, rows in sorted(total.outcomes.items()))
    print(
        f"{number} rounds, {total.rows} rows, {total.calls} calls, {total.kills} kills, {total.pauses} pauses, "
        f"{total.harms} harms to disk or clock, "
        f"{total.repeated} calls repeated with need, {total.undone} rows undone: {outcomes}"
    )
    return 0


async def _await(played: Awaitable[Round]) -> Round:
    return await played


def main() -> int:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", action="store_true", help="several workers on a PostgreSQL")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(10**9)
    return campaign(arguments.seconds, seed, workers=arguments.workers)


if __name__ == "__main__":
    sys.exit(main())
