"""`rolecall explain`: say how a stored response would be classified, and why."""

import click

from worker.commands.exits import Exit, Refusal
from worker.commands.options import operation_option
from worker.workspace.operations import OPERATIONS


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
    "--doubtful",
    "--after-a-lost-answer",
    is_flag=True,
    help="An earlier attempt at this row may have been carried out: its answer was lost.",
)
@click.option("--json", is_flag=True, help="Print one JSON object, for machines.")
def explain(response: str, operation: str, status: int | None, doubtful: bool, json: bool) -> int:
    """Say how the response in FILE (- for stdin) would be classified, and why; needs no credentials.

    FILE has a whole response as 'curl -i' prints it, or its body alone. Where several responses follow one another, as
    with redirects, the last one counts.
    """
    from worker.commands.workflows import explanation
    from worker.files.cells import json_text
    from worker.files.stored import UnusableResponse, read_stored
    from worker.model import Reply
    from worker.plain import plain
    from worker.workspace import answers

    try:
        stored = read_stored(response)
    except UnusableResponse as unusable:
        raise Refusal(str(unusable)) from None
    if status is not None and stored.status is not None:
        raise Refusal(f"{plain(response)} tells its status itself ({stored.status}): leave out --status.")
    known = stored.status or status or explanation.status_in(stored.body)
    if known is None:
        raise Refusal(
            f"{plain(response)} has no status line, and its body does not tell the status: name it (--status 502)."
        )
    reply = Reply(known, stored.headers, stored.body, 0.0, 0.0)
    assumed = stored.status is None and status is None
    case = explanation.Case(reply, operation, doubtful, assumed, with_headers=stored.status is not None)
    explained = answers.explain(reply, OPERATIONS[operation], doubtful=doubtful)
    if json:
        click.echo(json_text(explanation.as_json(case, explained), indent=True))
    else:
        click.echo("\n".join(explanation.as_lines(case, explained)))
    return Exit.DONE
