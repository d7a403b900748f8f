"""The parts of a search that need no workspace: the query, its exclusions, and why a lookup is incomplete."""

from dataclasses import replace

import pytest

from rolecall.engine.directory.find_query import GAP_HINTS, Exclusions, FindQuery, to_gap
from rolecall.rocketchat.error_table import PROXY_ERROR, ROOM_ARCHIVED
from rolecall.rocketchat.operations import Role
from rolecall.rocketchat.response_classifier import CallResult


def test_every_change_of_a_question_is_another_question() -> None:
    """The digest, by which unfinished work is known, depends on every part of the query."""
    question = FindQuery(people=("u1", "u2"), rooms=("r",))
    others = [
        replace(question, role=Role.OWNER),
        replace(question, kind="channels"),
        replace(question, people=("u1",)),
        replace(question, people=("u2", "u1")),
        replace(question, rooms=()),
        replace(question, all_rooms=True),
        replace(question, deactivated=True),
    ]
    assert len({each.digest for each in [question, *others]}) == len(others) + 1
    assert question.digest == FindQuery(people=("u1", "u2"), rooms=("r",)).digest


@pytest.mark.parametrize(
    ("word", "keeps"),
    [
        ("u1", False),
        ("@anna", False),
        ("anna", False),
        ("r1", False),
        ("#budget", False),
        ("budget", False),
        ("@budget", True),
        ("#anna", True),
        ("@Anna", False),
        ("#Budget", False),
        ("U1", True),
        ("u", True),
        ("@", True),
    ],
)
def test_an_exception_is_known_by_id_or_name(word: str, keeps: bool) -> None:
    """A mark says whether a user or a room is meant; a bare word is any of them; each word counts its rows."""
    exceptions = Exclusions((word,))
    assert exceptions.keeps("u1", "anna", "r1", "budget") is keeps
    assert exceptions.left_out == {word: 0 if keeps else 1}


def test_a_user_without_a_name_is_not_excepted_by_chance() -> None:
    """Missing names match no word."""
    assert Exclusions(("@", "#", "")).keeps("u1", "", "r1", "")


@pytest.mark.parametrize(
    ("meaning", "reason", "detail"),
    [(ROOM_ARCHIVED, "room_archived", ""), (PROXY_ERROR, "not_read", "proxy_error: 502 Bad Gateway")],
)
def test_a_refusal_says_what_was_not_seen(meaning: object, reason: str, detail: str) -> None:
    """A known refusal has its own hint, anything else the server's words."""
    unseen = to_gap(CallResult(meaning, "", "502 Bad Gateway", 502), "r1")  # type: ignore[arg-type]  # one of the table
    assert unseen == (reason, "r1", detail)
    assert reason in GAP_HINTS
