"""A run that only reads: its job in a store in memory, its workspace, and what is recorded."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from rolecall.engine.context import Caller, RunContext
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.prior_reader import PriorReader
from rolecall.engine.recorders import OutcomeRecorder
from rolecall.engine.settings import Settings
from rolecall.models import DueRow, Prior, PriorState, Result, RowOutcome
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import Batch, Intent
from tests.support.engine import NEVER, SilentLog
from tests.support.memory_store import MemoryStore
from tests.unit.engine.virtual import virtual_clock
from tests.unit.engine.workspace import DATE, Workspace
from tests.unit.store.contract.jobs import EVERY, all_results, import_job
from tests.unit.store.values import row as job_row

ADD_LEADER = OPERATIONS["groups.addLeader"]
AT = round(DATE * 1000)
STARTED = 77
"""The server's clock before the first call of a session."""
US = Caller("bot-1", STARTED)
READING = Settings(rate=None, concurrency=4, max_failures=NEVER)
SENT = Prior(PriorState.HAS_ROLE, AT - 5000, "name-lea", ("bot-0",))
"""The prior state of a row in doubt, and the account of an earlier session."""
Pair = tuple[str, str]


class Reading:
    """A run that only reads: its store, its workspace and what came of it."""

    def __init__(
        self, workspace: Workspace, operation: Operation = REMOVE_LEADER, settings: Settings = READING
    ) -> None:
        self.workspace = workspace
        self.operation = operation
        self.settings = settings
        self.store = MemoryStore()
        self.recorded: list[RowOutcome] = []
        """Every outcome that was recorded, each time."""

    async def import_pairs(self, pairs: Iterable[Pair]) -> None:
        """Import a job: each pair in the line of its number, counted from 1."""
        await import_job(self.store, [job_row(line, room, user) for line, (room, user) in enumerate(pairs, start=1)])

    async def put_in_doubt(self, priors: Mapping[int, Prior], at: int | None = None) -> None:
        """Let rows, by line, be in doubt since an earlier session."""
        keys = {each.line: each.key for _, each in await self.store.fetch_due(0, EVERY, retry_failed=True)}
        moment = round(virtual_clock().wall() * 1000) if at is None else at
        await self.store.open_session("bot", 1)
        await self.store.commit(Batch(intents=[Intent(keys[line], 1, moment, prior) for line, prior in priors.items()]))
        await self.store.close_session("killed", 2)

    def context(self, *, follows_plan: bool = False) -> RunContext:
        """Return the context of a session."""
        return RunContext.create(
            self.settings, SilentLog(), clock=virtual_clock(), caller=US, follows_plan=follows_plan
        )

    async def go(self, most: int | None = None, *, follows_plan: bool = False) -> list[DueRow]:
        """Read in a new session, to the end or until so many parts have come; return the rows that must be sent."""
        await self.store.open_session("bot", 3)
        context, rows = self.context(follows_plan=follows_plan), list[DueRow]()
        async with BatchWriter(self.store, self.recorded.extend) as journal:
            reader = RoleReader(self.workspace, self.operation)
            recorder = OutcomeRecorder(journal, context)
            source = PriorReader(journal, reader, self.operation, recorder, context)
            async with aclosing(source.rows()) as parts:
                async for part in parts:
                    rows += part
                    await self.on_part(journal, part)
                    if most is not None and (most := most - 1) == 0:
                        break
        await self.store.close_session("", 4)
        return rows

    async def on_part(self, journal: BatchWriter, part: Sequence[DueRow]) -> None:
        """Do something with a part of the rows when it comes."""

    async def results(self) -> dict[Pair, Result]:
        """Return each pair's result."""
        return {(each.room_id, each.user_id): each for each in await all_results(self.store)}


def lines(rows: Iterable[DueRow]) -> list[int]:
    """Return the lines of rows."""
    return [each.line for each in rows]


def leaders(*pairs: Pair, members: Iterable[Pair] = ()) -> Workspace:
    """Return a workspace with leaders and with members without roles."""
    rooms: dict[str, dict[str, list[str] | None]] = {}
    for room, user in pairs:
        rooms.setdefault(room, {})[user] = ["leader"]
    for room, user in members:
        rooms.setdefault(room, {})[user] = None
    return Workspace(rooms)
