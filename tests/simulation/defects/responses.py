"""Defects of the classification of responses."""

from collections.abc import Callable
from typing import Any

from rolecall.engine import row_call
from rolecall.models import NoReply
from rolecall.rocketchat.error_table import FORBIDDEN, USER_NOT_IN_ROOM, Action, ErrorScope
from tests.simulation.defects.registry import Replacement, defect


def _classifier() -> Any:
    return getattr(row_call, "classify")  # noqa: B009 - the module does not export it


def _reclassified(is_wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> list[Replacement]:
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        result = right(reply, operation)
        return result._replace(rule=change(result.rule)) if is_wanted(reply) else result

    return [(row_call, "classify", classify)]


def _not_carried_out(rule: Any) -> Any:
    return rule._replace(maybe_done=False)


def _status(*statuses: int) -> Callable[[Any], bool]:
    return lambda reply: getattr(reply, "status", None) in statuses


@defect
def _gateway_trusted() -> list[Replacement]:
    """Take a 502 as 'not carried out'."""
    return _reclassified(_status(502), _not_carried_out)


@defect
def _redirect_trusted() -> list[Replacement]:
    """Take a redirect as 'not carried out'."""
    return _reclassified(_status(302), _not_carried_out)


@defect
def _untyped_refusal_trusted() -> list[Replacement]:
    """Take an untyped 400 as 'not carried out'."""
    return _reclassified(
        lambda reply: _status(400)(reply) and b"not primary" in reply.body,
        lambda rule: rule._replace(maybe_done=False),
    )


@defect
def _page_403_believed() -> list[Replacement]:
    """Believe the page of a 403."""
    return _reclassified(
        lambda reply: _status(403)(reply) and reply.body[:1] == b"<", lambda _: FORBIDDEN._replace(scope=ErrorScope.ROW)
    )


@defect
def _timeout_not_sent() -> list[Replacement]:
    """Take a timeout as 'not sent'."""
    return _reclassified(lambda reply: isinstance(reply, NoReply) and reply.reason == "timeout", _not_carried_out)


@defect
def _lost_answer_not_sent() -> list[Replacement]:
    """Take a broken connection as 'not sent'."""
    return _reclassified(lambda reply: isinstance(reply, NoReply) and reply.reason == "answer_lost", _not_carried_out)


@defect
def _any_200_believed() -> list[Replacement]:
    """Take every 200 as a success."""
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        is_200 = getattr(reply, "status", None) == 200
        return right(reply._replace(body=b'{"success":true}') if is_200 else reply, operation)

    return [(row_call, "classify", classify)]


@defect
def _429_counts() -> list[Replacement]:
    """Count a 429 as an attempt."""
    return _reclassified(_status(429), lambda rule: rule._replace(action=Action.RETRY))


@defect
def _refusal_repeated() -> list[Replacement]:
    """Repeat a call that was refused for good."""
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        result = right(reply, operation)
        if result.rule.action is Action.FINISH and result.status == 400:
            return result._replace(rule=result.rule._replace(action=Action.RETRY))
        return result

    return [(row_call, "classify", classify)]


@defect
def _room_condemned() -> list[Replacement]:
    """Condemn a room for a user who is not a member."""
    reason = USER_NOT_IN_ROOM.reason
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        result = right(reply, operation)
        if result.rule.reason != reason:
            return result
        return result._replace(rule=result.rule._replace(scope=ErrorScope.ROOM))

    return [(row_call, "classify", classify)]
