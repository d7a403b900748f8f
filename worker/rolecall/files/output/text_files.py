"""Text files: replaced atomically, private by default; and JSON without characters that act on a terminal."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import orjson

from rolecall.models import Json, RolecallError
from rolecall.text import REPLACEMENT, UNSAFE

_SURROGATE = re.compile("[\ud800-\udfff]")


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
    return text if text.isascii() else _SURROGATE.sub(REPLACEMENT, text)


def _escape(match: re.Match[str]) -> str:
    # A line break is part of the indentation (orjson escapes those inside texts); U+FFFD is harmless.
    return match[0] if match[0] in ("\n", REPLACEMENT) else f"\\u{ord(match[0]):04x}"


class SymlinkError(OSError, RolecallError):
    """The target is a symbolic link. Refused: writing through a link could overwrite another file."""


@contextmanager
def replace_atomically(path: Path, *, mode: int = 0o600) -> Iterator[TextIO]:
    """Open a UTF-8 text file that replaces `path`, with this mode, when the block ends without an error.

    Line breaks are written as given. If the block raises, `path` is unchanged. Raises SymlinkError if `path` is a
    symbolic link, and OSError.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _require_no_symlink(path, folder)
        temporary = f".{path.name}.{os.urandom(8).hex()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - a descriptor
                yield file
                file.flush()
                os.fchmod(descriptor, mode)  # independent of the umask
                os.fsync(descriptor)
            _require_no_symlink(path, folder)
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Json) -> None:
    """Write `value` atomically as indented JSON. Raises OSError."""
    with replace_atomically(path) as file:
        file.write(format_json(value, indent=True) + "\n")


def _require_no_symlink(path: Path, folder: int) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise SymlinkError(f"{path} is a symbolic link; remove it, or choose another folder")
