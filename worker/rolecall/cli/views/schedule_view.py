"""A list of schedules, as text and as JSON."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rolecall.models import Json
from rolecall.text import format_duration, rfc3339

if TYPE_CHECKING:  # it needs the libraries of the distributed mode
    from datetime import datetime

    from rolecall.cluster.schedules.schedules import ListedSchedule

HEADER = ("schedule", "cron", "zone", "next", "workspace", "source", "last run")


def schedules_lines(schedules: Sequence["ListedSchedule"]) -> list[str]:
    """Return a header and one line for each schedule, then what was missed and what went wrong."""
    rows = [HEADER, *map(_cells, schedules)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(line for schedule in schedules for line in _problems(schedule))]


def _cells(schedule: "ListedSchedule") -> Sequence[str]:
    upcoming = "paused" if schedule.is_paused else _time(schedule.next_at)
    last = "" if schedule.last_run is None else f"run {schedule.last_run}"
    source = str(schedule.source.get("source", ""))
    return schedule.name, schedule.cron, schedule.zone, upcoming, schedule.workspace, source, last


def _problems(schedule: "ListedSchedule") -> Iterator[str]:
    if schedule.last_error:
        yield f"{schedule.name}: {schedule.last_error}"
    for missed in schedule.missed:
        yield f"{schedule.name}: no run at {missed}"
    if schedule.missed_reports > len(schedule.missed):
        yield f"{schedule.name}: and {schedule.missed_reports - len(schedule.missed):,} earlier reports"


def schedules_json(schedules: Sequence["ListedSchedule"]) -> Json:
    """Return the schedules as JSON."""
    return [
        {
            "name": schedule.name,
            "cron": schedule.cron,
            "tz": schedule.zone,
            "nextAt": _time(schedule.next_at) or None,
            "paused": schedule.is_paused,
            "overlap": schedule.overlap,
            "late": format_duration(schedule.late.total_seconds()),
            "workspaceName": schedule.workspace,
            "source": dict(schedule.source),
            "lastRun": schedule.last_run,
            "lastError": schedule.last_error,
            "missedReports": schedule.missed_reports,
            "missed": list(schedule.missed),
        }
        for schedule in schedules
    ]


def _time(at: "datetime | None") -> str:
    return "" if at is None else rfc3339(round(at.timestamp() * 1000)) or ""
