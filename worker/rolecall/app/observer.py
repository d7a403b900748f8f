"""What a use case reports to its caller while it works: to a terminal, or to nothing in a program."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, TypeAlias

from rolecall.engine.clock import Clock
from rolecall.file_access import Target
from rolecall.models import Outcome, Progress
from rolecall.rocketchat.operations import Operation

if TYPE_CHECKING:  # needed only after the preflight
    from rolecall.engine.directory.removal_forecast import RemovalForecast
    from rolecall.engine.events import EventLogger
    from rolecall.engine.progress import Estimate


class Resumed(NamedTuple):
    """How far the earlier sessions of a run have come."""

    folder: Path
    done: int
    """Rows that need nothing more."""
    total: int


class RunPreview(NamedTuple):
    """What a run is about to change."""

    operation: Operation
    workspace: str
    account: str
    rows: int
    rooms: int
    estimate: "Estimate | None"
    """None where nothing limits the calls."""
    resumed: Resumed | None = None
    """None for a new run."""
    room_names: tuple[str, ...] = ()
    """The names of all these rooms, where they are few and known."""
    forecast: "RemovalForecast | None" = None
    """What it would take; None where that was not counted."""


class OffboardPreview(NamedTuple):
    """What an offboarding is about to change."""

    people: int
    """On the list."""
    runs: Sequence[RunPreview]
    """One for each operation with rows to send."""


class ResumingEdited(NamedTuple):
    """The job was edited, and the unfinished run of its former content goes on."""

    resumed: Resumed


class UnreadableRuns(NamedTuple):
    """A new run starts although earlier runs of the job cannot be read: one of them may be unfinished."""

    number: int
    folder: Path
    """The newest of them."""
    problem: str


class ShuttingDown(NamedTuple):
    """The run was interrupted: no new rows, and the calls in flight have so many seconds."""

    seconds: float


class Aborted(NamedTuple):
    """The run was cancelled: calls in flight were not awaited, and there are no reports."""

    folder: Path
    is_recorded: bool = False
    """True where every call had ended: only the reports are missing or incomplete."""


class StoreLocked(NamedTuple):
    """Another program has locked the run store; nothing is sent until it is free, for so many seconds at most."""

    store: Path
    seconds: float


class NotUndone(NamedTuple):
    """Rows that the run may have changed and that are not undone."""

    run: Path | str
    """Its directory, or its name in the database, such as `run 17`."""
    outcome: Outcome
    inferred: int
    """Rows whose change is only inferred."""
    unknown: int


class OpenRows(NamedTuple):
    """Rows in doubt whose call may still arrive; a verification waits before it reads them again."""

    rows: int
    seconds: float


class FindStarted(NamedTuple):
    """A search starts, or continues an unfinished one."""

    checkpoint: Path | None
    known: int
    """Answers of an earlier session."""
    by_user: bool
    """True where users are read, False where rooms are."""
    left: int
    """Users or rooms to read; 0 where only a list of the workspace shows it."""
    estimate: "Estimate | None"
    known_at: str = ""
    """When the last of the known answers was read: UTC, RFC 3339."""


class UnmatchedExclusions(NamedTuple):
    """Exclusions that leave nothing out: they may be misspelt, or the room's name that people see."""

    words: tuple[str, ...]


class ReadingRemovals(NamedTuple):
    """The roles of so many rooms are read to count what a run would take."""

    rooms: int
    estimate: "Estimate | None"


Notice: TypeAlias = (
    ResumingEdited
    | UnreadableRuns
    | ShuttingDown
    | Aborted
    | StoreLocked
    | NotUndone
    | UnmatchedExclusions
    | OpenRows
    | FindStarted
    | ReadingRemovals
)


class ProgressSource(Protocol):
    """Knows how far a run is."""

    def progress(self) -> Progress:
        """Return the progress at this moment."""


class Observer(Protocol):
    """Receives what happens, and decides for the operator."""

    def waiting(self, seconds: float) -> None:
        """Receive that the first call is rate limited and repeated after so many seconds."""

    def will_ask(self) -> bool:
        """Return whether `confirm` asks a person, who then sees what the run would take."""

    def confirm(self, preview: RunPreview | OffboardPreview) -> bool:
        """Return whether the run may start; called once before the first row is sent."""

    def open_log(self, path: Target | None, *, hide: str) -> "EventLogger":
        """Return the logger of the session; `path` is a file for its events, `hide` the token that no event shows."""

    def progress(self, tracker: ProgressSource) -> AbstractAsyncContextManager[None]:
        """Show the progress of the run while the block runs."""

    def prepare_log(self) -> None:
        """Import what `open_log` needs: on a thread, while the workspace answers the first request."""

    def prepare_result(self) -> None:
        """Import what shows the result: on a thread, while the rows are sent."""

    def notice(self, notice: Notice) -> None:
        """Receive something that the operator should know now."""


class NullLogger:
    """A logger that drops every event."""

    def bind(self, **values: object) -> Self:
        """Return this logger."""
        return self

    def info(self, event: str, **values: object) -> None:
        """Drop the event."""

    def warning(self, event: str, **values: object) -> None:
        """Drop the event."""


class NullObserver:
    """The observer of programs: nothing is shown, every run may start. Events go to `log`."""

    def __init__(self, log: "EventLogger | None" = None) -> None:
        self._log = log or NullLogger()

    def waiting(self, seconds: float) -> None:
        """Log the pause."""
        until = Clock().wall_time_in(seconds)
        self._log.info("rate limit pause", cause="refused", seconds=round(seconds, 1), until=until)

    def will_ask(self) -> bool:
        """Return False."""
        return False

    def confirm(self, preview: RunPreview | OffboardPreview) -> bool:
        """Return True: the caller has decided already."""
        return True

    def open_log(self, path: Target | None, *, hide: str) -> "EventLogger":
        """Return the caller's logger."""
        return self._log

    @asynccontextmanager
    async def progress(self, tracker: ProgressSource) -> AsyncIterator[None]:
        """Show nothing."""
        yield

    def prepare_log(self) -> None:
        """Prepare nothing."""

    def prepare_result(self) -> None:
        """Prepare nothing."""

    def notice(self, notice: Notice) -> None:
        """Log that the store is locked; show nothing."""
        if isinstance(notice, StoreLocked):
            self._log.warning("store locked", store=str(notice.store), seconds=round(notice.seconds))
