"""`rolecall explain`: show how a stored response is classified, and why."""

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option, operation_option
from rolecall.rocketchat.operations import OPERATIONS


@click.command(cls=DocumentedCommand, short_help="Show how a stored response is classified, and why.")
@click.argument("response", metavar="FILE")
@operation_option
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    metavar="N",
    help="The HTTP status, if FILE has only the body.",
)
@click.option(
    "--in-doubt",
    is_flag=True,
    help="An earlier attempt at this row may have been carried out: its response was lost.",
)
@json_option
def explain(response: str, operation: str, status: int | None, in_doubt: bool, json: bool) -> int:
    """Show how the response in FILE (- for stdin) is classified, and why; needs no credentials.

    FILE has a whole response as 'curl -i' prints it, or its body alone. Of several responses in a row, as with
    redirects, the last one counts.
    """
    from rolecall.app.errors import OperatorError
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console
    from rolecall.cli.views import explain_view
    from rolecall.files.input.http_response import read_response_file
    from rolecall.models import Reply
    from rolecall.rocketchat import response_classifier
    from rolecall.text import sanitise

    stored = read_response_file(response)
    if status is not None and stored.status is not None:
        raise OperatorError(f"{sanitise(response)} has a status itself ({stored.status}): leave out --status.")
    known = stored.status or status or explain_view.status_in(stored.body)
    if known is None:
        raise OperatorError(
            f"{sanitise(response)} has no status line, and its body does not imply the status: name it (--status 502)."
        )
    reply = Reply(known, stored.headers, stored.body, 0.0, 0.0)
    assumed = stored.status is None and status is None
    case = explain_view.ExplainInput(reply, operation, in_doubt, assumed, with_headers=stored.status is not None)
    explained = response_classifier.explain(reply, OPERATIONS[operation])
    if in_doubt:
        explained = explain_view.confirm_lost_response(explained, OPERATIONS[operation])
    if json:
        console.print_json(explain_view.as_json(case, explained))
    else:
        click.echo("\n".join(explain_view.as_lines(case, explained)))
    return ExitCode.OK
