"""Time against the ideal in a server's window, and an own rate against what was asked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import measure
from tests.bench.jobs import write_job
from tests.bench.shared_window import Window, ideal, simulate

Say = Callable[[str], None]


class Course(NamedTuple):
    """One run through a server's window."""

    window: Window
    rows: int


OVER_THE_SOCKET = (
    Course(Window(10, 1.0), 300),
    Course(Window(50, 2.0), 1000),
    Course(Window(10, 1.0, instances=2), 400),
)
SIMULATED = (
    Course(Window(10, 1.0), 300),
    Course(Window(50, 2.0), 1000),
    Course(Window(10, 60.0), 200),
    Course(Window(600, 60.0), 12_000),
    Course(Window(10, 1.0, instances=2), 1000),
    Course(Window(600, 60.0, instances=2), 60_000),
)
RATES = ((1.0, 15), (10.0, 120), (200.0, 2400), (1000.0, 12_000))
"""Calls a second that are asked for, and rows."""


def windows(courses: Sequence[Course], say: Say) -> list[dict[str, Any]]:
    """Run jobs against windows over the socket, and further ones with a simulated clock."""
    found = []
    with measure.running_target() as target, measure.scratch() as folder:
        for number, course in enumerate(courses):
            found.append(_over_the_socket(target, folder / f"out-{number}", course))
            say(_told(found[-1]))
    for course in SIMULATED:
        result = simulate([course.rows], course.window)
        found.append(_entry("simulated", course, result.seconds, result.refused))
        say(_told(found[-1]))
    return found


def rates(asked: Sequence[tuple[float, int]], say: Say) -> list[dict[str, float]]:
    """Run jobs at own rates; the target notes when each call came."""
    found = []
    with measure.running_target() as target, measure.scratch() as folder:
        for number, (rate, rows) in enumerate(asked):
            job = write_job(folder / "job.csv", rows)
            target.reset(times=1)
            measure.rolecall(target, job, folder / f"out-{number}", rate=f"{rate:g}/s")
            times = measure.check_rows(target, rows, "rolecall").arrivals
            achieved = (rows - 1) / (times[-1] - times[0])
            worst = most_in_a_second(times)
            found.append({"asked": rate, "rows": rows, "achieved": achieved, "worst_second": worst})
            say(f"{rate:g}/s: {achieved:.2f}/s, {worst} calls in the worst second")
    return found


def most_in_a_second(times: Sequence[float]) -> int:
    """Count the calls in the worst second, wherever it begins."""
    most = first = 0
    for place, moment in enumerate(times):
        while times[first] <= moment - 1.0:
            first += 1
        most = max(most, place - first + 1)
    return most


def _over_the_socket(target: measure.Target, out: Path, course: Course) -> dict[str, Any]:
    job = write_job(out.with_suffix(".csv"), course.rows)
    window = course.window
    target.reset(limit=window.limit, window=window.seconds, instances=window.instances)
    measure.rolecall(target, job, out)
    counted = measure.check_rows(target, course.rows, "rolecall")
    measure.check_report(out, course.rows)
    return _entry("socket", course, counted.last_post - counted.first_post, counted.refused)


def _entry(how: str, course: Course, seconds: float, refused: int) -> dict[str, Any]:
    best = ideal(course.rows, course.window)
    return {
        "how": how,
        **course.window._asdict(),
        "rows": course.rows,
        "took": seconds,
        "ideal": best,
        "ratio": seconds / best,
        "refused": refused,
    }


def _told(entry: dict[str, Any]) -> str:
    balanced = f" on {entry['instances']} instances" if entry["instances"] > 1 else ""
    return (
        f"{entry['how']}: {entry['rows']:,} rows, {entry['limit']} in {entry['seconds']:g} s{balanced}: "
        f"{entry['took']:.2f} s, {entry['ratio']:.3f} of the ideal, {entry['refused']} times 429"
    )
