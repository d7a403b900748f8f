"""Evidence for single rows: whose message it is, and what the role read again says; what cannot be read is none."""

from dataclasses import replace

import pytest

from rolecall.engine.context import RunContext
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.row_processor import EvidenceReader
from rolecall.engine.settings import Settings
from rolecall.engine.settlement import Ending, Messages
from rolecall.engine.stop_signal import ShutdownRequested
from rolecall.models import DueRow, Prior, PriorState
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation
from rolecall.rocketchat.responses import RoleMessage
from tests.support.engine import SilentLog
from tests.unit.engine.virtual import virtual_clock
from tests.unit.engine.workspace import DATE, UNREADABLE, Workspace

ADD_LEADER = OPERATIONS["groups.addLeader"]
AT = round(DATE * 1000)
ROW = DueRow(1, 2, "R", "lea", 1, True)
PRIOR = Prior(PriorState.HAS_ROLE, AT, "name-lea", ("bot-1",))
UNREAD = Prior(PriorState.UNKNOWN, AT, "", ("bot-1",))
REMOVAL = RoleMessage(False, "name-lea", "leader", "bot-1", AT)


@pytest.fixture
def workspace() -> Workspace:
    """Return a workspace in which an account of this run took the role."""
    made = Workspace({"R": {"lea": [], "leo": ["leader"]}})
    made.messages["R"] = [REMOVAL]
    return made


def reader(
    workspace: Workspace, operation: Operation = REMOVE_LEADER, *, roles: bool = True, messages: bool = True
) -> EvidenceReader:
    """Return a reader of evidence with these permissions of its own."""
    settings = replace(Settings(), read_roles=roles, message_evidence=messages)
    context = RunContext.create(settings, SilentLog(), clock=virtual_clock())
    return EvidenceReader(RoleReader(workspace, operation), operation, context)


@pytest.mark.parametrize("roles", [True, False])
async def test_messages_of_a_row(workspace: Workspace, roles: bool) -> None:
    """One call shows whose message it is, also where roles are not read."""
    row = ROW._replace(in_doubt=False)
    assert await reader(workspace, roles=roles).messages(row, PRIOR) is Messages.OURS
    workspace.messages["R"] = [REMOVAL._replace(account_id="boss")]
    assert await reader(workspace, roles=roles).messages(row, PRIOR) is Messages.OTHERS
    assert workspace.routes == {"chat.syncMessages": 2}
    assert workspace.calls[0][1]["lastUpdate"] == "2023-11-14T22:13:18.000Z", "two seconds before the reading"


async def test_the_name_of_a_row_in_doubt_is_read_again(workspace: Workspace) -> None:
    """Since an earlier session the user may have been renamed: then the messages may be about another user."""
    row = ROW._replace(in_doubt=True)
    assert await reader(workspace).messages(row, PRIOR) is Messages.OURS
    assert workspace.routes == {"users.info": 1, "chat.syncMessages": 1}
    assert await reader(workspace).messages(row, PRIOR._replace(username="lee")) is Messages.UNSURE


async def test_an_unknown_name_is_read_first(workspace: Workspace) -> None:
    """Messages name users by their username, which the reading of a room did not show."""
    assert await reader(workspace).messages(ROW, UNREAD) is Messages.OURS
    assert workspace.routes == {"users.info": 1, "chat.syncMessages": 1}


async def test_without_a_name_no_message_is_read(workspace: Workspace) -> None:
    """Where the username cannot be read the conversation of the room is left alone."""
    workspace.unreadable["users.info"] = UNREADABLE["forbidden"]
    assert await reader(workspace).messages(ROW, UNREAD) is Messages.NONE
    assert workspace.routes["chat.syncMessages"] == 0


@pytest.mark.parametrize("why", ["switched off", "no moment", "unreadable"])
async def test_what_cannot_be_read_is_no_evidence(workspace: Workspace, why: str) -> None:
    """Messages that are switched off, have no beginning or cannot be read prove nothing."""
    prior = PRIOR._replace(read_at=None) if why == "no moment" else PRIOR
    if why == "unreadable":
        workspace.unreadable["R"] = UNREADABLE["not joined"]
    assert await reader(workspace, messages=why != "switched off").messages(ROW, prior) is Messages.NONE
    assert workspace.routes["chat.syncMessages"] == (why == "unreadable")


async def test_a_stop_leaves_messages_unread(workspace: Workspace) -> None:
    """Messages that the stop prevents from being read are not as good as none: the row stays in doubt."""
    workspace.stops_after = 0
    with pytest.raises(ShutdownRequested):
        await reader(workspace).messages(ROW, PRIOR)


@pytest.mark.parametrize(
    ("roles", "ending"),
    [([], Ending.AS_WANTED), (None, Ending.AS_WANTED), (["owner"], Ending.AS_WANTED), (["leader"], Ending.UNCHANGED)],
)
async def test_the_role_read_again(workspace: Workspace, roles: list[str] | None, ending: Ending) -> None:
    """A role that is gone is as wanted, one that is present unchanged."""
    workspace.rooms["R"]["lea"] = None if roles is None else set(roles)
    assert await reader(workspace).ending(ROW, PRIOR) == (ending, True)


@pytest.mark.parametrize("operation", [REMOVE_LEADER, ADD_LEADER], ids=["remove", "add"])
async def test_who_has_left_proves_nothing(workspace: Workspace, operation: Operation) -> None:
    """Whether adding or removing: a user who is no member any more is as one that the server would refuse."""
    del workspace.rooms["R"]["lea"]
    prior = PRIOR._replace(state=PriorState.MEMBER if operation.adds else PriorState.HAS_ROLE)
    assert await reader(workspace, operation).ending(ROW, prior) == (Ending.REFUSED, True)


@pytest.mark.parametrize(("roles", "ending"), [(["leader"], Ending.AS_WANTED), (None, Ending.UNCHANGED)])
async def test_the_role_read_again_after_adding(workspace: Workspace, roles: list[str] | None, ending: Ending) -> None:
    """For `add` a role that is present is as wanted."""
    workspace.rooms["R"]["lea"] = None if roles is None else set(roles)
    prior = PRIOR._replace(state=PriorState.MEMBER)
    assert await reader(workspace, ADD_LEADER).ending(ROW, prior) == (ending, True)


async def test_who_may_have_left_is_not_sure(workspace: Workspace) -> None:
    """Without the means to see that the user is still a member, a role that is gone proves less."""
    workspace.shows_rooms = False
    assert await reader(workspace).ending(ROW, PRIOR) == (Ending.AS_WANTED, False)
    workspace.rooms["R"]["lea"] = {"leader"}
    assert await reader(workspace).ending(ROW, PRIOR) == (Ending.UNCHANGED, True)


@pytest.mark.parametrize("why", ["unreadable", "no description", "stop", "switched off", "unknown prior"])
async def test_a_role_that_cannot_be_read_again(workspace: Workspace, why: str) -> None:
    """Neither present nor gone: the row stays unknown, whatever its responses were."""
    if why == "unreadable":
        workspace.unreadable["groups.roles"] = UNREADABLE["timeout"]
    elif why == "no description":
        workspace.described.clear()
        workspace.described.add("owner")
    elif why == "stop":
        workspace.stops_after = 1
    prior = UNREAD if why == "unknown prior" else PRIOR
    assert await reader(workspace, roles=why != "switched off").ending(ROW, prior) == (Ending.EXHAUSTED, True)
    assert (workspace.calls == []) is (why in ("switched off", "unknown prior"))
