"""Write files atomically: a reader sees the old content or the new content, never a part. Private by default."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rolecall.files.json_codec import format_json
from rolecall.models import Json, RolecallError


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
