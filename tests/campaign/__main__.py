"""Run a campaign for as long as it is told."""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

from tests.campaign.rounds import Round, play


def campaign(seconds: float, seed: int) -> int:
    """Play rounds until the time is over; print what was played, and the seed of a round that went wrong."""
    print(f"campaign seed {seed}, {seconds:g} s", flush=True)
    total = Round(0, 0, 0, 0, Counter())
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
        total = total.plus(played)
    outcomes = ", ".join(f"{rows} {outcome}" for outcome, rows in sorted(total.outcomes.items()))
    print(
        f"{number} rounds, {total.rows} rows, {total.calls} calls, {total.ends} workers killed or outages, "
        f"{total.repeated} calls made again with need: {outcomes}"
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
