"""The workspace's URL and the credentials: from the environment, `.env` or `rolecall.toml`, not from the command line.

A flag's value is in the shell's history and in the list of processes, where others on the machine can read it.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_file import IN_CONFIG_FILE
from rolecall.cli.config.config_sources import ConfigSources, current_sources, warn_if_readable
from rolecall.rocketchat.connection_config import MAX_TOKEN_LENGTH, Credentials, is_header_safe
from rolecall.rocketchat.url import InvalidUrlError, workspace_url

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
    return find_credentials(os.environ, current_sources(), warn)


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
    token = secret.value
    if secret.variable == TOKEN_FILE:
        token = _read_token(secret, warn)
    elif secret.in_file:
        warn_if_readable(sources.file.path, warn)
    for name, given in (("ROCKETCHAT_USER_ID", user_id.value), (TOKEN, token)):
        if not is_header_safe(given):
            raise OperatorError(f"{name} has characters that no id or token has; copy it again.")
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
    token = content.decode("utf-8", "replace").strip()
    if not token:
        raise OperatorError(f"The token file {path} ({given.place}) is empty.")
    return token
