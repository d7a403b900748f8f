"""The target of notifications: a webhook's address is a secret, and not from the command line."""

from collections.abc import Callable
from pathlib import Path

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_sources import warn_if_readable
from rolecall.rocketchat.messages import NotifyTargetError, Target, is_url, parse_target

MAX_TARGET_SIZE = 4096
"""Bytes of a file with the target of notifications."""


def choose_target(
    given: str, file: Path | None, warn: Callable[[str], None], *, typed: bool, allow_http: bool
) -> Target:
    """Parse the target of notifications: `given`, else what the file has. Raises OperatorError, never with a URL.

    `typed`: it is on the command line.
    """
    if given and typed and is_url(given):
        raise OperatorError(
            "--notify on the command line takes only #channel, @user or a room id: a webhook's address is a secret, "
            "and others could read it there; put it into ROLECALL_NOTIFY, rolecall.toml or a file for --notify-file."
        )
    target = _read_target(file, warn) if file is not None and not given else given
    try:
        return parse_target(target, allow_http=allow_http)
    except NotifyTargetError as error:
        raise OperatorError(f"--notify: {error}") from None


def _read_target(file: Path, warn: Callable[[str], None]) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_TARGET_SIZE).decode("utf-8", "replace").strip()
        if is_url(text):
            warn_if_readable(file, warn, "a webhook's secret")
    except OSError as error:
        raise OperatorError(f"--notify-file {file} cannot be read: {error.strerror}.") from None
    if not text:
        raise OperatorError(f"--notify-file {file} is empty.")
    return text
