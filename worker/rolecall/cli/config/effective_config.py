"""Settings as `rolecall config` shows them: the effective value, where it is set, problems; no secrets."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_sources import ConfigSources, format_usage_error
from rolecall.cli.config.credentials import TOKEN, TOKEN_FILE, ConfigValue, find_credentials, first_value
from rolecall.cli.config.setting_names import variable_of
from rolecall.rocketchat.messages import is_url


class Setting(NamedTuple):
    """One setting; `value` is None where it is not set."""

    key: str
    value: str | None
    place: str
    """Where it is set, for a person: `default`, `the environment, ROLECALL_RATE`, `rolecall.toml [run]`."""


class EffectiveConfig(NamedTuple):
    """Some settings, and one line for each problem with them."""

    settings: list[Setting]
    problems: list[str]
    is_usable: bool = True
    """False for a wrong value, which a command would refuse; missing credentials are not wrong."""


def show_credentials(environ: Mapping[str, str], sources: ConfigSources) -> EffectiveConfig:
    """Return the workspace's URL and the account; of the token only that there is one."""
    url = first_value(environ, sources, "ROCKETCHAT_URL")
    user_id = first_value(environ, sources, "ROCKETCHAT_USER_ID")
    token = first_value(environ, sources, TOKEN, TOKEN_FILE)
    in_file = f"set, in the file {token.value}" if token and token.variable == TOKEN_FILE else "set"
    settings = [
        Setting("url", url and ("hidden: it has a password" if "@" in url.value else url.value), _place_of_value(url)),
        Setting("user_id", user_id and user_id.value, _place_of_value(user_id)),
        Setting("auth_token", token and in_file, _place_of_value(token)),
    ]
    problems: list[str] = []
    try:
        find_credentials(environ, sources, problems.append)
    except OperatorError as refusal:
        problems.append(f"No workspace can be called: {refusal}")
        return EffectiveConfig(settings, problems, is_usable=None in (url, user_id, token))
    return EffectiveConfig(settings, problems)


def show_options(
    verb: str, command: click.Command, environ: Mapping[str, str], sources: ConfigSources
) -> EffectiveConfig:
    """Return the options of a command as they are without any on the command line."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    shown = [_show(option, verb, environ, sources) for option in options]
    problems = [problem for _, problem in shown if problem]
    return EffectiveConfig([setting for setting, _ in shown], problems, is_usable=not problems)


def _show(option: click.Option, verb: str, environ: Mapping[str, str], sources: ConfigSources) -> tuple[Setting, str]:
    """Let click find the value of one option alone, so that a wrong one hides no other."""
    name, flags, problem = option.name or "", sources.file.flags_of(verb), ""
    alone = click.Command(verb, params=[option])
    ctx = click.Context(alone, info_name=verb, auto_envvar_prefix="ROLECALL", default_map=flags, obj=sources)
    try:
        alone.parse_args(ctx, [])
    except click.UsageError as error:
        problem = format_usage_error(error)
    value = ctx.params.get(name)
    source, raw = ctx.get_parameter_source(name), None if value is None or value == () else option.default
    if source is ParameterSource.ENVIRONMENT:
        raw = environ.get(variable_of(option))
    elif source is ParameterSource.DEFAULT_MAP:
        raw = flags.get(name)
    place = sources.place_of_option(ctx, option) or "default"
    return Setting(name.replace("_", "-"), _in_words(value if isinstance(value, bool) else raw), place), problem


def _in_words(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return " ".join(map(str, value))
    return _without_path(str(value))


def _without_path(text: str) -> str:
    """Return a URL without what may be a secret: a password, or the path of a webhook, also without scheme."""
    if "://" in text:
        return f"{text.partition('://')[0]}://{urlsplit(text).hostname}/..."
    return f"{text.partition('/')[0].rpartition('@')[2]}/..." if is_url(text) else text


def _place_of_value(given: ConfigValue | None) -> str:
    if given is None:
        return ""
    return given.place if given.in_file else f"{given.place}, {given.variable}"
