"""Exceptions of the application layer; those of the layers below are defined beside what raises them."""

from pathlib import Path

from rolecall.engine.stop_signal import StopReason
from rolecall.models import Advice, RolecallError
from rolecall.text import sanitise


class OperatorError(RolecallError):
    """The input cannot be used (a setting, a file, a directory), so nothing was sent."""


class InvalidRunDirectoryError(RolecallError):
    """The directory cannot be used for a run; the text names it and the reason."""

    def __init__(self, path: Path, reason: str, advice: Advice | None = None) -> None:
        super().__init__(sanitise(f"{path}: {reason}", limit=2_000), advice)


class OutputError(RolecallError):
    """The result could not be written."""


class RunStopped(RolecallError):  # noqa: N818 - not a defect: the results before it are valid
    """The work ended before its last row. The same call on the same directory continues it."""

    def __init__(self, reason: StopReason, detail: str = "") -> None:
        super().__init__(f"The run stopped ({reason.value}){f': {detail}' if detail else ''}.")
        self.reason = reason
        """Why; also the `reason` of each row that was not attempted."""
        self.detail = detail
        """The server's or the system's own words; may be empty."""
