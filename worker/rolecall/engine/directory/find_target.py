"""One thing to ask the workspace for."""

from typing import NamedTuple


class LookupTarget(NamedTuple):
    """A user or a room."""

    key: str
    """Stays the same when the command is given again."""
    word: str
    """As it was given, or the id where a list told it."""
    name: str = ""
    """Of a room that a list told of."""
