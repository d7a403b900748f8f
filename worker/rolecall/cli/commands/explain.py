"""`rolecall explain`: say how a stored response would be classified, and why."""

import click

from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.options import operation_option
from rolecall.rocketchat.operations import OPERATIONS


@click.command(short_help="Say what Rolecall makes of a stored response, and why.")
@click.argument("response", metavar="FILE")
@operation_option
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    metavar="N",
    help="The HTTP status, where FILE has only the body.",
)
@click.option(
    "--in-doubt",
    is_flag=True,
    help="An earlier attempt at this row may have been carried out: its answer was lost.",
)
@click.option("--json", is_flag=True, help="Print one JSON object, for machines.")
def explain(response: str, operation: str, status: int | None, in_doubt: bool, json: bool) -> int:
    """Say how the response in FILE (- for stdin) would be classified, and why; needs no credentials.

    FILE has a whole response as 'curl -i' prints it, or its body alone. Where several responses follow one another, as
    with redirects, the last one counts.
    """
    from rolecall.cli.views import explain_view
    from rolecall.files.input.http_response import ResponseFileError, read_response_file
    from rolecall.files.json_codec import format_json
    from rolecall.models import Reply
    from rolecall.rocketchat import response_classifier
    from rolecall.text import sanitise

    try:
        stored = read_response_file(response)
    except ResponseFileError as unusable:
        raise OperatorError(str(unusable)) from None
    if status is not None and stored.status is not None:
        raise OperatorError(f"{sanitise(response)} tells its status itself ({stored.status}): leave out --status.")
    known = stored.status or status or explain_view.status_in(stored.body)
    if known is None:
        raise OperatorError(
            f"{sanitise(response)} has no status line, and its body does not tell the status: name it (--status 502)."
        )
    reply = Reply(known, stored.headers, stored.body, 0.0, 0.0)
    assumed = stored.status is None and status is None
    case = explain_view.ExplainInput(reply, operation, in_doubt, assumed, with_headers=stored.status is not None)
    explained = response_classifier.explain(reply, OPERATIONS[operation], in_doubt=in_doubt)
    if json:
        click.echo(format_json(explain_view.as_json(case, explained), indent=True))
    else:
        click.echo("\n".join(explain_view.as_lines(case, explained)))
    return ExitCode.DONE
