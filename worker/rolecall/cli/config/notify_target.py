"""The target of notifications: from the option, its variable, the config file, or a file."""

from pathlib import Path

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_sources import warn_if_readable
from rolecall.cli.terminal import console
from rolecall.rocketchat.messages import NotifyTargetError, Target, is_url, parse_target

MAX_FILE_SIZE = 4096
"""Bytes of the file that are read."""


def choose_target(given: str | None, file: Path | None, *, typed: bool, allow_http: bool) -> Target | None:
    """Parse the target; `typed` if it is on the command line. Raises OperatorError, which never shows a URL."""
    if given and typed and is_url(given):
        raise OperatorError(
            "--notify on the command line takes only #channel, @user or a room id: a webhook's address is a secret, "
            "and others could read it there; put it into ROLECALL_NOTIFY, rolecall.toml or a file for --notify-file."
        )
    if not given and file is not None:
        given = _read(file)
    try:
        return parse_target(given, allow_http=allow_http) if given else None
    except NotifyTargetError as error:
        raise OperatorError(f"--notify: {error}") from None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE_SIZE).decode("utf-8", "replace").strip()
        if is_url(text):
            warn_if_readable(file, console.print_warning, "a webhook's secret")
    except OSError as error:
        raise OperatorError(f"--notify-file {file} cannot be read: {error.strerror}.") from None
    if not text:
        raise OperatorError(f"--notify-file {file} is empty.")
    return text
