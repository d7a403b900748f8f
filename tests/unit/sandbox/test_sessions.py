"""Logging in and out."""

from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, Limiter, World
from rolecall.sandbox.request_handler import Request, handle_request
from tests.unit.sandbox.api_calls import call_api, workspace


def world_with_login(code: str = "") -> World:
    """Return a world in which one user can log in."""
    world = workspace()
    world.add_user("LEAD", username="finance.lead", email="lead@example.org")
    world.set_login("LEAD", "correct horse", code=code)
    return world


@pytest.mark.parametrize("name", [{"user": "finance.lead"}, {"user": "Lead@example.org"}, {"username": "finance.lead"}])
def test_a_login_returns_a_valid_token(name: dict[str, str]) -> None:
    """Name or address and the password open a new session each time."""
    world = world_with_login()
    responses = [call_api(world, "login", post={**name, "password": "correct horse"}) for _ in range(2)]
    assert [(status, body["status"], body["data"]["userId"]) for status, body in responses] == [
        (200, "success", "LEAD")
    ] * 2
    tokens = {body["data"]["authToken"] for _, body in responses}
    assert len(tokens) == 2
    assert all(world.authenticate("LEAD", token) == "LEAD" for token in tokens)


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
    """A wrong name and a wrong password have the same error; a missing or wrong second factor has its own."""
    status, payload = call_api(world_with_login(code), "login", post=body)
    assert (status, payload["status"], payload["error"], payload["message"]) == (
        401,
        "error",
        error,
        message,
    )
    assert ("details" in payload) == error.startswith("totp")


def test_a_login_with_the_second_factor_succeeds() -> None:
    """With the right code the login returns 200."""
    body = {"user": "finance.lead", "password": "correct horse", "code": "123456"}
    assert call_api(world_with_login("123456"), "login", post=body)[0] == 200


def test_a_deactivated_user_cannot_log_in_and_has_no_sessions() -> None:
    """Deactivation revokes the tokens, and the next login has its own error."""
    world = world_with_login()
    token = call_api(world, "login", post={"user": "finance.lead", "password": "correct horse"})[1]["data"]["authToken"]
    world.deactivate("LEAD")
    assert world.authenticate("LEAD", token) is None
    assert world.authenticate(*ACCOUNT) == ACCOUNT.user_id
    status, payload = call_api(world, "login", post={"user": "finance.lead", "password": "correct horse"})
    assert (status, payload["error"]) == (401, "error-user-is-not-activated")


def test_a_logout_revokes_its_own_token() -> None:
    """After the logout the same token is rejected."""
    world = workspace()
    status, body = call_api(world, "logout", post={})
    assert (status, body["data"]["message"]) == (200, "You've been logged out!")
    assert call_api(world, "logout", post={})[0] == 401


def test_logins_are_limited_for_every_account() -> None:
    """The caller of a login is not known yet, so no account bypasses the rate limiter."""
    world = world_with_login()
    limiter = Limiter(2)
    request = Request("POST", "/api/v1/login", "127.0.0.1", *ACCOUNT, {"user": "finance.lead", "password": "wrong"})
    assert [handle_request(world, limiter, request, 0.0, 0.0).status for _ in range(3)] == [401, 401, 429]
