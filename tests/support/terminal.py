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


class Screen:
    """A terminal of some columns that breaks long lines, and breaks them anew when its width changes."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self._rows: list[str] = [""]
        self._continues: list[bool] = [False]
        """For each row, whether it continues the one above."""
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        """Return the rows that a person sees."""
        return [row.rstrip() for row in self._rows]

    def feed(self, written: str) -> None:
        """Show what a program wrote."""
        for number, command, back, down, text, other in _PART.findall(written):
            assert not other, f"an escape sequence that is not known: {other!r}"
            if command == "A":
                self._row = max(0, self._row - int(number or 1))
            elif command == "K":
                self._rows[self._row] = ""
            elif back:
                self._column = 0
            elif down:
                self._go_down(continues=False)
            for character in text:
                self._put(character)

    def resize(self, columns: int) -> None:
        """Change the width: each line is broken anew, and the cursor stays behind the same character."""
        lines: list[str] = []
        cursor = (0, 0)
        for number, (row, continues) in enumerate(zip(self._rows, self._continues, strict=True)):
            text = row.ljust(self.columns) if self._is_continued(number) else row
            before = len(lines[-1]) if continues else 0
            if continues:
                lines[-1] += text
            else:
                lines.append(text)
            if number == self._row:
                cursor = (len(lines) - 1, before + self._column)
        self.columns, self._rows, self._continues = columns, [], []
        for number, line in enumerate(lines):
            if number == cursor[0]:
                self._row, self._column = len(self._rows) + min(cursor[1], len(line)) // columns, cursor[1] % columns
            pieces = [line[start : start + columns] for start in range(0, len(line), columns)] or [""]
            self._rows += pieces
            self._continues += [False] + [True] * (len(pieces) - 1)
        self._row = min(self._row, len(self._rows) - 1)

    def _is_continued(self, number: int) -> bool:
        return number + 1 < len(self._rows) and self._continues[number + 1]

    def _put(self, character: str) -> None:
        if self._column == self.columns:
            self._go_down(continues=True)
        row = self._rows[self._row]
        self._rows[self._row] = row[: self._column].ljust(self._column) + character + row[self._column + 1 :]
        self._column += 1

    def _go_down(self, *, continues: bool) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._rows):
            self._rows.append("")
            self._continues.append(continues)
        else:
            self._continues[self._row] = continues
