"""Run a campaign for a time."""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from tests.campaign.rounds import NOTHING, play


def campaign(seconds: float, seed: int) -> int:
    """Play rounds until the time is over; print the figures, or the seed of the round that broke an invariant."""
    print(f"campaign seed {seed}, {seconds:g} s", flush=True)
    total = NOTHING
    end = time.monotonic() + seconds
    for number in count():
        if time.monotonic() >= end:
            break
        with tempfile.TemporaryDirectory(prefix="rolecall-campaign-") as folder:
            try:
                played = asyncio.run(play(seed + number, Path(folder)))
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


def main() -> int:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(10**9)
    return campaign(arguments.seconds, seed)


if __name__ == "__main__":
    sys.exit(main())
