"""An option whose value is a list of words with commas between them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # at run time only the newest click takes a type in brackets
    ListType = click.ParamType[tuple[str, ...]]
else:
    ListType = click.ParamType


class WordList(ListType):
    """Some of the known words, such as `leader,owner`, each once and in the order of the known ones."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Parse the text."""
        words = [word.strip().lower() for word in str(value).split(",")] if isinstance(value, str) else list(value)
        for word in words:
            if word not in self.known:
                self.fail(f"{word!r} is not one of {', '.join(self.known)}", param, ctx)
        return tuple(word for word in self.known if word in words)
