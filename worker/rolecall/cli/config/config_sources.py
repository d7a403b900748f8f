"""Where values come from besides the command line: environment, `.env`, `rolecall.toml`; usage errors name it."""

import stat
from collections.abc import Callable, Collection, MutableMapping
from pathlib import Path
from typing import NamedTuple

import click
from click.core import ParameterSource

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_file import (
    IN_CONFIG_FILE,
    ConfigFile,
    exists_here,
    find_config_file,
    read_config_file,
    require_own_file,
)
from rolecall.cli.config.setting_names import variable_of
from rolecall.text import did_you_mean, or_all

DOTENV_FILE = Path(".env")


class ConfigSources(NamedTuple):
    """What was read before the command started; every command finds it in its context."""

    file: ConfigFile
    dotenv: frozenset[str] = frozenset()
    """The variables that were set from `.env`, because the environment does not have them."""
    profile_from: str = ""
    """Where the profile was selected; empty if none was."""

    def place_of_variable(self, name: str) -> str:
        """Return where a variable is set."""
        return ".env" if name in self.dotenv else "the environment"

    def place_of_option(self, ctx: click.Context, option: click.Option) -> str:
        """Return where an option is set; empty for its default and for the command line, which the user sees."""
        name, variable = option.name or "", variable_of(option)
        match ctx.get_parameter_source(name):
            case ParameterSource.ENVIRONMENT:
                return f"{self.place_of_variable(variable)}, {variable}"
            case ParameterSource.DEFAULT_MAP:
                return self.file.place_of_flag(ctx.info_name or "", name)
        return ""


def read_sources(
    profile: str | None,
    config: str | None,
    verbs: Collection[str],
    environ: MutableMapping[str, str],
    warn: Callable[[str], None],
) -> ConfigSources:
    """Read `.env` into the environment, then the config file; options win over variables. Raises OperatorError."""
    dotenv = load_dotenv_file(environ, warn)
    chosen = profile or environ.get("ROLECALL_PROFILE") or None
    path, is_found = find_config_file(config or environ.get("ROLECALL_CONFIG"), environ)
    is_found = is_found or (not config and "ROLECALL_CONFIG" in dotenv)
    sources = ConfigSources(read_config_file(path, chosen, verbs, is_found=is_found), dotenv)
    if chosen is None:
        return sources
    variable = f"{sources.place_of_variable('ROLECALL_PROFILE')}, ROLECALL_PROFILE"
    return sources._replace(profile_from="--profile" if profile else variable)


def current_sources() -> ConfigSources:
    """Return what was read for the current command."""
    sources = click.get_current_context().find_object(ConfigSources)
    if sources is None:
        raise RuntimeError("the command was started without `rolecall` around it")
    return sources


def load_dotenv_file(
    environ: MutableMapping[str, str], warn: Callable[[str], None], path: Path = DOTENV_FILE
) -> frozenset[str]:
    """Set variables that are not set yet from a `.env`, if there is one; return their names. Raises OperatorError.

    Only Rolecall's own variables: a proxy or a search path of programs is not for a file that is only found here.
    """
    if not exists_here(path) or not path.is_file():
        return frozenset()
    from dotenv import dotenv_values

    taken = set()
    try:
        require_own_file(path)
        for name, value in dotenv_values(path, interpolate=False).items():
            if value is None or not is_own_variable(name):
                continue
            if name not in environ:
                environ[name] = value
                taken.add(name)
            if name == "ROCKETCHAT_AUTH_TOKEN":
                warn_if_readable(path, warn)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{path} cannot be used: {error}.") from None
    return frozenset(taken)


def is_own_variable(name: str) -> bool:
    """Return whether a variable is one of Rolecall's."""
    return name in IN_CONFIG_FILE or name.startswith("ROLECALL_")


def warn_if_readable(path: Path, warn: Callable[[str], None], what: str = "a token") -> None:
    """Warn about a file with a secret that others can read."""
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path} has {what} and can be read by others: chmod 600 {path}")


def format_unknown_verb(word: str, verbs: Collection[str]) -> str:
    """Format that a word is not a command, with a suggestion."""
    if Path(word).is_file():
        return f"No such command {word!r}; did you mean 'rolecall run {word}'?"
    return f"No such command {word!r}; {or_all(word, verbs)}"


def format_second_meant(first: str, word: str, seconds: Collection[str]) -> str:
    """Format what a word may mean that is no path and resembles a second word; else empty."""
    if word.startswith("-") or Path(word).exists() or not (near := did_you_mean(word, seconds)):
        return ""
    second = near.split("'")[1]
    return f"No such command {f'{first} {word}'!r}; did you mean '{first} {second}'?"


def format_unknown_second(first: str, word: str, seconds: Collection[str]) -> str:
    """Format that a command of two words has no such second word, or that it is missing."""
    if not word or word.startswith("-"):
        return f"{first!r} needs a second word: {', '.join(f'{first} {each}' for each in seconds)}."
    return (
        f"No such command {f'{first} {word}'!r}; {or_all(f'{first} {word}', [f'{first} {each}' for each in seconds])}"
    )


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
