"""A list of runs, as text and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rolecall.app.run_list import ListedRun
from rolecall.cli.views.database_run_view import database_run_cells, database_run_json
from rolecall.cli.views.status_view import status_json
from rolecall.models import Json
from rolecall.text import rfc3339

if TYPE_CHECKING:  # it needs the libraries of the distributed mode
    from rolecall.cluster.runs.records import ListedDatabaseRun

HEADER = ("started", "state", "operation", "rows", "outcomes", "where")


def runs_lines(runs: Sequence[ListedRun], stored: Sequence["ListedDatabaseRun"] = ()) -> list[str]:
    """Return a header and one line for each run, however wide it is: a path that is broken cannot be copied.

    `stored`: the runs of the database, which come first.
    """
    rows = [HEADER, *map(database_run_cells, stored), *map(_cells, runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(run: ListedRun) -> Sequence[str]:
    status = run.status
    if status is None:
        return "", "unreadable", "", "", run.problem, run.where
    started = rfc3339(status.sessions[0].started_at) if status.sessions else None
    outcomes = ", ".join(f"{rows:,} {outcome.value}" for outcome, rows in status.progress.outcomes.items())
    total = f"{status.progress.total:,}"
    when = f"{started[:16].replace('T', ' ')}Z" if started else ""
    return when, status.state.value, status.identity.operation, total, outcomes, run.where


def runs_json(runs: Sequence[ListedRun], stored: Sequence["ListedDatabaseRun"] = ()) -> Json:
    """Return the runs as JSON: `where`, and what `status --json` says of each; `problem` where it cannot be read.

    `stored`: the runs of the database, each as `runs show --json` has it.
    """
    return [*map(database_run_json, stored)] + [
        {"where": run.where, **(status_json(run.status) if run.status is not None else {"problem": run.problem})}
        for run in runs
    ]
