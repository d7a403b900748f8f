"""What the parts of one session share, as one frozen value."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents, EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.models import Outcome


@dataclass(frozen=True, slots=True)
class RunContext:
    """One session of a run, or one command that reads."""

    settings: Settings
    clock: Clock
    stop: StopSignal
    events: EngineEvents
    admission: AdmissionController
    """Of the workspace: other sessions may share it."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """Rows that were finished in this session."""

    @classmethod
    def create(
        cls,
        settings: Settings,
        log: EventLogger,
        *,
        clock: Clock | None = None,
        stop: StopSignal | None = None,
        admission: AdmissionController | None = None,
        may_be_exempt: bool = False,
    ) -> Self:
        """Create a context; what is not given is new. Without `admission` the session has a controller of its own.

        `may_be_exempt`: the account's roles allow it to bypass the rate limit.
        """
        clock, stop = clock or Clock(), stop or StopSignal()
        return cls(
            settings=settings,
            clock=clock,
            stop=stop,
            events=EngineEvents(log, clock, stop),
            admission=admission or AdmissionController.build(settings, clock, may_be_exempt=may_be_exempt),
        )
