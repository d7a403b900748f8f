"""`rolecall verify`: read the roles back and compare them with a run's report."""

from pathlib import Path
from typing import Any

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import verifying_options


@click.command(cls=DocumentedCommand, short_help="Read the roles back and compare them with the report.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--no-wait",
    is_flag=True,
    help="Do not wait for requests that may still arrive: report their rows as open, and exit with 6.",
)
@verifying_options
def verify(folder: Path, no_wait: bool, **shared: Any) -> int:
    """Read the roles back for the run in DIR, once per room or per user, and list each row that differs.

    Rows that the run left unknown get their outcome from what is read: at once where the role is gone, otherwise
    once no request can arrive any more (--late-arrival). Exits with 6 if the workspace is not as reported.
    """
    from rolecall.app.verify_run import verify_run
    from rolecall.cli.context import open_context
    from rolecall.cli.exit_codes import exit_code_of_verification
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.views.verify_view import show_verification

    context = open_context(shared)
    result = event_loop.run(verify_run(folder, context.app, wait=not no_wait), context.app.stop)
    code = exit_code_of_verification(result)
    show_verification(result, code, context.output)
    return code
