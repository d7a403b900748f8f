"""The standard streams: they may be closed, full or broken when a scheduler starts the command."""

import io
import os
import sys


def reopen_std_streams() -> None:
    """Open the null device in place of a closed standard stream, so that no file of ours gets its number.

    Characters that a stream cannot encode are written as escapes.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_std_streams() -> None:
    """Flush stdout and stderr. If that fails, point them at the null device: the shutdown would exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
