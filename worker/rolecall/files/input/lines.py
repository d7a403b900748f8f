"""The physical lines of a text, each looked at once: not too long, nothing binary."""

import re
from collections.abc import Iterator

from rolecall.files.input.problems import JobFileError
from rolecall.files.input.source import UNDECODABLE, Source

LONGEST_LINE = 1024 * 1024
"""In characters; also the most that one row may have, so that no file can fill the memory."""
BINARY = ("\0", UNDECODABLE)
_LINE_BREAK = re.compile("\r\n?|\n")


class Lines:
    """The lines of a source with their line breaks, to be read once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.open_text()
        self.row_size = 0
        """Characters since the reader last set this to 0: a quoted cell can make a row of many lines."""

    def __iter__(self) -> Iterator[str]:
        """Give each line; raise `JobFileError` on one that is binary, undecodable or too long."""
        number = row_starts = 0
        readline = self._text.readline
        while line := readline(LONGEST_LINE + 1):
            number += 1
            if not self.row_size:
                row_starts = number
            self.row_size += len(line)
            if self.row_size > LONGEST_LINE:
                raise self._source.unusable(
                    f"line {row_starts}: the row is longer than 1 MiB; is this a job file, and is a quote unclosed?"
                )
            if "\0" in line or (not line.isascii() and UNDECODABLE in line):
                raise binary(self._source, line, number)
            yield line


def binary(source: Source, text: str, first_line: int = 1) -> JobFileError:
    """Make the error for a text that holds a NUL or undecodable bytes; `first_line` is where the text starts."""
    place = next(place for place, character in enumerate(text) if character in BINARY)
    column = len(_LINE_BREAK.split(text[:place])[-1]) + 1
    what = "a NUL byte" if text[place] == "\0" else "bytes that are not text"
    return source.unusable(
        f"line {first_line + line_at(text, place) - 1}, column {column}: {what}; "
        "expected UTF-8, or UTF-16 with a byte order mark: save it again as 'CSV UTF-8'"
    )


def line_at(text: str, place: int) -> int:
    """Give the line, from 1, in which the character at `place` stands."""
    return len(_LINE_BREAK.split(text[:place]))
