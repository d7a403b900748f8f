"""Access to files that another user could plant, change or swap: owners, types, locks, files of an open directory."""

import errno
import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeAlias

_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags of every file that is opened: no symbolic link is followed, and no pipe makes the caller wait."""
_WITHOUT_MODES = frozenset({"9p", "drvfs", "vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3"})
"""Types of file systems whose files have no owners and modes of their own."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO)
MAX_LINKS = 40
"""Symbolic links in one path: as many as Linux follows."""
SMALL_FILE = 65_536
"""Bytes."""
_MOUNTS = Path("/proc/self/mountinfo")
FileId: TypeAlias = tuple[int, int]
"""Device and inode of a file: the same for as long as the file exists, also under another name."""


def is_foreign(status: os.stat_result) -> bool:
    """Return whether a file belongs to another user than this process's user and root."""
    return status.st_uid not in (os.geteuid(), 0)


def is_writable_by_others(directory: Path, status: os.stat_result) -> bool:
    """Return whether other users can replace files in a directory: they can write in it, and it is not sticky.

    File systems without modes of their own (Windows drives in WSL, FAT) show one mode for all: it says nothing.

    A group that only this user has does not count, nor one that is not in the database of groups, as in a container:
    no other user is known to have it.
    """
    mode = status.st_mode
    if mode & stat.S_ISVTX:
        return False
    is_writable = mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_own_group(status.st_gid))
    return bool(is_writable) and _file_system_type(directory) not in _WITHOUT_MODES


def _is_own_group(number: int) -> bool:
    """Return whether this is the user's private group, of the same name and without other members, or that of root."""
    try:
        group = grp.getgrgid(number)
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return True
    return number == 0 or (group.gr_name == user and set(group.gr_mem) <= {user})


def has_foreign_link(path: Path) -> bool:
    """Return whether a path leads over a symbolic link of another user, also after one of ours; it need not exist."""
    pending, links = [path.absolute()], 0
    while pending and links < MAX_LINKS:
        current = pending.pop()
        for part in (current, *current.parents):
            with suppress(OSError, ValueError):
                status = part.lstat()
                if not stat.S_ISLNK(status.st_mode):
                    continue
                if is_foreign(status):
                    return True
                links += 1
                pending.append(part.parent / part.readlink())
    return False


class OpenDirectory:
    """A directory that stays the same one, even if its path is moved or replaced by a symbolic link meanwhile."""

    def __init__(self, path: Path) -> None:
        """Open the directory at `path`. Raises OSError."""
        self.path = path
        self._absolute = path.absolute()
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __truediv__(self, name: str) -> "DirectoryFile":
        return DirectoryFile(self, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_foreign(self) -> bool:
        """Whether the directory belongs to another user, or its path leads over a symbolic link of another user."""
        return is_foreign(os.fstat(self.descriptor)) or has_foreign_link(self._absolute)

    @property
    def is_writable_by_others(self) -> bool:
        """Whether other users can replace files in it."""
        return is_writable_by_others(self._absolute, os.fstat(self.descriptor))

    def is_at_path(self) -> bool:
        """Return whether the path still leads to this directory."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self._absolute.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Close the directory. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class DirectoryFile(NamedTuple):
    """A file of an open directory, which may not exist."""

    directory: OpenDirectory
    name: str

    @property
    def path(self) -> Path:
        """Its path, for texts and for what opens by path only."""
        return self.directory.path / self.name

    def __str__(self) -> str:
        return str(self.path)

    def beside(self, name: str) -> "DirectoryFile":
        """Return another file of the same directory."""
        return DirectoryFile(self.directory, name)

    def open(self, flags: int, *, any_owner: bool = False) -> int:
        """Open it, mode 0600 if it is created, and return the descriptor.

        Raises OSError, also for what is no regular file and, without `any_owner`, for a file of another user, or one
        that has a second name: it may be a file of ours elsewhere, to which another user has made a hard link.
        """
        try:
            descriptor = os.open(self.name, flags | _SAFE, 0o600, dir_fd=self.directory.descriptor)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
                raise OSError(error.errno, error.strerror, str(self)) from None
            raise self._refused("it is not a regular file") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            why = "it is not a regular file"
        elif not any_owner and is_foreign(status):
            why = "it belongs to another user"
        elif not any_owner and status.st_nlink > 1:
            why = "it is a hard link to another file"
        else:
            return descriptor
        os.close(descriptor)
        raise self._refused(why)

    def status(self) -> os.stat_result | None:
        """Return what stands at its name, links not followed; None if there is nothing. Raises OSError."""
        try:
            return os.stat(self.name, dir_fd=self.directory.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def file_id(self) -> FileId | None:
        """Return which file it is; None if there is nothing at its name. Raises OSError."""
        status = self.status()
        return None if status is None else (status.st_dev, status.st_ino)

    def is_file(self) -> bool:
        """Return whether it is a regular file. Raises OSError."""
        status = self.status()
        return status is not None and stat.S_ISREG(status.st_mode)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete it; a symbolic link is deleted, not followed. Raises OSError."""
        try:
            os.unlink(self.name, dir_fd=self.directory.descriptor)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, name: str) -> None:
        """Replace the file of this name in the same directory. Raises OSError."""
        descriptor = self.directory.descriptor
        os.replace(self.name, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)

    def _refused(self, why: str) -> OSError:
        return OSError(errno.EPERM, why, str(self))


Target: TypeAlias = Path | DirectoryFile
"""A file by its path, or in a directory that is open already."""
Folder: TypeAlias = Path | OpenDirectory
"""A directory by its path, or open already; `folder / name` is a Target."""


@contextmanager
def in_open_directory(target: Target) -> Iterator[DirectoryFile]:
    """Return a file in its open directory; that of a path is open only in the block. Raises OSError."""
    if isinstance(target, DirectoryFile):
        yield target
        return
    with OpenDirectory(target.parent) as directory:
        yield directory / target.name


def lock_file(descriptor: int, path: Path, *, wait: bool = False, shared: bool = False) -> None:
    """Lock an open file or directory. Raises BlockingIOError where another process has locked it and `wait` is False.

    Raises OSError that names the file system where that has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise OSError(error.errno, unfit_file_system(path, f"file locks ({error.strerror})"), str(path)) from None


def unfit_file_system(path: Path, what: str) -> str:
    """Format that the file system of `path` does not support what a run needs."""
    kind = _file_system_type(path)
    named = f"its file system ({kind})" if kind else "its file system"
    return f"{named} does not support {what}, as on network drives and in some containers; use a local disk"


def is_disk_full(path: Path) -> bool:
    """Return whether the file system of a directory has no room for a small file; False where it is not known."""
    try:
        status = os.statvfs(path)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < SMALL_FILE


def _file_system_type(path: Path) -> str:
    """Return the type of the file system of `path`, such as `nfs4`; empty where that is not known."""
    try:
        device = path.stat().st_dev
        lines = _MOUNTS.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = (line.split() for line in lines)
    types = [fields[fields.index("-") + 1] for fields in mounts if "-" in fields and fields[2] == number]
    return types[-1] if types else ""


def open_file_ids() -> set[FileId] | None:
    """Return all files that this process has open; None where the system does not list them."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 - only the names
    except (OSError, ValueError):
        return None
    ids = set[FileId]()
    for number in numbers:
        with suppress(OSError):  # the one that listed them
            status = os.fstat(number)
            ids.add((status.st_dev, status.st_ino))
    return ids
