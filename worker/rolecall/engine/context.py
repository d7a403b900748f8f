"""What the parts of one session share, as one frozen value."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents, EventLogger
from rolecall.engine.route_health import CredentialsCheck
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.models import Outcome


class Caller(NamedTuple):
    """Who makes the calls of a session, and since when."""

    account_id: str
    started_at: int | None
    """The server's clock before the first call: UTC, milliseconds since the epoch; None if it is not known."""
    may_be_exempt: bool = False
    """The account's roles allow it to bypass the rate limit, so that the server may not enforce the limit it sends."""


ANONYMOUS = Caller("", None)


@dataclass(frozen=True, slots=True)
class RunContext:
    """One session of a run, or one command that reads."""

    settings: Settings
    clock: Clock
    stop: StopSignal
    events: EngineEvents
    admission: AdmissionController
    """Of the workspace: other sessions may share it."""
    caller: Caller
    follows_plan: bool = False
    """Every due row was planned to be sent: a row whose state does not fit that is not sent."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """Rows that were finished in this session."""
    credentials: CredentialsCheck = field(default_factory=CredentialsCheck)

    @classmethod
    def create(
        cls,
        settings: Settings,
        log: EventLogger,
        *,
        clock: Clock | None = None,
        stop: StopSignal | None = None,
        admission: AdmissionController | None = None,
        caller: Caller = ANONYMOUS,
        follows_plan: bool = False,
    ) -> Self:
        """Create a context; what is not given is new. Without `admission` the session has a controller of its own."""
        clock, stop = clock or Clock(), stop or StopSignal()
        return cls(
            settings=settings,
            clock=clock,
            stop=stop,
            events=EngineEvents(log, clock, stop),
            admission=admission or AdmissionController.build(settings, clock, may_be_exempt=caller.may_be_exempt),
            caller=caller,
            follows_plan=follows_plan,
        )
