"""`rolecall offboard`: take the roles of people who leave, every night the same."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli.guard_options import GUARDS, guard_options, parse_reason, removal_limits
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.list_option import WordList
from rolecall.cli.options import run_options
from rolecall.cli.reporting_options import pop_reporting, reporting_options
from rolecall.rocketchat.operations import Role

if TYPE_CHECKING:  # imported when the command runs
    from collections.abc import Callable

    from rolecall.app.offboard_notice import OffboardNotice
    from rolecall.app.offboard_report import OffboardResult
    from rolecall.app.offboarding import OffboardRequest
    from rolecall.cli.context import CommandContext

ROLES = tuple(role.value for role in Role)
KINDS = ("groups", "channels")


@click.command(cls=DocumentedCommand, short_help="Take the roles of people who leave, every night the same.")
@click.option("--users", metavar="FILE", help="The people: one a line, CSV or JSON; - for stdin. Required.")
@click.option(
    "--roles",
    type=WordList("roles", ROLES),
    default=",".join(ROLES),
    show_default=True,
    metavar="LIST",
    help="The roles that they lose.",
)
@click.option(
    "--kinds",
    type=WordList("kinds", KINDS),
    default=",".join(KINDS),
    show_default=True,
    metavar="LIST",
    help="Private groups, public channels, or both.",
)
@click.option("--exclude", multiple=True, metavar="ID|@NAME|#NAME", help="Leave out this user or room; repeatable.")
@click.option("--ignore-missing", is_flag=True, help="People who cannot be found do not lead to exit code 1.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder. Default: offboardings/<list name>/<start>/.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(1, 36_500),
    metavar="N",
    help="Delete the folders of this list that are older than so many days. Default: keep all.",
)
@reporting_options
@guard_options
@click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
@run_options
def offboard(users: str | None, out: Path | None, yes: bool, **options: Any) -> int:
    """Find the roles of the people in a list, check them, take them, and read them back: one command for every night.

    Each role and kind of room is a run of its own in the folder; report.csv and summary.json there have the rows of
    all, and the people who could not be found: exit code 1, or 0 with --ignore-missing. A night with nothing to do
    has the same reports, metrics and notification.
    """
    from rolecall.app.offboard_notice import OffboardNotice
    from rolecall.cli.config import credentials
    from rolecall.cli.context import create_context
    from rolecall.cli.exit_codes import ExitCode, exit_code_of, exit_code_of_offboarding
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.terminal.early_interrupt import LastAction
    from rolecall.models import RolecallError

    if users is None:
        raise click.UsageError("name the list of people: --users FILE")
    started = time.time()
    url, who = credentials.load_credentials(console.print_warning)
    name = "stdin" if users == "-" else Path(users).stem
    own = {each: options.pop(each) for each in (*_QUERY, *GUARDS, "report_format", "csv_style")}
    own |= {"reason": parse_reason(options.pop("reason")), "yes": yes}
    reporting = pop_reporting(options, url, "offboard", name)
    code, result = ExitCode.INTERRUPTED, None
    reporting.write_start()
    try:
        context = create_context(options, url, who, assume_yes=yes)
        notice = None
        if reporting.notify is not None:
            notice = OffboardNotice(name, own["reason"], reporting.notify, context.app, started)
        with LastAction(lambda: reporting.write_end(code)):
            # Before the event loop, in which a signal would wait for the end of stdin or of a pipe.
            request = _read_now(lambda: _request(users, name, own))
            result = event_loop.run(_finish(request, out, context, notice), context.app.stop)
        code = exit_code_of_offboarding(result)
    except (RolecallError, OSError) as error:
        code = exit_code_of(error)
        raise
    finally:
        reporting.write_end(
            code, result.counts_for_metrics if result else (), result.people_by_state if result else None
        )
    return code


_QUERY = ("roles", "kinds", "exclude", "ignore_missing", "keep_days")
"""The options that say what is taken, and from whom."""


def _read_now(read: "Callable[[], OffboardRequest]") -> "Callable[[], OffboardRequest]":
    """Call a function; return one that returns its result, or raises its error, which is posted like a later one."""
    from rolecall.models import RolecallError

    try:
        request = read()
    except (RolecallError, OSError) as failure:
        error = failure

        def fail() -> "OffboardRequest":
            raise error

        return fail
    return lambda: request


def _request(users: str, name: str, options: Mapping[str, Any]) -> "OffboardRequest":
    """Read the list and put the request together. Raises RolecallError."""
    from rolecall.app.find_roles import require_words
    from rolecall.app.offboarding import OffboardRequest
    from rolecall.cli.exit_codes import exit_code_of_run
    from rolecall.files.input.id_list import USER_COLUMNS, read_id_list

    return OffboardRequest(
        tuple(read_id_list(users, USER_COLUMNS)),
        name,
        tuple(map(Role, options["roles"])),
        options["kinds"],
        require_words(options["exclude"]),
        removal_limits(options, unattended=options["yes"]),
        options["reason"],
        options["report_format"],
        options["keep_days"],
        options["csv_style"],
        options["ignore_missing"],
        exit_code_of_run,
    )


async def _finish(
    request: "Callable[[], OffboardRequest]",
    out: Path | None,
    context: "CommandContext",
    notice: "OffboardNotice | None",
) -> "OffboardResult":
    """Do the work, show its result, and post it; an error is posted too."""
    from rolecall.app.offboard_report import offboard as run_offboard
    from rolecall.cli.error_report import format_error
    from rolecall.cli.exit_codes import ExitCode, exit_code_of_offboarding
    from rolecall.cli.views.offboard_view import show_offboarding
    from rolecall.models import RolecallError

    try:
        result = await run_offboard(request(), out, context.app)
    except (RolecallError, OSError) as error:
        if notice is not None:
            await notice.post_error(format_error(error) if isinstance(error, RolecallError) else str(error))
        raise
    code = exit_code_of_offboarding(result)
    show_offboarding(result, code, context.reporter)
    if notice is not None:
        await notice.post_result(result, is_success=code is ExitCode.OK)
    return result
