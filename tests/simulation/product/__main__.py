"""Simulate the whole product for a time."""

import argparse
import os
import secrets
import sys
import time
import traceback
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from tests.simulation.product.clocks import replace_clocks

if TYPE_CHECKING:  # imported only once the clocks are replaced
    from tests.simulation.product.play import Played

TWICE = 100
"""Of so many rounds one is played twice, the first one included: both must have the same digest."""
FIGURES = ("rows", "calls", "sessions", "power_cuts", "torn_commits", "resets")


def run(seconds: float, seed: int) -> int:
    """Play rounds until the time is over; print the figures, or what was found with the seed of its round."""
    from tests.simulation.product.play import play

    print(f"simulation of the product, seed {seed}, {seconds:g} s", flush=True)
    began, totals, outcomes, compared = time.monotonic(), Counter[str](), Counter[str](), 0
    took = 0.0
    for number in count():
        if number and time.monotonic() - began >= seconds:
            break
        is_compared = number % TWICE == 0
        processor = time.process_time()
        played = play(seed + number, with_digest=is_compared)
        took += time.process_time() - processor
        if played.error is not None:
            return _report(played)
        if is_compared and (again := play(seed + number, with_digest=True)).digest != played.digest:
            print(f"seed {played.seed} is not repeatable: its digests are {played.digest} and {again.digest}")
            return 1
        compared += is_compared
        totals.update({name: getattr(played, name) for name in FIGURES})
        outcomes.update(played.outcomes)
    figures = ", ".join(f"{totals[name]:,} {name.replace('_', ' ')}" for name in FIGURES)
    print(f"{number:,} rounds, {figures}; {totals['rows'] / took:,.0f} rows for each second of processor time")
    print(f"rounds that were played twice, with equal digests: {compared:,}")
    print(", ".join(f"{rows:,} {outcome}" for outcome, rows in sorted(outcomes.items())))
    return 0


def _report(played: "Played") -> int:
    """Print what was found; return the exit code."""
    print(f"seed {played.seed}: {played.error}\n", flush=True)
    traceback.print_exception(played.error)
    return 1


def main() -> int:
    """Read the arguments."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of texts are ordered by it
        words = (sys.executable, "-m", "tests.simulation.product", *sys.argv[1:])
        os.execve(sys.executable, words, {**os.environ, "PYTHONHASHSEED": "0"})
    replace_clocks()
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.product", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    return run(arguments.seconds, arguments.seed if arguments.seed is not None else secrets.randbelow(10**9))


if __name__ == "__main__":
    sys.exit(main())
