"""`rolecall template`: an empty job file, to be filled in."""

from pathlib import Path
from shlex import quote

import click

from rolecall.cli.help import DocumentedCommand

TEMPLATES = {
    "csv": "roomId,userId\n",
    "json": '[\n  {"roomId": "", "userId": ""}\n]\n',
}
"""Unchanged they send nothing: the table has no row, the object no ids."""


@click.command(cls=DocumentedCommand, short_help="Write an empty job file, to be filled in.")
@click.argument("form", metavar="csv|json", type=click.Choice(list(TEMPLATES)))
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, writable=False, path_type=Path),
    metavar="FILE",
    help="The new file to write. Default: stdout.",
)
def template(form: str, out: Path | None) -> None:
    """Write an empty job file: a row for each member (userId) who loses the role in a group (roomId)."""
    from rolecall.app.errors import OperatorError
    from rolecall.cli.terminal import console

    if out is None:
        click.echo(TEMPLATES[form], nl=False)
        return
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.write(TEMPLATES[form])
    except FileExistsError:
        raise OperatorError(f"{out} exists and is left as it is; name another --out.") from None
    except OSError as error:
        raise OperatorError(f"{out} cannot be written: {error.strerror}; name another --out.") from None
    console.print_info(f"Wrote {out}. Fill in a roomId and a userId for each row, then: rolecall run {quote(str(out))}")
