"""Lists in pages: `offset` and `count` as the server reads them, `total` as it tells it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rolecall.sandbox.answers import Answer, invalid_params, success


class Paging(NamedTuple):
    """The settings of a workspace that say how much one call may ask for."""

    default: int = 50
    """`API_Default_Count`: how many items come where `count` is not given."""
    upper: int = 100
    """`API_Upper_Count_Limit`: a larger `count` is cut to this without a word."""
    infinite: bool = True
    """`API_Allow_Infinite_Count`: whether `count=0` means all; otherwise it means the default."""


def paged(paging: Paging, params: Mapping[str, object], key: str, items: Sequence[Mapping[str, Any]]) -> Answer:
    """Answer with the page of `items` that `params` ask for, under this key; beyond the end it is empty."""
    offset, count = _number(params, "offset"), _number(params, "count")
    if isinstance(offset, Answer):
        return offset
    if isinstance(count, Answer):
        return count
    start, length = offset or 0, paging.default if count is None else min(count, paging.upper)
    if length == 0 and not paging.infinite:
        length = paging.default
    page = items[start : start + length] if length else items[start:]
    return success(**{key: list(page)}, count=len(page), offset=start, total=len(items))


def _number(params: Mapping[str, object], name: str) -> int | Answer | None:
    """Return a parameter as a whole number, None where it is not given, or the refusal of anything else."""
    text = params.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
        return invalid_params("must be number")
    return int(text)
