"""`rolecall schedule add|list|pause|resume|remove`: runs that the workers make at fixed times."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli.cluster_options import (
    ENGINE_OPTIONS,
    find_workspace,
    pop_shared,
    shard_rows_option,
    shared_options,
    with_database,
    workspace_option,
    workspaces_option,
)
from rolecall.cli.guard_options import guard_options, parse_reason, removal_limits
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option, operation_option
from rolecall.rocketchat.operations import REMOVE_LEADER, Role

if TYPE_CHECKING:  # the libraries of the distributed mode are installed with the extra only
    from datetime import datetime

    from rolecall.cluster.database.operator_database import OperatorDatabase
    from rolecall.cluster.schedules.schedules import ListedSchedule

name_argument = click.argument("name", metavar="NAME")


@click.command("schedule add", cls=DocumentedCommand, short_help="Let the workers make a run at fixed times.")
@name_argument
@click.option("--cron", required=True, metavar="'M H D M W'", help="When: five fields, or a word such as @daily.")
@click.option("--tz", default="UTC", show_default=True, metavar="ZONE", help="The time zone, such as Europe/Berlin.")
@workspaces_option
@workspace_option
@click.option("--find-users", metavar="FILE", help="Search the roles of these users: one a line, CSV or JSON.")
@click.option("--find-rooms", metavar="FILE", help="Search only in these rooms: one a line, CSV or JSON.")
@click.option("--find-deactivated", is_flag=True, help="Search the roles of deactivated users; alone, of all of them.")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="leader", help="Search this role.")
@click.option(
    "--kind", type=click.Choice(["groups", "channels"]), default="groups", help="Search private groups or channels."
)
@click.option("--exclude", multiple=True, metavar="ID|@NAME|#NAME", help="Leave out this user or room; repeatable.")
@click.option(
    "--job", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE", help="A job file instead."
)
@operation_option
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue"]),
    default="skip",
    show_default=True,
    help="While a run of this schedule goes on, leave a tick out, or let it wait.",
)
@click.option(
    "--late",
    default="6h",
    show_default=True,
    metavar="TIME",
    help="Leave a tick out that no worker has noticed for this long: 90s, 30m, 6h, 2d.",
)
@shard_rows_option
@guard_options
@shared_options(*ENGINE_OPTIONS, "json")
def schedule_add(name: str, json: bool, **options: Any) -> int:
    """Add the schedule NAME: at each tick of --cron one worker makes a run, for all workers.

    Its rows are searched at each tick (--find-users, --find-rooms, --find-deactivated), or are those of a job file.
    The lists and the file are stored in the database: a later change of the files changes nothing. No person confirms
    a run, so the limits on removals are those of --yes.
    """
    from rolecall.cli.config.database_url import require_extra
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console
    from rolecall.text import rfc3339

    require_extra("schedule add")
    from rolecall.cluster.schedules.schedules import NewSchedule, add_schedule

    entry, schedule = find_workspace(options["workspaces"], options["workspace"]), _new_schedule(name, options)

    async def add(database: "OperatorDatabase") -> "datetime":
        return await add_schedule(database, entry, NewSchedule(**schedule))

    next_at = with_database("schedule add", "rolecall_submit", add)
    at = rfc3339(round(next_at.timestamp() * 1000)) or ""
    if json:
        console.print_json({"name": name, "nextAt": at})
    else:
        console.print_result(f"Added schedule {name}: its first run is made at {at}.")
    return ExitCode.OK


def _new_schedule(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a NewSchedule. Raises UsageError and RolecallError."""
    from rolecall.cluster.runs.settings import (
        ENGINE,
        LIMITS,
        OPERATION,
        REASON,
        SHARD_ROWS_KEY,
        limits_to_json,
        settings_to_json,
    )
    from rolecall.cluster.schedules.rules import Overlap, parse_duration
    from rolecall.engine.settings import Settings

    shared = pop_shared(options)
    source, operation = _source(options)
    limits = removal_limits(options, unattended=shared["read_roles"])
    settings = {
        ENGINE: settings_to_json(Settings(**shared)),
        LIMITS: limits_to_json(limits),
        OPERATION: operation,
        REASON: parse_reason(options["reason"]),
        SHARD_ROWS_KEY: options["shard_rows"],
        "job": f"schedule {name}",
    }
    overlap, late = Overlap(options["overlap"]), parse_duration(options["late"])
    return {
        "name": name,
        "cron": options["cron"],
        "zone": options["tz"],
        "overlap": overlap,
        "late": late,
        "source": source,
        "settings": settings,
    }


def _source(options: dict[str, Any]) -> tuple[dict[str, object], str]:
    """Return the source of a schedule, and the name of its operation. Raises UsageError and RolecallError."""
    from rolecall.app.find_roles import require_words
    from rolecall.cluster.schedules.make_run import find_source, job_source
    from rolecall.engine.directory.find_query import FindQuery
    from rolecall.files.input.id_list import ROOM_COLUMNS, USER_COLUMNS, read_id_list
    from rolecall.files.input.job import DETECT_ALL, open_job

    users, rooms, job = options["find_users"], options["find_rooms"], options["job"]
    searches = bool(users or rooms or options["find_deactivated"])
    if searches == (job is not None):
        raise click.UsageError("name one source: --find-users, --find-rooms or --find-deactivated, or --job")
    if job is not None:
        with open_job(str(job)):  # it is refused now, not at night
            return job_source(job, job.read_bytes(), DETECT_ALL), options["operation"]
    people = tuple(dict.fromkeys(read_id_list(users, USER_COLUMNS))) if users else ()
    places = tuple(dict.fromkeys(read_id_list(rooms, ROOM_COLUMNS))) if rooms else ()
    query = FindQuery(Role(options["role"]), options["kind"], people, places, deactivated=options["find_deactivated"])
    operation = f"{query.kind}.remove{query.role.title()}"
    if options["operation"] not in (operation, REMOVE_LEADER.name):
        raise click.UsageError(f"a search for --role {query.role} and --kind {query.kind} makes runs of {operation}")
    return find_source(query, require_words(options["exclude"])), operation


@click.command("schedule list", cls=DocumentedCommand, short_help="List the schedules.")
@json_option
def schedule_list(json: bool) -> int:
    """List the schedules: next tick, last run, what was missed, and why the last run could not be made."""
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console
    from rolecall.cli.views.schedule_view import schedules_json, schedules_lines

    async def read(database: "OperatorDatabase") -> "list[ListedSchedule]":
        from rolecall.cluster.schedules.schedules import list_schedules

        return await list_schedules(database)

    found = with_database("schedule list", "rolecall_report", read)
    if json:
        console.print_json(schedules_json(found))
    elif found:
        for line in schedules_lines(found):
            console.print_result(line)
    else:
        console.print_info("There are no schedules.")
    return ExitCode.OK


@click.command("schedule pause", cls=DocumentedCommand, short_help="Let a schedule make no runs.")
@name_argument
@json_option
def schedule_pause(name: str, json: bool) -> int:
    """Let the schedule NAME make no runs until it is resumed; its ticks are not reported as missed."""

    async def pause(database: "OperatorDatabase") -> None:
        from rolecall.cluster.schedules.schedules import pause_schedule

        await pause_schedule(database, name)

    with_database("schedule pause", "rolecall_submit", pause)
    return _print_change({"name": name, "paused": True}, f"Paused schedule {name}.", as_json=json)


@click.command("schedule resume", cls=DocumentedCommand, short_help="Let a schedule make runs again.")
@name_argument
@json_option
def schedule_resume(name: str, json: bool) -> int:
    """Let the schedule NAME make runs again, from its next tick on."""
    from rolecall.text import rfc3339

    async def resume(database: "OperatorDatabase") -> "datetime":
        from rolecall.cluster.schedules.schedules import resume_schedule

        return await resume_schedule(database, name)

    at = rfc3339(round(with_database("schedule resume", "rolecall_submit", resume).timestamp() * 1000)) or ""
    document = {"name": name, "paused": False, "nextAt": at}
    return _print_change(document, f"Resumed schedule {name}: its next run is made at {at}.", as_json=json)


@click.command("schedule remove", cls=DocumentedCommand, short_help="Remove a schedule; its runs stay.")
@name_argument
@json_option
def schedule_remove(name: str, json: bool) -> int:
    """Remove the schedule NAME. The runs that it has made stay."""

    async def remove(database: "OperatorDatabase") -> None:
        from rolecall.cluster.schedules.schedules import remove_schedule

        await remove_schedule(database, name)

    with_database("schedule remove", "rolecall_submit", remove)
    return _print_change({"name": name, "removed": True}, f"Removed schedule {name}.", as_json=json)


def _print_change(document: dict[str, object], sentence: str, *, as_json: bool) -> int:
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console

    if as_json:
        console.print_json(document)
    else:
        console.print_result(sentence)
    return ExitCode.OK
