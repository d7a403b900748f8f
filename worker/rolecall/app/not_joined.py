"""The private groups that the account has to join: recorded with the run, and written as a list for their owners."""

from collections.abc import Sequence
from contextlib import suppress

import orjson

from rolecall.app.connection import Connection, until_stopped
from rolecall.app.errors import RunStopped
from rolecall.app.run_directory import Run
from rolecall.engine.directory.hidden_rooms import HiddenRoom, find_hidden_rooms, invitation_lines
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.file_access import Folder
from rolecall.files.output.text_files import replace_atomically
from rolecall.models import Outcome
from rolecall.rocketchat.error_table import ROOM_NOT_JOINED
from rolecall.store.base import RunStore
from rolecall.text import sanitise

NOT_JOINED_FILE = "not-joined.txt"
NOT_JOINED = "not_joined"
"""Key of the store's metadata: the rooms, as JSON."""
MAX_LOOKUPS, MAX_LIMITED_LOOKUPS = 500, 10
"""Users that are looked up for names and owners by an account without a rate limit, and by one with a limit."""


async def record_hidden_rooms(store: RunStore, reads: ReadClient, connection: Connection, stop: StopSignal) -> None:
    """Find the rooms that the account has not joined, and store them with the run. A stop leaves the earlier ones."""
    counts = await store.counts()
    known = NOT_JOINED in await store.get_meta()
    if not known and not any(_is_hidden(count.outcome, count.reason) for count in counts):
        return
    lookups = MAX_LIMITED_LOOKUPS if connection.account.limits is not None else MAX_LOOKUPS
    with suppress(RunStopped):
        rooms = await until_stopped(find_hidden_rooms(store, reads, lookups=lookups), stop)
        await store.set_meta(**{NOT_JOINED: orjson.dumps([list(room) for room in rooms]).decode()})


async def read_hidden_rooms(run: Run) -> list[HiddenRoom]:
    """Return the rooms that are stored with the run."""
    stored = orjson.loads((await run.store.get_meta()).get(NOT_JOINED, "[]"))
    return [HiddenRoom(room_id, name, tuple(owners), rows) for room_id, name, owners, rows in stored]


def write_hidden_rooms(folder: Folder, rooms: Sequence[HiddenRoom], account: str) -> None:
    """Write the list for the owners; without rooms an old one is removed. Raises OSError."""
    path = folder / NOT_JOINED_FILE
    if not rooms:
        path.unlink(missing_ok=True)
        return
    with replace_atomically(path) as file:
        file.writelines(f"{sanitise(line)}\n" for line in invitation_lines(rooms, account))


def _is_hidden(outcome: Outcome, reason: str) -> bool:
    return outcome is Outcome.FAILED and reason == ROOM_NOT_JOINED.reason
