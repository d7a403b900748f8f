"""What is in a database, as text and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rolecall.models import Json

if TYPE_CHECKING:  # they need the libraries of the distributed mode
    from rolecall.cluster.database_schema import DatabaseReport
    from rolecall.cluster.pruning import Prunable


def database_lines(report: "DatabaseReport") -> Sequence[str]:
    """Return the lines about a database."""
    lines = [
        f"database      {report.place}",
        f"server        PostgreSQL {report.server}",
        f"schema        version {report.schema}",
        f"job queue     {report.queue}",
    ]
    if report.applied:
        lines.append(f"applied       {len(report.applied)} {'migration' if len(report.applied) == 1 else 'migrations'}")
    return lines


def missing_roles_line(report: "DatabaseReport") -> str:
    """Return a line about the group roles that could not be created; empty where they all exist."""
    if not report.missing_roles:
        return ""
    return (
        f"The roles {', '.join(report.missing_roles)} do not exist, and this user may not create them: only the owner "
        "of the tables can use them. An administrator creates them with CREATE ROLE ... NOLOGIN; then upgrade again."
    )


def database_json(report: "DatabaseReport") -> Json:
    """Return a database as JSON."""
    return {
        "database": report.place,
        "server": report.server,
        "schema_version": report.schema,
        "queue_version": report.queue,
        "applied": list(report.applied),
        "missing_roles": list(report.missing_roles),
    }


def prunable_words(prunable: "Prunable") -> str:
    """Return the number of runs and rows in words."""
    runs, rows = len(prunable.runs), prunable.rows
    return f"{runs:,} {'run' if runs == 1 else 'runs'} with {rows:,} {'row' if rows == 1 else 'rows'}"


def prunable_json(prunable: "Prunable", *, is_deleted: bool) -> Json:
    """Return old runs as JSON."""
    return {"runs": list(prunable.runs), "rows": prunable.rows, "deleted": is_deleted}
