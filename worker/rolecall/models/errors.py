"""The errors that a caller can see."""

from enum import StrEnum


class Advice(StrEnum):
    """What an operator can do about an error; the command line has a sentence with its own flags for each."""

    ALLOW_HTTP = "allow_http"
    CA_FILE = "ca_file"
    CHECK_URL = "check_url"
    CHECK_CREDENTIALS = "check_credentials"
    OTHER_DIRECTORY = "other_directory"
    OTHER_FILE = "other_file"
    OTHER_PLAN = "other_plan"
    NAME_PLAN = "name_plan"
    NAME_ENCODING = "name_encoding"
    WRITE_PLAN = "write_plan"
    INCLUDE_INFERRED = "include_inferred"
    RETRY_FAILED = "retry_failed"
    VERIFY = "verify"
    ALLOW_REMOVALS = "allow_removals"
    NAME_RUN = "name_run"
    START_ANEW = "start_anew"
    RESUME_RUN = "resume_run"
    NAME_WORKSPACES = "name_workspaces"


class RolecallError(Exception):
    """Base of every exception that a caller can see; the text is one line for a person."""

    advice: Advice | None = None

    def __init__(self, text: str, advice: Advice | None = None) -> None:
        super().__init__(text)
        if advice is not None:
            self.advice = advice


class LockedError(RolecallError):
    """Another process is working on the same run or file."""
