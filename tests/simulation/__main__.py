"""Simulate for a time, or search for the defects that the judge must find."""

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from itertools import count

from tests.simulation.campaign import Totals, search, until_violated
from tests.simulation.play import Played
from tests.simulation.shrink import shrink
from tests.simulation.simulators import ONE_WORKER, SEVERAL_WORKERS, Simulate, Simulator, simulate_either

MAX_TRACE = 200
"""Entries of a trace that are printed, the last ones."""


def run(seconds: float, seed: int, simulate: Simulate) -> int:
    """Simulate until the time is over; print the figures, or the violation with the shortest trace that shows it."""
    print(f"simulation seed {seed}, {seconds:g} s", flush=True)
    began, totals = time.monotonic(), Totals()
    for played in until_violated(count(seed), simulate):
        totals = totals.plus(played)
        if played.violation is not None:
            print_violation(played, simulate)
            return 1
        if time.monotonic() - began >= seconds:
            break
    taken = time.monotonic() - began
    outcomes = ", ".join(f"{rows:,} {outcome}" for outcome, rows in sorted(totals.outcomes.items()))
    print(f"{totals.describe()} in {taken:.0f} s ({totals.rows / taken:,.0f} rows/s): {outcomes}")
    return 0


def print_violation(played: Played, simulate: Simulate) -> None:
    """Print what was found, and the shortest scenario that shows it."""
    print(f"seed {played.seed}: {played.violation}", flush=True)
    shortest = shrink(played, simulate)
    kept = ", ".join(shortest.faults) or "nothing"
    print(f"\nThe shortest scenario has {shortest.rows} rows; what goes wrong in it: {kept}.\n{shortest.violation}\n")
    for time_, *what in shortest.trace[-MAX_TRACE:]:
        print(f"{time_:12.3f}", *what)


def find_defects(seconds: float, seed: int, simulators: Sequence[Simulator]) -> int:
    """Search for each defect, and print the table for the documentation; return the number that was not found."""
    print(f"simulation seed {seed}, at most {seconds:g} s for each defect\n")
    print("| defect | seconds | simulations | rule |\n| --- | --- | --- | --- |", flush=True)
    missing = 0
    every = [(each, simulator.simulate) for simulator in simulators for each in simulator.defects]
    for defect, simulate in every:
        found = search(defect, seed, simulate, seconds=seconds)
        rule = found.found.violation.rule if found.found is not None and found.found.violation else "**not found**"
        missing += found.found is None
        print(f"| {defect.name} | {found.seconds:.1f} | {found.simulations} | {rule} |", flush=True)
    print(f"\n{len(every) - missing} of {len(every)} defects were found.")
    return min(missing, 1)


def main() -> int:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--defects", action="store_true", help="search for the defects, each for so many seconds")
    parser.add_argument("--workers", action="store_true", help="only several workers over a shared store")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(10**9)
    if arguments.defects:
        simulators = [SEVERAL_WORKERS] if arguments.workers else [ONE_WORKER, SEVERAL_WORKERS]
        return find_defects(arguments.seconds, seed, simulators)
    return run(arguments.seconds, seed, SEVERAL_WORKERS.simulate if arguments.workers else simulate_either)


if __name__ == "__main__":
    sys.exit(main())
