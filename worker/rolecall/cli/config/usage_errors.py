"""Usage errors with the next step: a similar word, and where a wrong value is set."""

from collections.abc import Collection
from pathlib import Path

import click

from rolecall.cli.config.config_sources import ConfigSources
from rolecall.cli.config.setting_names import or_all


def format_unknown_verb(word: str, verbs: Collection[str]) -> str:
    """Format that a word is not a command, with a suggestion."""
    if Path(word).is_file():
        return f"No such command {word!r}; did you mean 'rolecall run {word}'?"
    return f"No such command {word!r}; {or_all(word, verbs)}"


def format_usage_error(error: click.UsageError) -> str:
    """Format a usage error as one line, with the place of a wrong value or a similar option."""
    message = " ".join(error.format_message().split())
    match error:
        case click.NoSuchOption(option_name=name, ctx=click.Context() as ctx):
            return f"No such option {name!r}; {_option_meant(name, ctx)}"
        case click.BadParameter(param=click.Option() as option, ctx=click.Context() as ctx):
            sources = ctx.find_object(ConfigSources)
            place = "" if sources is None else sources.place_of_option(ctx, option)
            return f"{message.rstrip('.')}; set in {place}." if place else message
    return message


def _option_meant(name: str, ctx: click.Context) -> str:
    if name in _names_of_options(ctx.find_root().command):
        return f"{name} goes before the command: rolecall {name} ... {ctx.info_name}"
    return or_all(name, [*_names_of_options(ctx.command), "--help"])


def _names_of_options(command: click.Command) -> list[str]:
    options = [option for option in command.params if isinstance(option, click.Option)]
    return [name for option in options for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
