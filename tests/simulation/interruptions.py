"""What happens to the process of one session: killed, paused, interrupted, a clock that is set, a disk that is full."""

from dataclasses import dataclass
from enum import Enum, auto
from random import Random


class Kind(Enum):
    """What happens."""

    KILL = auto()
    """SIGKILL, or a power cut: only what was committed is left."""
    PAUSE = auto()
    """SIGSTOP, or a suspended machine: the world goes on."""
    INTERRUPT = auto()
    """One Ctrl-C: the calls in flight are awaited."""
    INTERRUPT_TWICE = auto()
    """A second Ctrl-C soon after the first one: the session is cancelled."""
    SET_CLOCK = auto()
    """The wall clock is set."""
    DISK_FULL = auto()
    """Every further commit fails."""


KINDS = (*[Kind.KILL] * 5, Kind.PAUSE, Kind.INTERRUPT, Kind.INTERRUPT_TWICE, Kind.SET_CLOCK, Kind.DISK_FULL)


@dataclass(frozen=True)
class Interruption:
    """What happens to a session after so many steps of it.

    A step is before and after a request leaves, when a response arrives, before and after a commit is durable.
    """

    name: str
    kind: Kind
    after: int
    seconds: float
    """The length of a pause, or the step of the clock."""
    second_after: int
    """Further steps until the second interrupt."""


def draw_interruption(random: Random, name: str) -> Interruption:
    """Draw what happens to one session."""
    kind = random.choice(KINDS)
    seconds = random.choice((0.5, 1.5, 5.0, 30.0, 200.0, 4000.0))
    if kind is Kind.SET_CLOCK:
        seconds = random.choice((-3600.0, -5.0, 5.0, 86_400.0))
    after = random.choice((1, 5, 20, 60, 200)) * random.randint(1, 5)
    return Interruption(name, kind, after, seconds, random.randint(1, 8))
