"""Logging in and out."""

from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, Limiter, World
from rolecall.sandbox.request_handler import Incoming, answer_call
from tests.unit.sandbox.asking import ask, workspace


def guarded(code: str = "") -> World:
    """Return a world in which one person can log in."""
    world = workspace()
    world.add_user("LEAD", username="finance.lead", email="lead@example.org")
    world.set_login("LEAD", "correct horse", code=code)
    return world


@pytest.mark.parametrize("name", [{"user": "finance.lead"}, {"user": "Lead@example.org"}, {"username": "finance.lead"}])
def test_a_login_gives_a_token_that_works(name: dict[str, str]) -> None:
    """Name or address and the password open a session of its own each time."""
    world = guarded()
    answers = [ask(world, "login", post={**name, "password": "correct horse"}) for _ in range(2)]
    assert [(status, body["status"], body["data"]["userId"]) for status, body in answers] == [
        (200, "success", "LEAD")
    ] * 2
    tokens = {body["data"]["authToken"] for _, body in answers}
    assert len(tokens) == 2
    assert all(world.caller("LEAD", token) == "LEAD" for token in tokens)


@pytest.mark.parametrize(
    ("body", "code", "error", "message"),
    [
        ({"user": "finance.lead", "password": "wrong"}, "", "Unauthorized", "Unauthorized"),
        ({"user": "no.body", "password": "correct horse"}, "", "Unauthorized", "Unauthorized"),
        ({"user": "bulk.bot", "password": ""}, "", "Unauthorized", "Unauthorized"),
        ({}, "", "Unauthorized", "Unauthorized"),
        ([], "", "Unauthorized", "Unauthorized"),
        ({"user": "finance.lead", "password": "wrong"}, "123456", "Unauthorized", "Unauthorized"),
        ({"user": "finance.lead", "password": "correct horse"}, "123456", "totp-required", "TOTP Required"),
        (
            {"user": "finance.lead", "password": "correct horse", "code": "000000"},
            "123456",
            "totp-invalid",
            "TOTP Invalid",
        ),
    ],
)
def test_a_login_is_refused(body: Any, code: str, error: str, message: str) -> None:
    """Wrong names and wrong passwords look alike; a missing or wrong second factor is named."""
    status, answer = ask(guarded(code), "login", post=body)
    assert (status, answer["status"], answer["error"], answer["message"]) == (401, "error", error, message)
    assert ("details" in answer) == error.startswith("totp")


def test_a_second_factor_opens() -> None:
    """With the code the login succeeds."""
    body = {"user": "finance.lead", "password": "correct horse", "code": "123456"}
    assert ask(guarded("123456"), "login", post=body)[0] == 200


def test_a_deactivated_user_cannot_log_in_and_loses_all_sessions() -> None:
    """Deactivation ends tokens and says so at the next login."""
    world = guarded()
    token = ask(world, "login", post={"user": "finance.lead", "password": "correct horse"})[1]["data"]["authToken"]
    world.deactivate("LEAD")
    assert world.caller("LEAD", token) is None
    assert world.caller(*ACCOUNT) == ACCOUNT.user_id
    status, answer = ask(world, "login", post={"user": "finance.lead", "password": "correct horse"})
    assert (status, answer["error"]) == (401, "error-user-is-not-activated")


def test_a_logout_ends_the_token_that_it_came_with() -> None:
    """Afterwards the same token is refused."""
    world = workspace()
    status, body = ask(world, "logout", post={})
    assert (status, body["data"]["message"]) == (200, "You've been logged out!")
    assert ask(world, "logout", post={})[0] == 401


def test_logins_are_limited_whoever_asks() -> None:
    """Nobody is known yet when a login is counted, so no account bypasses its window."""
    world = guarded()
    limiter = Limiter(2)
    call = Incoming("POST", "/api/v1/login", "127.0.0.1", *ACCOUNT, {"user": "finance.lead", "password": "wrong"})
    assert [answer_call(world, limiter, call, 0.0, 0.0).status for _ in range(3)] == [401, 401, 429]
