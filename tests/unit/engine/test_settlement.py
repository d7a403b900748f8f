"""The settlement table: every line, what holds of all of its cases, and whose call changed a role by its messages."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.engine.settlement import (
    ADDED_BY_OTHER,
    CHANGED_SINCE_READ,
    CONFIRMED_ON_RETRY,
    MESSAGE_TOLERANCE,
    NOT_NEEDED,
    REMOVED_BY_OTHER,
    ROLES_PROVE_FOR,
    SETTLEMENT_HINTS,
    TABLE,
    Case,
    Ending,
    Messages,
    Settlement,
    Verdict,
    can_change,
    do_roles_prove,
    ending_of_reading,
    find_change,
    has_changed_it,
    is_as_wanted,
    outcome_of,
    reason_of,
    settle,
)
from rolecall.models import Evidence, Outcome, Prior, PriorState
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation
from rolecall.rocketchat.responses import RoleMessage

ADD_LEADER = OPERATIONS["groups.addLeader"]
DONE, NOTHING, FAILED, UNKNOWN = Verdict.DONE, Verdict.NOTHING_TO_DO, Verdict.FAILED, Verdict.UNKNOWN
LEADER, UNREAD = True, False
"""The first field of a case: the prior state was read as one that the call can change; it is unknown."""
SURE, DOUBT = False, True
FLAGS = (True, False)
CASES = [Case(*values) for values in product(FLAGS, FLAGS, Ending, Messages, FLAGS, FLAGS)]


@pytest.mark.parametrize(
    ("case", "verdict", "evidence", "reason"),
    [
        # leader | OK, in doubt before or not
        (Case(LEADER, SURE, Ending.DONE), DONE, Evidence.RESPONSE, ""),
        (Case(LEADER, DOUBT, Ending.DONE), DONE, Evidence.RESPONSE, ""),
        # leader | ALREADY, not in doubt
        (Case(LEADER, SURE, Ending.NOOP, Messages.OURS), DONE, Evidence.MESSAGE, ""),
        (Case(LEADER, SURE, Ending.NOOP, Messages.OTHERS), NOTHING, Evidence.MESSAGE, REMOVED_BY_OTHER),
        (Case(LEADER, SURE, Ending.NOOP, Messages.NONE), NOTHING, Evidence.INFERRED, CHANGED_SINCE_READ),
        # leader, D | ALREADY, or a reading shows the role gone
        *(
            line
            for ending in (Ending.NOOP, Ending.AS_WANTED)
            for line in (
                (Case(LEADER, DOUBT, ending, Messages.OURS), DONE, Evidence.MESSAGE, ""),
                (Case(LEADER, DOUBT, ending, Messages.OTHERS), NOTHING, Evidence.MESSAGE, REMOVED_BY_OTHER),
                (Case(LEADER, DOUBT, ending, Messages.NONE), DONE, Evidence.ROLES, ""),
                (Case(LEADER, DOUBT, ending, Messages.NONE, roles_prove=False), DONE, Evidence.INFERRED, ""),
            )
        ),
        # leader, D | attempts used up, role still present
        (Case(LEADER, DOUBT, Ending.UNCHANGED, only_refusals=True), FAILED, Evidence.RESPONSE, None),
        (Case(LEADER, DOUBT, Ending.UNCHANGED), UNKNOWN, None, None),
        (Case(LEADER, DOUBT, Ending.EXHAUSTED, only_refusals=True), UNKNOWN, None, None),
        (Case(LEADER, DOUBT, Ending.EXHAUSTED), UNKNOWN, None, None),
        # leader, D | REFUSED
        (Case(LEADER, DOUBT, Ending.REFUSED, Messages.OURS), DONE, Evidence.MESSAGE, ""),
        (Case(LEADER, DOUBT, Ending.REFUSED, Messages.OTHERS), UNKNOWN, None, None),
        (Case(LEADER, DOUBT, Ending.REFUSED, Messages.NONE), UNKNOWN, None, None),
        # unknown | OK
        (Case(UNREAD, SURE, Ending.DONE), DONE, Evidence.INFERRED, ""),
        (Case(UNREAD, DOUBT, Ending.DONE), DONE, Evidence.INFERRED, ""),
        # unknown | ALREADY, not in doubt
        (Case(UNREAD, SURE, Ending.NOOP), NOTHING, Evidence.INFERRED, ""),
        # unknown, D | ALREADY
        (Case(UNREAD, DOUBT, Ending.NOOP, Messages.OURS), DONE, Evidence.MESSAGE, ""),
        (Case(UNREAD, DOUBT, Ending.NOOP, Messages.OTHERS), NOTHING, Evidence.MESSAGE, REMOVED_BY_OTHER),
        (Case(UNREAD, DOUBT, Ending.NOOP, Messages.NONE), DONE, Evidence.INFERRED, CONFIRMED_ON_RETRY),
        # unknown, D | REFUSED: the message does not prove that the role was there
        (Case(UNREAD, DOUBT, Ending.REFUSED, Messages.OURS), UNKNOWN, None, None),
        (Case(UNREAD, DOUBT, Ending.REFUSED, Messages.NONE), UNKNOWN, None, None),
        # leader or unknown | REFUSED, not in doubt
        (Case(LEADER, SURE, Ending.REFUSED), FAILED, Evidence.RESPONSE, None),
        (Case(UNREAD, SURE, Ending.REFUSED), FAILED, Evidence.RESPONSE, None),
        # attempts used up: never carried out, or not known
        (Case(LEADER, SURE, Ending.EXHAUSTED), FAILED, None, None),
        (Case(UNREAD, SURE, Ending.EXHAUSTED), FAILED, None, None),
        (Case(UNREAD, DOUBT, Ending.EXHAUSTED, only_refusals=True), UNKNOWN, None, None),
    ],
)  # fmt: skip
def test_every_line_of_the_table(case: Case, verdict: Verdict, evidence: Evidence | None, reason: str | None) -> None:
    """Each cell of the specification; without a reason the row has that of its last response."""
    assert settle(case) == Settlement(verdict, evidence, reason)


def test_every_line_is_reached() -> None:
    """No line of the table is hidden by an earlier one."""
    reached = set()
    for case in CASES:
        matching = [
            number
            for number, rule in enumerate(TABLE)
            if rule.can_change in (None, case.can_change)
            and rule.in_doubt in (None, case.in_doubt)
            and case.ending in rule.endings
            and rule.messages in (None, case.messages)
        ]
        reached.add(matching[0])
    assert reached == set(range(len(TABLE)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_holds_of_every_case(case: Case) -> None:
    """Every case has a settlement, and no settlement claims more than its case shows."""
    settlement = settle(case)
    verdict, evidence, _ = settlement
    is_gone = case.ending in (Ending.NOOP, Ending.AS_WANTED)
    if verdict is DONE:  # only with a reason to believe that a call of ours did it
        assert case.ending is Ending.DONE or case.messages is Messages.OURS or (case.in_doubt and is_gone)
    if verdict is NOTHING:  # only if the role is as wanted, and not by a message of ours
        assert is_gone
        assert case.messages is not Messages.OURS or not (case.in_doubt or case.can_change)
    if verdict is FAILED:  # never while a call may have been carried out
        assert not case.in_doubt or (case.only_refusals and case.ending is Ending.UNCHANGED and case.can_change)
    if case.in_doubt and case.ending is Ending.EXHAUSTED:
        assert verdict is UNKNOWN
    assert (evidence is None) == (verdict is UNKNOWN or (verdict is FAILED and case.ending is not Ending.REFUSED
                                                         and not case.in_doubt))  # fmt: skip
    if evidence is Evidence.MESSAGE:
        assert case.messages in (Messages.OURS, Messages.OTHERS)
    if evidence is Evidence.ROLES:
        assert case.can_change
        assert case.roles_prove
    if (
        evidence is Evidence.INFERRED and verdict is DONE
    ):  # exactly where the prior is unknown, the roles are old, or a name is unsure
        assert not case.can_change or not case.roles_prove or case.messages is Messages.UNSURE
    if verdict is DONE and not case.can_change:
        assert evidence in (Evidence.INFERRED, Evidence.MESSAGE)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_the_words_are_those_of_the_operation(operation: Operation) -> None:
    """The table is mirrored for adding: outcomes, the state that can be changed, and who was faster."""
    assert outcome_of(DONE, operation) is operation.done
    assert outcome_of(NOTHING, operation) is operation.nothing_to_do
    assert outcome_of(FAILED, operation) is Outcome.FAILED
    assert outcome_of(UNKNOWN, operation) is Outcome.UNKNOWN
    by_other = settle(Case(LEADER, DOUBT, Ending.NOOP, Messages.OTHERS))
    assert reason_of(by_other, operation, "last") == (ADDED_BY_OTHER if operation.adds else REMOVED_BY_OTHER)
    before, after = PriorState.HAS_ROLE, PriorState.MEMBER
    if operation.adds:
        before, after = after, before
    assert [state for state in PriorState if can_change(state, operation)] == [before]
    assert [state for state in PriorState if is_as_wanted(state, operation)] == [after]
    assert {state: ending_of_reading(state, operation) for state in PriorState} == {
        before: Ending.UNCHANGED,
        after: Ending.AS_WANTED,
        PriorState.STRANGER: Ending.REFUSED,
        PriorState.UNKNOWN: Ending.EXHAUSTED,
    }


def test_a_row_without_a_reason_of_its_own_has_that_of_its_last_response() -> None:
    """Refusals and rows that stay unknown are reported with the reason of the response; a proof needs none."""
    assert reason_of(settle(Case(LEADER, SURE, Ending.REFUSED)), REMOVE_LEADER, "not_allowed") == "not_allowed"
    assert reason_of(settle(Case(LEADER, DOUBT, Ending.EXHAUSTED)), REMOVE_LEADER, "timeout") == "timeout"
    assert reason_of(settle(Case(LEADER, DOUBT, Ending.DONE)), REMOVE_LEADER, "timeout") == ""


def test_every_reason_of_the_table_has_a_hint() -> None:
    """What the table gives as a reason is explained, for both directions."""
    reasons = {rule.settlement.reason for rule in TABLE} - {"", None}
    assert reasons | {ADDED_BY_OTHER, NOT_NEEDED} <= set(SETTLEMENT_HINTS)


@pytest.mark.parametrize(
    ("attempted_at", "proves"),
    [(None, False), (1_000_000, True), (1_000_000 - ROLES_PROVE_FOR, True), (999_999 - ROLES_PROVE_FOR, False)],
)
def test_how_long_roles_prove_an_attempt(attempted_at: int | None, proves: bool) -> None:
    """A role that is gone proves an attempt for ten minutes, and none whose moment is not known."""
    assert do_roles_prove(attempted_at, 1_000_000) is proves


READ_AT = 100_000
PRIOR = Prior(PriorState.HAS_ROLE, READ_AT, "anna", ("bot-1", "bot-2"))


def removed(account: str, at: int = READ_AT + 1, *, user: str = "anna", role: str = "leader") -> RoleMessage:
    """Return the message of a removal."""
    return RoleMessage(False, user, role, account, at)


def added(account: str, at: int = READ_AT + 1, *, user: str = "anna", role: str = "leader") -> RoleMessage:
    """Return the message of an addition."""
    return RoleMessage(True, user, role, account, at)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], Messages.NONE),
        ([removed("bot-1")], Messages.OURS),
        ([removed("bot-2")], Messages.OURS),  # the account of an earlier session
        ([removed("boss")], Messages.OTHERS),
        ([removed("")], Messages.OTHERS),
        ([removed("bot-1"), removed("boss", READ_AT + 2)], Messages.OURS),
        ([removed("boss"), removed("bot-1", READ_AT + 2)], Messages.OURS),
        # The window begins a tolerance before the reading.
        ([removed("bot-1", READ_AT - MESSAGE_TOLERANCE)], Messages.OURS),
        ([removed("bot-1", READ_AT - MESSAGE_TOLERANCE - 1)], Messages.NONE),
        ([removed("bot-1", READ_AT - MESSAGE_TOLERANCE - 1), removed("boss")], Messages.OTHERS),
        # A later addition cancels what came before it; perhaps the reading came after both, perhaps between them.
        ([added("boss")], Messages.NONE),
        ([removed("boss"), added("boss", READ_AT + 2)], Messages.UNSURE),
        ([removed("bot-1"), added("boss", READ_AT + 2)], Messages.UNSURE),
        ([removed("bot-1"), added("boss", READ_AT + 2), removed("boss", READ_AT + 3)], Messages.UNSURE),
        ([removed("boss"), added("boss", READ_AT + 2), removed("bot-1", READ_AT + 3)], Messages.OURS),
        ([added("boss"), removed("bot-1", READ_AT + 2)], Messages.OURS),
        # Unless it came after the prior reading: then our change was between the two.
        ([removed("bot-1"), added("boss", READ_AT + 9_000), removed("boss", READ_AT + 9_001)], Messages.OURS),
        # Other users and other roles are nothing to this row.
        ([removed("bot-1", user="bert")], Messages.NONE),
        ([removed("bot-1", role="owner")], Messages.NONE),
        ([removed("bot-1"), added("boss", READ_AT + 2, user="bert")], Messages.OURS),
        ([removed("bot-1"), added("boss", READ_AT + 2, role="owner")], Messages.OURS),
    ],
)
@pytest.mark.parametrize("operation", [REMOVE_LEADER, ADD_LEADER], ids=["remove", "add"])
def test_whose_call_changed_the_role(messages: list[RoleMessage], expected: Messages, operation: Operation) -> None:
    """Messages of this user and role since the reading count; an account of any session is ours; adding is mirrored."""
    prior = PRIOR
    if operation.adds:
        messages = [message._replace(adds=not message.adds) for message in messages]
        prior = PRIOR._replace(state=PriorState.MEMBER)
    assert find_change(messages, prior, operation) is expected


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([removed("bot-1")], Messages.UNSURE),
        ([removed("boss", user="clara")], Messages.UNSURE),
        (
            [removed("bot-1", READ_AT - MESSAGE_TOLERANCE - 1), added("bot-1"), removed("bot-1", user="bert")],
            Messages.NONE,
        ),
    ],
)
def test_messages_about_a_renamed_user_may_be_about_another(messages: list[RoleMessage], expected: Messages) -> None:
    """Each of the two names may be that of another user meanwhile; messages about neither are no evidence."""
    assert find_change(messages, PRIOR, REMOVE_LEADER, "clara") is expected
    assert find_change([removed("bot-1")], PRIOR, REMOVE_LEADER, "anna") is Messages.OURS


def test_refusals_settle_no_row_whose_messages_are_unsure() -> None:
    """The role is as before and only refusals came; where a change was changed back, ours may be that change."""
    case = Case(True, True, Ending.UNCHANGED, only_refusals=True)
    assert settle(case).verdict is Verdict.FAILED
    assert settle(case._replace(messages=Messages.UNSURE)).verdict is Verdict.UNKNOWN


def test_where_the_prior_state_is_unknown_a_change_back_leaves_ours_unsure() -> None:
    """The server posts a message for a member without the role too: ours may have taken it, or found nothing."""
    prior = PRIOR._replace(state=PriorState.UNKNOWN)
    messages = [removed("bot-1"), added("boss", READ_AT + 9_000), removed("boss", READ_AT + 9_001)]
    assert find_change(messages, prior, REMOVE_LEADER) is Messages.UNSURE
    assert find_change(messages[1:], prior, REMOVE_LEADER) is Messages.OTHERS


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([removed("bot-1", READ_AT + 1)], True),
        ([removed("boss", READ_AT + 1)], False),
        # Changed back after the prior reading, which saw the role before our change.
        ([removed("bot-1", READ_AT + 1), added("boss", READ_AT + MESSAGE_TOLERANCE + 1)], True),
        ([removed("bot-1", READ_AT + 1), added("boss", READ_AT + 9_000), removed("boss", READ_AT + 9_001)], True),
        # Perhaps changed back before it: our change may be that of an earlier run.
        ([removed("bot-1", READ_AT - 1), added("boss", READ_AT)], False),
        ([removed("bot-1", READ_AT + 1), added("boss", READ_AT + MESSAGE_TOLERANCE)], False),
        ([removed("bot-1", READ_AT - 1), added("boss", READ_AT), removed("bot-2", READ_AT + 5)], True),
    ],
)
@pytest.mark.parametrize("operation", [REMOVE_LEADER, ADD_LEADER], ids=["remove", "add"])
def test_a_change_of_ours_counts_although_it_was_changed_back(
    messages: list[RoleMessage], expected: bool, operation: Operation
) -> None:
    """Unless the prior reading may have seen the role after both changes."""
    if operation.adds:
        messages = [message._replace(adds=not message.adds) for message in messages]
    assert has_changed_it(messages, PRIOR, operation) is expected


@pytest.mark.parametrize("prior", [PRIOR._replace(username=""), PRIOR._replace(read_at=None)])
def test_without_a_name_or_a_moment_no_message_counts(prior: Prior) -> None:
    """A message names the user by username, and counts from the moment of the reading on."""
    messages = [removed("bot-1"), removed("", user="")]
    assert find_change(messages, prior, REMOVE_LEADER) is Messages.NONE
    assert find_change(messages, prior, REMOVE_LEADER, "anna") is Messages.NONE
    assert not has_changed_it(messages, prior, REMOVE_LEADER)


def test_without_accounts_every_message_is_of_others() -> None:
    """A row that no account of this run has sent was changed by somebody else."""
    assert find_change([removed("bot-1")], PRIOR._replace(accounts=()), REMOVE_LEADER) is Messages.OTHERS


@given(
    st.lists(
        st.builds(
            RoleMessage,
            adds=st.booleans(),
            username=st.sampled_from(["anna", "bert"]),
            role=st.sampled_from(["leader", "owner"]),
            account_id=st.sampled_from(["bot-1", "bot-2", "boss"]),
            at=st.integers(READ_AT - 2 * MESSAGE_TOLERANCE, READ_AT + 10),
        ),
        max_size=8,
    )
)
def test_ours_needs_a_message_of_ours_that_nothing_cancels(messages: list[RoleMessage]) -> None:
    """OURS only if an account of ours removed the role after the last addition, OTHERS only if none ever did."""
    messages.sort(key=lambda message: message.at)
    change = find_change(messages, PRIOR, REMOVE_LEADER)
    own = [each for each in messages if (each.username, each.role) == ("anna", "leader")]
    own = [each for each in own if each.at >= READ_AT - MESSAGE_TOLERANCE]
    has_any = any(not each.adds for each in own)
    has_ours = any(each.account_id in PRIOR.accounts and not each.adds for each in own)
    while any(each.adds for each in own):
        own = own[[each.adds for each in own].index(True) + 1 :]
    accounts = {each.account_id for each in own}
    others = Messages.OTHERS if accounts and not has_ours else Messages.UNSURE if has_any else Messages.NONE
    expected = Messages.OURS if accounts & {"bot-1", "bot-2"} else others
    assert change is expected
