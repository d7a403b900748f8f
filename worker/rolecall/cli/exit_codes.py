"""Exit codes: the contract with scripts and schedulers."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command's end says."""

    DONE = 0
    """Every row is removed, not_leader or duplicate."""
    ROWS = 1
    """It ended, with failed, unknown or invalid rows."""
    USAGE = 2
    """Wrong usage, or a job file, folder or address that cannot be used; nothing was sent."""
    CREDENTIALS = 3
    """The workspace refused the credentials."""
    STOPPED = 4
    """Stopped by the failure threshold or a ledger that cannot be written, or the workspace stayed away."""
    HELD = 5
    """Another run holds this folder."""
    DIFFERS = 6
    """The workspace is no longer as the report says (verify)."""
    INTERRUPTED = 130
    """Ctrl-C or a termination signal."""


class OperatorError(Exception):
    """The command ends before its work: the text is one line for a person, `code` is the exit code."""

    def __init__(self, text: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(text)
        self.code = code
