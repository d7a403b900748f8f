"""Text files: replaced atomically, private by default; and JSON without characters that act on a terminal."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import orjson

from rolecall.file_access import DirectoryFile, Target, in_open_directory
from rolecall.models import Json, RolecallError
from rolecall.text import REPLACEMENT, UNSAFE

_SURROGATE = "[\ud800-\udfff]"


def format_json(value: Any, *, indent: bool = False) -> str:
    """Return `value` as JSON text; control and direction characters are escaped.

    Raises TypeError for a value that JSON cannot represent.
    """
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    return text if text.isprintable() else UNSAFE.sub(_escape, text)


def parse_json_object(text: str | bytes) -> dict[str, Json] | None:
    """Return the JSON object in `text`; None if `text` is anything else or is not JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def replace_surrogates(text: str) -> str:
    """Return `text` with each lone surrogate replaced by U+FFFD: JSON cannot represent them."""
    return text if text.isascii() else re.sub(_SURROGATE, REPLACEMENT, text)


def _escape(match: re.Match[str]) -> str:
    # A line break is part of the indentation (orjson escapes those inside texts); U+FFFD is harmless.
    return match[0] if match[0] in ("\n", REPLACEMENT) else f"\\u{ord(match[0]):04x}"


class SymlinkError(OSError, RolecallError):
    """The target is a symbolic link. Refused: writing through a link could overwrite another file."""


@contextmanager
def replace_atomically(target: Target, *, mode: int = 0o600) -> Iterator[TextIO]:
    """Open a UTF-8 text file that replaces `target`, with this mode, when the block ends without an error.

    Line breaks are written as given. If the block raises, `target` is unchanged. Raises SymlinkError if `target` is a
    symbolic link, and OSError.
    """
    with in_open_directory(target) as file:
        _require_no_symlink(file)
        temporary = file.beside(f".{file.name}.{os.urandom(8).hex()}.tmp")
        descriptor = temporary.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as stream:  # noqa: PTH123 - a descriptor
                yield stream
                stream.flush()
                os.fchmod(descriptor, mode)  # independent of the umask
                os.fsync(descriptor)
            _require_no_symlink(file)
            temporary.rename(file.name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        os.fsync(file.directory.descriptor)


def write_json(target: Target, value: Json) -> None:
    """Write `value` atomically as indented JSON. Raises OSError."""
    with replace_atomically(target) as file:
        file.write(format_json(value, indent=True) + "\n")


def _require_no_symlink(file: DirectoryFile) -> None:
    status = file.status()
    if status is not None and stat.S_ISLNK(status.st_mode):
        raise SymlinkError(f"{file} is a symbolic link; remove it, or choose another folder")
