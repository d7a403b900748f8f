"""`rolecall completion`: the script that makes a shell complete commands, options, their values and files."""

import click
from click.shell_completion import get_completion_class

from rolecall.cli.help import DocumentedCommand

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=DocumentedCommand, short_help="Print the script for completion in a shell.")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, options, their values and files.

    \b
    bash: source <(rolecall completion bash)          in ~/.bashrc
    zsh:  source <(rolecall completion zsh)           in ~/.zshrc, after compinit
    fish: rolecall completion fish > ~/.config/fish/completions/rolecall.fish
    """  # noqa: D301 - click does not wrap the lines after this character
    kind = get_completion_class(shell)
    if kind is None:
        raise RuntimeError(f"click completes nothing in {shell}")
    script = kind(ctx.find_root().command, {}, "rolecall", "_ROLECALL_COMPLETE").source()
    # In fish the help follows the word, and would end at its first comma.
    click.echo(script.replace('string split ","', 'string split --max 1 ","'), nl=False)
