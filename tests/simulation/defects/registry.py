"""The list of defects, and how one is put in its place."""

import builtins
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Replacement = tuple[Any, str, Any]
"""An object of the real code, the name of its attribute, and what stands there instead."""


class Defect(NamedTuple):
    """A wrong engine."""

    name: str
    replace: Callable[[], list[Replacement]]


_MISSING = object()


@contextmanager
def with_defect(defect: Defect) -> Iterator[None]:
    """Put the wrong functions in their places while the block runs."""
    replacements = defect.replace()
    usual = [(place, name, getattr(place, name, _MISSING)) for place, name, _ in replacements]
    missing = [name for _, name, right in usual if right is _MISSING and not hasattr(builtins, name)]
    if missing:
        raise AssertionError(f"{defect.name!r} does not fit the code any more: there is no {missing}")
    try:
        for place, name, wrong in replacements:
            setattr(place, name, wrong)
        yield
    finally:
        for place, name, right in reversed(usual):
            if right is _MISSING:
                delattr(place, name)  # a built-in function that was hidden
            else:
                setattr(place, name, right)


Add = Callable[[Callable[[], list[Replacement]]], Callable[[], list[Replacement]]]
"""A decorator of the function that returns the replacements of a defect."""


def added_to(defects: list[Defect]) -> Add:
    """Return what adds a defect to a list; the first sentence of its docstring is its name."""

    def add(replace: Callable[[], list[Replacement]]) -> Callable[[], list[Replacement]]:
        defects.append(Defect((replace.__doc__ or "").strip().rstrip("."), replace))
        return replace

    return add


DEFECTS: list[Defect] = []
defect = added_to(DEFECTS)
