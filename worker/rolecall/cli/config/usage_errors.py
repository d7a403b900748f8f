"""Usage errors with the next step: a similar word, and where a wrong value is set."""

from collections.abc import Collection
from pathlib import Path

import click
from click.core import ParameterSource

from rolecall.cli.config.close_matches import or_all
from rolecall.cli.config.config_sources import ConfigSources


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
            return message if not (place := _place(ctx, option)) else f"{message.rstrip('.')}; set in {place}."
    return message


def variable_of(option: click.Option) -> str:
    """Return the variable of an option."""
    return f"ROLECALL_{(option.name or '').upper()}"


def flags_of(command: click.Command) -> list[str]:
    """Return the flags of a command, as keys of its table: `max_failures`."""
    return [option.name for option in command.params if isinstance(option, click.Option) and option.name]


def _option_meant(name: str, ctx: click.Context) -> str:
    if name in _names_of_options(ctx.find_root().command):
        return f"{name} goes before the command: rolecall {name} ... {ctx.info_name}"
    return or_all(name, [*_names_of_options(ctx.command), "--help"])


def _names_of_options(command: click.Command) -> list[str]:
    options = [option for option in command.params if isinstance(option, click.Option)]
    return [name for option in options for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]


def _place(ctx: click.Context, option: click.Option) -> str:
    """Return where a value is set; empty for the command line, which the user sees."""
    sources = ctx.find_object(ConfigSources)
    if sources is None:
        return ""
    match ctx.get_parameter_source(option.name or ""):
        case ParameterSource.ENVIRONMENT:
            return f"{sources.place_of_variable(variable_of(option))}, {variable_of(option)}"
        case ParameterSource.DEFAULT_MAP:
            return sources.file.place_of_flag(ctx.info_name or "", option.name or "")
    return ""
