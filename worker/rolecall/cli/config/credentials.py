"""The credentials with the workspace's URL: not from the command line.

A flag's value is in the shell's history and in the list of processes, where others on the machine can read it.
"""

import codecs
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from click.core import ParameterSource

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_file import IN_CONFIG_FILE
from rolecall.cli.config.config_sources import DOTENV_FILE, ConfigSources, current_sources, warn_if_readable
from rolecall.cli.config.setting_names import variable_of
from rolecall.rocketchat.connection_config import (
    MAX_TOKEN_LENGTH,
    Credentials,
    InvalidUrlError,
    is_header_safe,
    workspace_url,
)

TOKEN, TOKEN_FILE = "ROCKETCHAT_AUTH_TOKEN", "ROCKETCHAT_AUTH_TOKEN_FILE"


class ConfigValue(NamedTuple):
    """One configured value, kept out of every representation; it may be a token."""

    variable: str
    value: str
    place: str
    """Where it is set, for a person."""
    in_file: bool
    """Whether that is the config file."""

    def __repr__(self) -> str:
        return f"ConfigValue(variable={self.variable!r}, place={self.place!r})"


def load_credentials(warn: Callable[[str], None]) -> tuple[str, Credentials]:
    """Return the URL and the credentials for the current command, with its profile. Raises OperatorError."""
    sources = current_sources()
    url, credentials = find_credentials(os.environ, sources, warn)
    _require_trusted_connection(click.get_current_context(), sources)
    return url, credentials


def find_credentials(
    environ: Mapping[str, str], sources: ConfigSources, warn: Callable[[str], None]
) -> tuple[str, Credentials]:
    """Return the workspace's URL, as given, and the credentials. Raises OperatorError, naming all that is missing."""
    require_one_workspace(environ, sources)
    url, user_id, secret = (first_value(environ, sources, *names) for names in _WANTED)
    missing = [names for names, found in zip(_WANTED, (url, user_id, secret), strict=True) if found is None]
    if url is None or user_id is None or secret is None:
        raise OperatorError(
            _format_missing([" (or ".join(names) + ")" * (len(names) - 1) for names in missing], sources)
        )
    _require_one_source(environ, sources, (url, user_id, secret))
    token = secret.value
    if secret.variable == TOKEN_FILE:
        token = _read_token(secret, warn)
    elif secret.in_file:
        warn_if_readable(sources.file.path, warn)
    _require_usable(user_id, user_id.value)
    _require_usable(secret, token)
    return url.value, Credentials(user_id.value, token)


_WANTED = (("ROCKETCHAT_URL",), ("ROCKETCHAT_USER_ID",), (TOKEN, TOKEN_FILE))
"""The three values that are needed, each with the variables that give it."""


def first_value(environ: Mapping[str, str], sources: ConfigSources, *names: str) -> ConfigValue | None:
    """Return the value of the first place that has one of these variables: environment, `.env`, config file."""
    return next(_given(environ, sources, names), None)


def require_one_workspace(environ: Mapping[str, str], sources: ConfigSources) -> None:
    """Raise OperatorError for a variable that contradicts the selected profile: either may be the intended one."""
    if sources.file.profile is None:
        return
    for names in _WANTED:
        said = list(_given(environ, sources, names))
        own = next((given for given in said if given.in_file), None)
        other = next((given for given in said if not given.in_file and own and not _agree(given, own)), None)
        if own and other:
            what = f" is {_shown(other)}, the profile {sources.file.profile!r} has {_shown(own)}"
            if TOKEN in names:
                what = f" is a token, and the profile {sources.file.profile!r} has another"
            remedy = "take it out of .env" if other.variable in sources.dotenv else "unset it"
            raise OperatorError(f"{other.variable} in {other.place}{what}: {remedy}, or select no profile.")


def _require_one_source(environ: Mapping[str, str], sources: ConfigSources, used: Sequence[ConfigValue]) -> None:
    """Raise OperatorError if a file that is only found in the working directory completes values from elsewhere.

    With a URL in such a file and a token of another source, the token would go to any host that the file names.
    A place that has all three values, though another one has some of them too, is one source.
    """
    found = next((given for given in used if _is_found(given, sources)), None)
    if found is None:
        return
    having = [
        {said.place for said in _given(environ, sources, names) if _agree(said, given)}
        for names, given in zip(_WANTED, used, strict=True)
    ]
    other = next((given for given in used if given.place != found.place), None)
    if other and not set.intersection(*having):
        what = f"{found.variable} comes from {found.place} and {other.variable} from {other.place}"
        raise OperatorError(f"{what}: {_format_not_trusted(sources)}")
    secret = used[-1]
    folder = sources.file.path.parent if secret.in_file else DOTENV_FILE.parent
    if secret.variable == TOKEN_FILE and _is_found(secret, sources) and not is_in_folder(folder, Path(secret.value)):
        what = f"The token file {secret.value}, named in {secret.place}, is in another directory"
        raise OperatorError(f"{what}: {_format_not_trusted(sources)}")


def _require_trusted_connection(ctx: click.Context, sources: ConfigSources) -> None:
    """Raise OperatorError if a file found in the working directory weakens the connection for other credentials."""
    url = first_value(os.environ, sources, "ROCKETCHAT_URL")
    for option in ctx.command.params:
        if option.name not in _PROTECTING or not ctx.params.get(option.name) or not isinstance(option, click.Option):
            continue
        source = ctx.get_parameter_source(option.name)
        in_dotenv = source is ParameterSource.ENVIRONMENT and variable_of(option) in sources.dotenv
        in_file = source is ParameterSource.DEFAULT_MAP and sources.file.is_found
        if url and (in_file or in_dotenv) and not (_is_found(url, sources) and url.in_file == in_file):
            place = sources.file.place_of_flag(ctx.info_name or "", option.name) if in_file else ".env"
            what = f"{option.opts[0]} comes from {place} and {url.variable} from {url.place}"
            raise OperatorError(f"{what}: {_format_not_trusted(sources)}")


_PROTECTING = ("ca_file", "allow_http")
"""Options that decide who can read the token on its way."""


def _require_usable(given: ConfigValue, content: str) -> None:
    """Raise OperatorError for a user id or a token that no request can have, or that is in quotes; it is not shown."""
    where = f"{given.variable} ({given.place})"
    if given.variable == TOKEN_FILE:
        where = f"The token file {given.value} ({given.place})"
    if content.startswith(_BYTE_ORDER_MARK):
        raise OperatorError(f"{where} begins with a byte order mark; save it as UTF-8 without one.")
    if content[:1] in _QUOTES or content[-1:] in _QUOTES:
        raise OperatorError(f"{where} has quotes around the value; remove them.")
    if not is_header_safe(content):
        raise OperatorError(f"{where} has characters that no id or token has; copy it again.")


_BYTE_ORDER_MARK = "\ufeff"
_QUOTES = ("'", '"', "`", "\u2018", "\u2019", "\u201c", "\u201d")


def _is_found(given: ConfigValue, sources: ConfigSources) -> bool:
    """Return whether a value is in a file that is used because it is in the working directory."""
    return sources.file.is_found if given.in_file else given.variable in sources.dotenv


def is_in_folder(folder: Path, path: Path) -> bool:
    """Return whether a file is in a folder or below, wherever links lead; True where that cannot be determined."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # reading it is refused with the reason
        return True


def _format_not_trusted(sources: ConfigSources) -> str:
    named = f", or name it with --config {sources.file.path}" if sources.file.is_found else ""
    return (
        "a file that is only found in the working directory may not complete the credentials of another source; "
        f"put all of them into one place{named}."
    )


def _given(environ: Mapping[str, str], sources: ConfigSources, names: Sequence[str]) -> Iterator[ConfigValue]:
    for in_dotenv in (False, True):
        for name in names:
            if (value := environ.get(name, "").strip()) and (name in sources.dotenv) is in_dotenv:
                yield ConfigValue(name, value, sources.place_of_variable(name), in_file=False)
    for name in names:
        if value := str(sources.file.workspace.get(IN_CONFIG_FILE[name], "")).strip():
            if name == TOKEN_FILE:  # beside the file that names it
                value = str(sources.file.path.parent / value)
            yield ConfigValue(name, value, sources.file.place_of_workspace, in_file=True)


def _agree(one: ConfigValue, other: ConfigValue) -> bool:
    if one.variable == "ROCKETCHAT_URL":
        try:
            return workspace_url(one.value, allow_http=True) == workspace_url(other.value, allow_http=True)
        except InvalidUrlError:
            pass
    return one.variable == other.variable and one.value == other.value


def _shown(given: ConfigValue) -> str:
    """Return a value that is not a token, for a message; a URL may contain a password and is not shown."""
    return "an address" if "@" in given.value else given.value


def _format_missing(names: Sequence[str], sources: ConfigSources) -> str:
    file = sources.file
    places = f"a .env or {file.path}" if file.profile is None else f"a .env or {file.place_of_workspace}"
    others = () if file.profile else sorted(file.profiles)
    profiles = f", or choose a --profile ({', '.join(others)})" if others else ""
    return (
        f"{_listed(names)} not set: put {'them' if len(names) > 1 else 'it'} into the environment, "
        f"{places}{profiles}; tokens are made in Rocket.Chat under Account, Personal Access Tokens."
    )


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last} are" if most else f"{last} is"


def _read_token(given: ConfigValue, warn: Callable[[str], None]) -> str:
    path = Path(given.value)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOKEN_LENGTH + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OperatorError(f"The token file {path} ({given.place}) cannot be read: {why}.") from None
    warn_if_readable(path, warn)
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    token = _BYTE_ORDER_MARK if is_utf16 else content.decode("utf-8", "replace").strip()
    if not token:
        raise OperatorError(f"The token file {path} ({given.place}) is empty.")
    return token
