"""The outcome of a row in doubt from a later reading: what the role, the messages and the time since then prove."""

import pytest

from rolecall.engine.directory.doubt_settlement import (
    CONFIRMED_BY_READING,
    ROLE_UNCHANGED,
    Doubt,
    LaterReading,
    arrives_until,
    settle_before_sending,
    settle_doubt,
)
from rolecall.engine.directory.role_reader import MEMBERSHIP_NOT_SEEN, RoleReading
from rolecall.models import Evidence, Outcome, Prior, PriorState
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER
from rolecall.rocketchat.responses import RoleMessage

READ_AT, TRIED_AT = 1_700_000_000_000, 1_700_000_010_000
SOON, LATE = TRIED_AT + 600_000, TRIED_AT + 600_001
"""Within ten minutes of the attempt, and later."""
LED = Prior(PriorState.HAS_ROLE, READ_AT, "lea", ("bot",))
UNREAD = Prior(PriorState.UNKNOWN, READ_AT, "lea", ("bot",))
HAS, GONE, LEFT, UNKNOWN = (
    RoleReading(Prior(state, TRIED_AT, "lea"))
    for state in (PriorState.HAS_ROLE, PriorState.MEMBER, PriorState.STRANGER, PriorState.UNKNOWN)
)
UNSURE = GONE._replace(reason=MEMBERSHIP_NOT_SEEN)
RENAMED = GONE._replace(prior=GONE.prior._replace(username="lee"))


def removal(account: str = "bot", at: int = TRIED_AT, *, adds: bool = False) -> RoleMessage:
    """Return the message of a role change of lea."""
    return RoleMessage(adds, "lea", "leader", account, at)


REMOVED, NOT_LEADER, FAILED = Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED


@pytest.mark.parametrize(
    ("prior", "reading", "messages", "read_at", "expected"),
    [
        (LED, GONE, [removal()], LATE, (REMOVED, "", Evidence.MESSAGE)),
        (LED, GONE, [removal("admin")], SOON, (NOT_LEADER, "removed_by_other", Evidence.MESSAGE)),
        (LED, GONE, [], SOON, (REMOVED, CONFIRMED_BY_READING, Evidence.ROLES)),
        (LED, GONE, [], LATE, (REMOVED, CONFIRMED_BY_READING, Evidence.INFERRED)),
        (LED, UNSURE, [], SOON, (REMOVED, CONFIRMED_BY_READING, Evidence.INFERRED)),
        (LED, HAS, [], SOON, (FAILED, ROLE_UNCHANGED, Evidence.ROLES)),
        (LED, HAS, [removal(), removal("admin", TRIED_AT + 1, adds=True)], SOON, (REMOVED, "", Evidence.MESSAGE)),
        (LED, HAS, [removal("admin"), removal("admin", adds=True)], SOON, (FAILED, ROLE_UNCHANGED, Evidence.INFERRED)),
        (LED, LEFT, [removal()], SOON, (REMOVED, "", Evidence.MESSAGE)),
        (LED, LEFT, [], SOON, None),
        (LED, UNKNOWN, [removal()], SOON, None),
        (UNREAD, GONE, [removal()], SOON, (REMOVED, CONFIRMED_BY_READING, Evidence.INFERRED)),
        (UNREAD, GONE, [removal("admin")], SOON, (NOT_LEADER, "removed_by_other", Evidence.MESSAGE)),
        (UNREAD, GONE, [], SOON, (REMOVED, CONFIRMED_BY_READING, Evidence.INFERRED)),
        (UNREAD, HAS, [], SOON, (FAILED, ROLE_UNCHANGED, Evidence.INFERRED)),
        (UNREAD, LEFT, [], SOON, None),
        (LED, RENAMED, [removal()], SOON, (REMOVED, CONFIRMED_BY_READING, Evidence.INFERRED)),
        (UNREAD, HAS, [removal()], SOON, None),
        (UNREAD, LEFT, [removal()], SOON, None),
    ],
)
def test_what_a_later_reading_proves(
    prior: Prior,
    reading: RoleReading,
    messages: list[RoleMessage],
    read_at: int,
    expected: tuple[Outcome, str, Evidence] | None,
) -> None:
    """Each kind of prior state with each reading and message."""
    settled = settle_doubt(Doubt(prior, TRIED_AT), LaterReading(reading, messages, read_at), REMOVE_LEADER)
    assert settled == expected


def test_a_role_that_another_account_gave_back_is_not_unchanged() -> None:
    """Where the prior state is unknown, our message shows that the role may have been taken: the row stays unknown."""
    messages = [removal(), removal("admin", TRIED_AT + 1, adds=True)]
    later = LaterReading(HAS, messages, SOON)
    assert settle_doubt(Doubt(UNREAD, TRIED_AT), later, REMOVE_LEADER) is None


def test_a_change_back_as_old_as_the_reading_is_not_sure() -> None:
    """Whether the reading saw the role before or after both changes is not known: the outcome is inferred."""
    messages = [removal(at=READ_AT + 800), removal("admin", READ_AT + 900, adds=True)]
    later = LaterReading(HAS, messages, SOON)
    settled = settle_doubt(Doubt(LED, TRIED_AT), later, REMOVE_LEADER)
    assert settled == (FAILED, ROLE_UNCHANGED, Evidence.INFERRED)


def test_an_operation_that_gives_a_role_is_the_mirror() -> None:
    """A member before and the role there now: added; the role not there: as before."""
    adds = OPERATIONS["groups.addLeader"]
    member = Doubt(LED._replace(state=PriorState.MEMBER), TRIED_AT)
    added = settle_doubt(member, LaterReading(HAS, [removal(adds=True)], SOON), adds)
    assert added == (Outcome.ADDED, "", Evidence.MESSAGE)
    assert settle_doubt(member, LaterReading(GONE, [], SOON), adds) == (FAILED, ROLE_UNCHANGED, Evidence.ROLES)


def test_the_name_of_the_later_reading_is_used() -> None:
    """Messages name users by it, and the prior reading may not have had it."""
    nameless = Doubt(LED._replace(username=""), TRIED_AT)
    settled = settle_doubt(nameless, LaterReading(GONE, [removal()], LATE), REMOVE_LEADER)
    assert settled == (REMOVED, "", Evidence.MESSAGE)


GIVEN_BACK = [removal(), removal("admin", TRIED_AT + 1, adds=True)]


@pytest.mark.parametrize(
    ("prior", "reading", "messages", "read_at", "expected"),
    [
        (LED, GONE, [removal()], LATE, (REMOVED, "", Evidence.MESSAGE)),
        (LED, GONE, [removal("admin")], SOON, (NOT_LEADER, "removed_by_other", Evidence.MESSAGE)),
        (LED, GONE, [], SOON, (REMOVED, "", Evidence.ROLES)),
        (LED, GONE, [], LATE, (REMOVED, "", Evidence.INFERRED)),
        (LED, UNSURE, [], SOON, (REMOVED, "", Evidence.INFERRED)),
        (LED, RENAMED, [removal()], SOON, (REMOVED, "", Evidence.INFERRED)),
        (LED._replace(username=""), GONE, [removal()], LATE, (REMOVED, "", Evidence.MESSAGE)),
        (LED, HAS, GIVEN_BACK, SOON, (REMOVED, "", Evidence.MESSAGE)),
        (LED, HAS, [removal()], SOON, (REMOVED, "", Evidence.MESSAGE)),
        (LED, HAS, [removal("admin")], SOON, None),
        (LED, HAS, [], SOON, None),
        (LED, LEFT, [removal()], SOON, None),
        (LED, UNKNOWN, [removal()], SOON, None),
        (UNREAD, GONE, [removal()], SOON, None),
        (LED._replace(state=PriorState.MEMBER), GONE, [removal()], SOON, None),
    ],
)
def test_what_need_not_be_sent_again(
    prior: Prior,
    reading: RoleReading,
    messages: list[RoleMessage],
    read_at: int,
    expected: tuple[Outcome, str, Evidence] | None,
) -> None:
    """Only where the role is as wanted, or our message shows the change of a member's: else the row is sent."""
    later = LaterReading(reading, messages, read_at)
    assert settle_before_sending(Doubt(prior, TRIED_AT), later, REMOVE_LEADER) == expected


@pytest.mark.parametrize(("attempted_at", "until"), [(None, 0), (0, 120_000), (TRIED_AT, TRIED_AT + 120_000)])
def test_until_when_a_call_may_arrive(attempted_at: int | None, until: int) -> None:
    """So many seconds after the last attempt; a row without an attempt has no call."""
    assert arrives_until(Doubt(LED, attempted_at), 120.0) == until
