"""`rolecall explain`: what a reason means, or how a stored response is classified, and why."""

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option, operation_option
from rolecall.rocketchat.operations import OPERATIONS


@click.command(cls=DocumentedCommand, short_help="Explain a reason, or how a stored response is classified.")
@click.argument("response", metavar="[REASON|FILE]", required=False)
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
def explain(response: str | None, operation: str, status: int | None, in_doubt: bool, json: bool) -> int:
    """Explain a REASON of a report, or how the response in FILE (- for stdin) is classified; needs no credentials.

    FILE has a whole response as 'curl -i' prints it, or its body alone. Of several responses in a row, as with
    redirects, the last one counts. Without an argument all reasons are listed.
    """
    import os

    if response is None or (response.replace("_", "a").isalnum() and not os.path.lexists(response)):
        return _explain_reasons(response, as_json=json)
    return _explain_response(response, operation, status, in_doubt=in_doubt, as_json=json)


def _explain_reasons(name: str | None, *, as_json: bool) -> int:
    """Explain the reason of this name, or list all. Raises OperatorError for a word that is neither."""
    from rolecall.app.errors import OperatorError
    from rolecall.app.reasons import LOOKUP_REASONS, REASONS, find_reasons
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console
    from rolecall.cli.views import reasons_view
    from rolecall.text import did_you_mean, sanitise

    reasons = find_reasons(name) if name else [*REASONS.values(), *LOOKUP_REASONS.values()]
    if not reasons and name:
        meant = did_you_mean(name, [*REASONS, *LOOKUP_REASONS]) or "'rolecall explain' lists the reasons."
        raise OperatorError(f"{sanitise(name, limit=100)} is neither a file nor a reason; {meant}")
    if as_json:
        console.print_json(reasons_view.reasons_json(reasons))
    else:
        lines = reasons_view.reason_lines(reasons) if name else reasons_view.list_lines(reasons)
        click.echo("\n".join(lines))
    return ExitCode.OK


def _explain_response(response: str, operation: str, status: int | None, *, in_doubt: bool, as_json: bool) -> int:
    """Explain how a stored response is classified. Raises OperatorError."""
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
    if as_json:
        console.print_json(explain_view.as_json(case, explained))
    else:
        click.echo("\n".join(explain_view.as_lines(case, explained)))
    return ExitCode.OK
