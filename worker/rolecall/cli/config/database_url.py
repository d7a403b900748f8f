"""The address of the database of several machines: from the environment or a file, never from the command line."""

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_sources import warn_if_readable

if TYPE_CHECKING:  # psycopg is installed with the extra only, and slow to import
    from rolecall.store.postgres.connection import DatabaseConfig

DATABASE_URL, DATABASE_URL_FILE = "ROLECALL_DATABASE_URL", "ROLECALL_DATABASE_URL_FILE"
MAX_URL_SIZE = 8192
"""Bytes of a file with the address."""


def load_database_config(
    command: str, warn: Callable[[str], None], *, role: str = "rolecall_worker", environ: Mapping[str, str] = os.environ
) -> "DatabaseConfig":
    """Return how a command connects to the database. Raises OperatorError and InvalidStoreError, never with a password.

    `role`: the group role whose rights the command needs.
    """
    require_extra(command)
    from rolecall.store.postgres.connection import DatabaseConfig

    url = _find_url(command, warn, environ)
    _require_encoded_password(url)
    return DatabaseConfig.parse(url, role)


def _require_encoded_password(url: str) -> None:
    """Raise OperatorError where a '/' cuts the password: its rest would be shown as the name of a database."""
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    if "@" in path:
        raise OperatorError(
            f"{DATABASE_URL} is not a valid address: write '/' in a password as '%2F', and '@' in a name as '%40'."
        )


def require_extra(command: str) -> None:
    """Raise OperatorError where the libraries of the distributed mode are not installed."""
    if find_spec("psycopg") is None or find_spec("procrastinate") is None:
        raise OperatorError(f"rolecall {command} needs the extra 'cluster': pip install 'rolecall[cluster]'.")


def _find_url(command: str, warn: Callable[[str], None], environ: Mapping[str, str]) -> str:
    url, file = environ.get(DATABASE_URL, "").strip(), environ.get(DATABASE_URL_FILE, "").strip()
    if url and file:
        raise OperatorError(f"{DATABASE_URL} and {DATABASE_URL_FILE} are both set: leave one of them out.")
    if url:
        return url
    if not file:
        raise OperatorError(
            f"rolecall {command} needs a database: set {DATABASE_URL}, or {DATABASE_URL_FILE} with the path of a "
            "file that has it."
        )
    path = Path(file)
    try:
        with path.open("rb") as opened:
            url = opened.read(MAX_URL_SIZE).decode("utf-8", "replace").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OperatorError(f"{DATABASE_URL_FILE} {path} cannot be read: {why}.") from None
    if not url:
        raise OperatorError(f"{DATABASE_URL_FILE} {path} is empty.")
    warn_if_readable(path, warn, "the password of the database")
    return url
