"""A terminal of our own: what a program shows on it, as a person would see it in the end."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_PART = re.compile(r"\x1b\[([\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)|(.)", re.DOTALL)


@contextmanager
def terminal(columns: int = 100) -> Iterator[tuple[int, int]]:
    """Open a terminal; give its descriptors: what a person sees, and what a program writes to."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        for descriptor in (ours, theirs):
            try:
                os.close(descriptor)
            except OSError:  # closed by the test
                continue


def seen(written: str) -> list[str]:
    """Give the lines that stand on a terminal wide enough, after all that was written to it."""
    lines, row, column = [""], 0, 0
    for number, command, back, down, text, other in _PART.findall(written):
        assert not other, f"an escape sequence that is not known: {other!r}"
        if command == "A":
            row = max(0, row - int(number or 1))
        elif command == "K":
            lines[row] = ""
        elif command:
            assert command == "m", f"an escape sequence that is not known: {command!r}"
        elif back:
            column = 0
        elif down:
            row, column = row + 1, 0
            lines.extend([""] * (row + 1 - len(lines)))
        else:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines]
