"""The sizes of the engine's chunks and queues: small ones bring their edges into small jobs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from types import ModuleType

from rolecall.engine import prior_reader, row_queue

KNOBS: Mapping[str, tuple[ModuleType, tuple[int, ...]]] = {
    "CHUNK": (prior_reader, (512, 512, 16, 3)),
    "READ_AHEAD": (row_queue, (512, 512, 8, 2)),
    "MAX_PARKED": (row_queue, (1000, 1000, 4)),
    "MAX_ROOMS": (row_queue, (10_000, 10_000, 2)),
}
"""Each constant, its module and the values that it may get."""


def draw_knobs(random: Random) -> dict[str, int]:
    """Draw the sizes of one scenario."""
    return {name: random.choice(values) for name, (_, values) in KNOBS.items()}


@contextmanager
def turned(knobs: Mapping[str, int]) -> Iterator[None]:
    """Set the sizes while the block runs."""
    usual = {name: getattr(module, name) for name, (module, _) in KNOBS.items()}
    try:
        for name, value in knobs.items():
            setattr(KNOBS[name][0], name, value)
        yield
    finally:
        for name, value in usual.items():
            setattr(KNOBS[name][0], name, value)
