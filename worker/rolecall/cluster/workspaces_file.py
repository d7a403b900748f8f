"""`workspaces.toml`: for each workspace its address, the calling account, and where its token is; never the token."""

import codecs
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.file_access import has_foreign_link, is_foreign
from rolecall.models import Advice
from rolecall.rocketchat.connection_config import (
    MAX_TOKEN_LENGTH,
    ConnectionConfig,
    Credentials,
    InvalidUrlError,
    is_header_safe,
    workspace_url,
)
from rolecall.text import did_you_mean, or_all, sanitise

TABLE = "workspaces"
MAX_FILE_SIZE = 1024 * 1024
"""Bytes of the file."""
MAX_NAME_LENGTH = 37
"""Characters of a name: the database names a channel of notifications after the queue of the workspace."""
_REQUIRED = ("url", "user_id")
_TEXTS = ("url", "user_id", "token_file", "token_env", "ca_file")
_KEYS = (*_TEXTS, "allow_http")


class WorkspaceEntry(NamedTuple):
    """One workspace of the file; the token is read when it is needed, and is in no representation."""

    name: str
    url: str
    """Normalised, without a slash at the end."""
    user_id: str
    place: str
    """Where it is, for a person: `workspaces.toml [workspaces.main]`."""
    token_file: Path | None = None
    token_env: str = ""
    """The variable with the token; empty where a file has it."""
    ca_file: str | None = None
    allow_http: bool = False

    def load_credentials(self, environ: Mapping[str, str], warn: Callable[[str], None]) -> Credentials:
        """Read the token, and return the credentials. Raises OperatorError, never with the token."""
        token = environ.get(self.token_env, "").strip() if self.token_file is None else self._read_token(warn)
        where = f"{self.place}: token_env" if self.token_file is None else f"{self.place}: token_file"
        if not token:
            what = (
                f"the variable {self.token_env} is not set"
                if self.token_file is None
                else f"{self.token_file} is empty"
            )
            raise OperatorError(f"{where}: {what}.")
        if not is_header_safe(token):
            raise OperatorError(f"{where} has characters that no token has; copy it again.")
        return Credentials(self.user_id, token)

    def connection(self, *, connect_timeout: float = 10.0, timeout: float = 30.0) -> ConnectionConfig:
        """Return how to connect; both times are in seconds."""
        return ConnectionConfig(self.url, self.allow_http, connect_timeout, timeout, self.ca_file)

    def _read_token(self, warn: Callable[[str], None]) -> str:
        path = self.token_file or Path()
        try:
            with path.open("rb") as file:
                content = file.read(MAX_TOKEN_LENGTH + 1)
                is_readable = os.fstat(file.fileno()).st_mode & (stat.S_IRGRP | stat.S_IROTH)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise OperatorError(f"{self.place}: token_file {path} cannot be read: {why}.") from None
        if is_readable:
            warn(f"{path} has a token and can be read by others: chmod 600 {path}")
        if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise OperatorError(f"{self.place}: token_file {path} begins with a byte order mark; save it without one.")
        return content.decode("utf-8", "replace").strip()


class OtherWorkspaceError(OperatorError):
    """A run is for another URL than its workspace has in the file: another worker may have the right one."""

    def __init__(self, url: str, entry: WorkspaceEntry) -> None:
        super().__init__(f"the run is for {url}, and {entry.place} is {entry.url}")


Workspaces = Mapping[str, WorkspaceEntry]
"""The entries of a file by name, in the order of the file."""


def read_workspaces(path: Path, warn: Callable[[str], None]) -> Workspaces:
    """Read the file; tokens are not read. Raises OperatorError, on one line, with the file and the key.

    A file of another user, or one that others may write, is refused: it could send a token elsewhere. One that others
    may read only leads to a warning, as other files with credentials do.
    """
    content = _read(path, warn)
    for name in content:
        if name != TABLE:
            raise OperatorError(f"{path}: unknown table [{name}]; {or_all(name, [TABLE])}")
    tables = content.get(TABLE)
    if not isinstance(tables, dict) or not tables:
        raise OperatorError(f"{path} has no workspace: add a table such as [{TABLE}.main].")
    entries = {name: _entry(path, name, table) for name, table in tables.items()}
    _require_own_urls(path, entries)
    return MappingProxyType(entries)


def workspace_named(entries: Workspaces, name: str, path: Path) -> WorkspaceEntry:
    """Return an entry by its name. Raises OperatorError with the nearest name."""
    if name not in entries:
        raise OperatorError(f"{path} has no workspace {name!r}; {or_all(name, entries)}")
    return entries[name]


def _read(path: Path, warn: Callable[[str], None]) -> Mapping[str, Any]:
    try:
        if has_foreign_link(path):
            raise OperatorError(f"{path} cannot be used: a symbolic link of another user leads to it.")
        with path.open("rb") as file:
            _require_private(path, os.fstat(file.fileno()), warn)
            content = file.read(MAX_FILE_SIZE + 1)
        if len(content) > MAX_FILE_SIZE:
            raise OperatorError(f"{path} cannot be used: it is larger than {MAX_FILE_SIZE:,} bytes.")
        return tomllib.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise OperatorError(f"{path}: there is no such file of workspaces.", Advice.NAME_WORKSPACES) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OperatorError(f"{path} cannot be used: {sanitise(str(why))}.") from None


def _require_private(path: Path, status: os.stat_result, warn: Callable[[str], None]) -> None:
    if is_foreign(status):
        raise OperatorError(f"{path} cannot be used: it belongs to another user, who could send a token elsewhere.")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OperatorError(f"{path} cannot be used: others may write it: chmod 600 {path}")
    if status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path} has credentials and can be read by others: chmod 600 {path}")


def _entry(path: Path, name: str, table: object) -> WorkspaceEntry:
    where = f"{path} [{TABLE}.{name}]"
    if not 0 < len(name) <= MAX_NAME_LENGTH or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
        raise OperatorError(
            f"{path}: {name[:MAX_NAME_LENGTH]!r} is no name of a workspace: use letters, digits, '-', '_' and '.', "
            f"at most {MAX_NAME_LENGTH}."
        )
    if not isinstance(table, dict):
        raise OperatorError(f"{path}: {name} must be a table, written [{TABLE}.{name}].")
    _require_known_keys(where, table)
    given: dict[str, str] = {key: table.get(key, "").strip() for key in _TEXTS}
    for key in _REQUIRED:
        if not given[key]:
            raise OperatorError(f"{where} has no {key}.")
    if bool(given["token_file"]) == bool(given["token_env"]):
        number = "both token_file and token_env" if given["token_file"] else "no token_file and no token_env"
        raise OperatorError(f"{where} has {number}: name one of them.")
    if not is_header_safe(given["user_id"]):
        raise OperatorError(f"{where}: user_id has characters that no id has; copy it again.")
    allow_http: bool = table.get("allow_http", False)
    token_file, ca_file = (path.parent / given[key] if given[key] else None for key in ("token_file", "ca_file"))
    if ca_file is not None and not ca_file.is_file():
        raise OperatorError(f"{where}: ca_file {ca_file}: there is no such file.")
    ca, url = None if ca_file is None else str(ca_file), _url(where, given["url"], allow_http=allow_http)
    return WorkspaceEntry(name, url, given["user_id"], where, token_file, given["token_env"], ca, allow_http)


def _url(where: str, given: str, *, allow_http: bool) -> str:
    try:
        return workspace_url(given, allow_http=allow_http)
    except InvalidUrlError as error:
        remedy = " Use https://, or add allow_http = true." if error.advice is Advice.ALLOW_HTTP else ""
        raise OperatorError(f"{where}: url: {error}{remedy}") from None


def _require_known_keys(where: str, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key in ("token", "auth_token"):
            raise OperatorError(f"{where}: {key}: the token itself is not allowed in this file; name its token_file.")
        if key not in _KEYS:
            near = did_you_mean(key, _KEYS) or f"it has {', '.join(_KEYS)}."
            raise OperatorError(f"{where} has no key {key!r}; {near}")
        wanted, name = (bool, "true or false") if key == "allow_http" else (str, "a text in quotes")
        if not isinstance(value, wanted):
            raise OperatorError(f"{where}: {key} must be {name}.")


def _require_own_urls(path: Path, entries: Workspaces) -> None:
    """Raise OperatorError where two names have one URL: they would send at twice the rate."""
    names: dict[str, str] = {}
    for entry in entries.values():
        if (other := names.setdefault(entry.url, entry.name)) != entry.name:
            raise OperatorError(f"{path}: {other} and {entry.name} have the same url; one workspace has one name.")
