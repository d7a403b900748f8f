"""`rolecall database init|upgrade|check|prune`: the tables in the database of several machines."""

from typing import TYPE_CHECKING

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option

if TYPE_CHECKING:  # the libraries of the distributed mode are installed with the extra only
    from collections.abc import Callable, Coroutine
    from typing import Any

    from rolecall.cluster.database.schema import DatabaseReport
    from rolecall.store.postgres.connection import DatabaseConfig

_OWNER = ""
"""The commands that change tables need the rights of their owner, not those of a group role."""


@click.command("database init", cls=DocumentedCommand, short_help="Create the tables in an empty database.")
@json_option
def database_init(json: bool) -> int:
    """Create the tables and roles of Rolecall and of its job queue in the database; again changes nothing.

    Do it once, as the user that will own the tables. It creates the roles rolecall_worker, rolecall_submit and
    rolecall_report where that user may; grant them to the users of workers and of people.
    """
    config = _config("database init", _OWNER)
    from rolecall.cluster.database.schema import initialise_database

    return _report(initialise_database, config, json=json)


@click.command("database upgrade", cls=DocumentedCommand, short_help="Bring the tables to this version.")
@json_option
def database_upgrade(json: bool) -> int:
    """Apply the changes of the tables that this version of Rolecall needs. Stop the workers first.

    It also creates roles that are missing, and grants them their rights again.
    """
    config = _config("database upgrade", _OWNER)
    from rolecall.cluster.database.schema import upgrade_database

    return _report(upgrade_database, config, json=json)


@click.command("database check", cls=DocumentedCommand, short_help="Check that the database can be used.")
@json_option
def database_check(json: bool) -> int:
    """Connect to the database and compare its version with that of this Rolecall; it changes nothing."""
    config = _config("database check", "rolecall_report")
    from rolecall.cluster.database.schema import check_database

    return _report(check_database, config, json=json)


@click.command("database prune", cls=DocumentedCommand, short_help="Delete old runs from the database.")
@click.option("--older-than", required=True, metavar="DAYS", help="Age of the runs, in days: 400d.")
@click.option("--yes", is_flag=True, help="Do not ask before runs are deleted.")
@json_option
def database_prune(older_than: str, yes: bool, json: bool) -> int:
    """Delete the runs that began and ended before so many days, with their rows and reports' data.

    A run whose rows are still to be sent stays. Jobs of the queue that ended, missed ticks of schedules and workers
    that were not seen since are deleted too.
    """
    from rolecall.app.errors import OperatorError
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.database_view import prunable_json, prunable_words

    config = _config("database prune", "rolecall_submit")
    from rolecall.cluster.database.pruning import find_prunable, parse_age, prune_database

    prunable = event_loop.run(find_prunable(config, parse_age(older_than)))
    words = prunable_words(prunable)
    is_allowed = yes or not prunable.runs
    if not is_allowed:
        answer = console.confirm(f"Delete {words} from the database {config.place}?")
        if answer is None:
            raise OperatorError(f"There is no terminal to confirm on; --yes deletes {words} without it.")
        is_allowed = answer
    if is_allowed:
        prunable = event_loop.run(prune_database(config, prunable))
        words = prunable_words(prunable)
    if json:
        console.print_json(prunable_json(prunable, is_deleted=is_allowed))
    else:
        console.print_result(f"Deleted {words}." if is_allowed else "Nothing was deleted.")
    return ExitCode.OK


def _config(command: str, role: str) -> "DatabaseConfig":
    from rolecall.cli.config.database_url import load_database_config
    from rolecall.cli.terminal import console

    return load_database_config(command, console.print_warning, role=role)


def _report(
    work: "Callable[[DatabaseConfig], Coroutine[Any, Any, DatabaseReport]]", config: "DatabaseConfig", *, json: bool
) -> int:
    """Run a use case and print what is in the database after it."""
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.database_view import database_json, database_lines, database_warnings

    report = event_loop.run(work(config))
    for warning in database_warnings(report):
        console.print_warning(warning)
    if json:
        console.print_json(database_json(report))
    else:
        for line in database_lines(report):
            console.print_result(line)
    return ExitCode.OK
