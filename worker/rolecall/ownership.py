"""Who owns a file: what another user can change must not steer a run, or receive the token."""

import os


def is_foreign(status: os.stat_result) -> bool:
    """Return whether a file belongs to another user than this process's user and root."""
    return status.st_uid not in (os.geteuid(), 0)
