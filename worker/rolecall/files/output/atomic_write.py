"""Write files atomically: a reader sees the old content or the new content, never a part. Private by default."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rolecall.file_access import DirectoryFile, Target, in_open_directory
from rolecall.files.json_codec import format_json
from rolecall.models import Json, RolecallError


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
