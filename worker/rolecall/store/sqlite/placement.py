"""Where the files of a store are: SQLite opens them by path, so that they are compared with the open directory."""

from rolecall.file_access import DirectoryFile, FileId, is_foreign, open_file_ids
from rolecall.models import Advice
from rolecall.store.base import InvalidStoreError, StoreLoss, StoreLostError

WAL, SHM, JOURNAL = "-wal", "-shm", "-journal"
"""Endings of the names of SQLite's helper files; their content becomes part of the store when it is opened."""


class StorePlacement:
    """The store file and SQLite's helper files beside it: which files they are, and whether they still are there."""

    def __init__(self, file: DirectoryFile) -> None:
        self._file = file
        self._files = {end: file.beside(file.name + end) for end in ("", WAL, SHM)}
        self._opened: dict[str, FileId] = {}

    def missing_helpers(self) -> list[DirectoryFile]:
        """Return the helper files that do not exist."""
        return [file for end, file in self._files.items() if end and file.status() is None]

    def record_opened(self, *, with_helpers: bool) -> None:
        """Record which files SQLite has opened.

        Raises InvalidStoreError where they are not those of the directory: a path was swapped meanwhile.
        """
        opened = open_file_ids()
        for end, file in self._files.items() if with_helpers else [("", self._file)]:
            known = file.file_id()
            if known is None or (opened is not None and known not in opened) or not self._is_at_path():
                raise InvalidStoreError(
                    f"{file} was replaced while it was opened; it is left as it is.", Advice.OTHER_DIRECTORY
                )
            self._opened[end] = known

    def require_in_place(self) -> None:
        """Raise StoreLostError where a file was deleted or replaced, or the directory moved, since it was opened."""
        for end, known in self._opened.items():
            if self._files[end].file_id() != known:
                loss = StoreLoss.HELPER if end else StoreLoss.STORE
                raise StoreLostError(f"{self._files[end]} was deleted or replaced during the run.", loss)
        if not self._is_at_path():
            text = f"The directory {self._file.directory.path} was moved or replaced during the run."
            raise StoreLostError(text, StoreLoss.DIRECTORY)

    def _is_at_path(self) -> bool:
        return self._file.directory.is_at_path()


def is_foreign_store(file: DirectoryFile) -> bool:
    """Return whether the file, or one of SQLite's helper files beside it, belongs to another user."""
    beside = (file.beside(file.name + end).status() for end in ("", WAL, SHM, JOURNAL))
    return any(status is not None and is_foreign(status) for status in beside)


def require_own_store(file: DirectoryFile) -> None:
    """Raise InvalidStoreError for the store of another user, who could change it at any time."""
    if is_foreign_store(file):
        raise InvalidStoreError(f"{file} belongs to another user; it is left as it is.", Advice.OTHER_DIRECTORY)
