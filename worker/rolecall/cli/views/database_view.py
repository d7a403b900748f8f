"""What is in a database, as text and as JSON."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rolecall.models import Json

if TYPE_CHECKING:  # they need the libraries of the distributed mode
    from rolecall.cluster.database.pruning import Prunable
    from rolecall.cluster.database.schema import DatabaseReport


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


def database_warnings(report: "DatabaseReport") -> Iterator[str]:
    """Yield a line about each thing that is not as it must be."""
    if not report.is_durable:
        yield (
            f"The database {report.place} does not wait for its disk (its setting fsync is off): a crash of its "
            "machine can lose what was recorded, and rows would be sent again."
        )
    if report.missing_roles:
        yield _missing_roles(report.missing_roles)


def _missing_roles(roles: Sequence[str]) -> str:
    return (
        f"The roles {', '.join(roles)} do not exist, and this user may not create them: only the owner "
        "of the tables can use them. An administrator creates them with CREATE ROLE ... NOLOGIN; then upgrade again."
    )


def database_json(report: "DatabaseReport") -> Json:
    """Return a database as JSON."""
    return {
        "database": report.place,
        "server": report.server,
        "schemaVersion": report.schema,
        "queueVersion": report.queue,
        "applied": list(report.applied),
        "missingRoles": list(report.missing_roles),
        "isDurable": report.is_durable,
    }


def prunable_words(prunable: "Prunable") -> str:
    """Return the number of runs and rows in words."""
    runs, rows = len(prunable.runs), prunable.rows
    return f"{runs:,} {'run' if runs == 1 else 'runs'} with {rows:,} {'row' if rows == 1 else 'rows'}"


def prunable_json(prunable: "Prunable", *, is_deleted: bool) -> Json:
    """Return old runs as JSON."""
    return {"runs": list(prunable.runs), "rows": prunable.rows, "deleted": is_deleted}
