"""Who calls, and where: from the environment, a `.env` or a `rolecall.toml`; never from the command line.

A flag's value stands in the shell's history and in the list of processes, for everybody on the machine to read.
"""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from worker.commands.exits import Refusal
from worker.commands.settings_file import IN_SETTINGS_FILE, SETTINGS_FILE

LONGEST_TOKEN = 4096


class Login(NamedTuple):
    """What is needed to call a workspace; the token is kept out of every representation."""

    url: str
    user_id: str
    token: str

    def __repr__(self) -> str:
        return f"Login(url={self.url!r}, user_id={self.user_id!r}, token=<hidden>)"


def find_login(environ: Mapping[str, str], settings: Mapping[str, Any], warn: Callable[[str], None]) -> Login:
    """Put together the workspace's address, the user id and the token. Raises Refusal, naming all that is missing."""
    table = settings.get("workspace", {})
    if not isinstance(table, dict):
        raise Refusal(f"{SETTINGS_FILE}: 'workspace' must be a table, written [workspace].")

    def value(name: str) -> str:
        return (environ.get(name) or str(table.get(IN_SETTINGS_FILE[name], ""))).strip()

    url, user_id, token = value("ROCKETCHAT_URL"), value("ROCKETCHAT_USER_ID"), value("ROCKETCHAT_AUTH_TOKEN")
    token_file = value("ROCKETCHAT_AUTH_TOKEN_FILE")
    named_by_environment = environ.get("ROCKETCHAT_AUTH_TOKEN_FILE") and not environ.get("ROCKETCHAT_AUTH_TOKEN")
    if token_file and (not token or named_by_environment):
        token = _read_token(Path(token_file), warn)
    elif token and not environ.get("ROCKETCHAT_AUTH_TOKEN"):
        _warn_if_readable(SETTINGS_FILE, warn)
    missing = [
        name
        for name, given in (
            ("ROCKETCHAT_URL", url),
            ("ROCKETCHAT_USER_ID", user_id),
            ("ROCKETCHAT_AUTH_TOKEN (or ROCKETCHAT_AUTH_TOKEN_FILE)", token),
        )
        if not given
    ]
    if missing:
        raise Refusal(
            f"{_listed(missing)} not set: put {'them' if len(missing) > 1 else 'it'} into the environment, "
            "a .env or rolecall.toml; tokens are made in Rocket.Chat under Account, Personal Access Tokens."
        )
    for name, given in (("ROCKETCHAT_USER_ID", user_id), ("ROCKETCHAT_AUTH_TOKEN", token)):
        if not (given.isascii() and given.isprintable()) or " " in given or len(given) > LONGEST_TOKEN:
            raise Refusal(f"{name} has characters that no id or token has; copy it again.")
    return Login(url, user_id, token)


def load_dotenv_file(warn: Callable[[str], None], path: Path = Path(".env")) -> None:
    """Take variables that are not set yet from a `.env`, where there is one. Raises Refusal."""
    if not path.is_file():
        return
    from dotenv import dotenv_values

    try:
        for name, value in dotenv_values(path, interpolate=False).items():
            if value is not None:
                os.environ.setdefault(name, value)
                if name == "ROCKETCHAT_AUTH_TOKEN":
                    _warn_if_readable(path, warn)
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be used: {error}.") from None


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last} are" if most else f"{last} is"


def _read_token(path: Path, warn: Callable[[str], None]) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_TOKEN + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Refusal(f"ROCKETCHAT_AUTH_TOKEN_FILE {path} cannot be read: {why}.") from None
    _warn_if_readable(path, warn)
    token = content.decode("utf-8", "replace").strip()
    if not token:
        raise Refusal(f"ROCKETCHAT_AUTH_TOKEN_FILE {path} is empty.")
    return token


def _warn_if_readable(path: Path, warn: Callable[[str], None]) -> None:
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path} holds a token and can be read by others: chmod 600 {path}")
