"""Messages through the API: which room gets them, and which are refused."""

from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, Post, World
from tests.unit.sandbox.api_calls import call_api, workspace

WEBHOOK = "/hooks/hook1/secret"


def rooms() -> World:
    """Return a world with a joined group, an unjoined one, a channel, and a webhook into the group."""
    world = workspace()
    world.add_user("LEAD", username="finance.lead")
    world.add_room("GROUP", name="operations")
    world.join("GROUP", ACCOUNT.user_id)
    world.add_room("HIDDEN", name="hidden")
    world.add_room("CHANNEL", name="announcements", type="c")
    world.add_webhook("hook1", "secret", "GROUP", "LEAD")
    return world


@pytest.mark.parametrize(
    ("target", "room_id"),
    [
        ({"roomId": "GROUP"}, "GROUP"),
        ({"roomId": "operations"}, "GROUP"),
        ({"channel": "#operations"}, "GROUP"),
        ({"channel": "#GROUP"}, "GROUP"),
        ({"channel": "#announcements"}, "CHANNEL"),
        ({"channel": "@finance.lead"}, f"LEAD{ACCOUNT.user_id}"),
        ({"roomId": "LEAD"}, f"LEAD{ACCOUNT.user_id}"),
    ],
)
def test_a_message_appears_in_its_target_room(target: dict[str, str], room_id: str) -> None:
    """A target is the id or name of a room, or a user with `@`; the record has the message and its room."""
    world = rooms()
    status, body = call_api(world, "chat.postMessage", post={**target, "text": " done ", "alias": "Rolecall"})
    assert (status, body["message"]["rid"], body["message"]["msg"]) == (200, room_id, "done")
    assert world.record.posts == [Post(room_id, ACCOUNT.user_id, "done", "Rolecall", "chat.postMessage")]
    assert ACCOUNT.user_id in world.rooms[room_id].members


@pytest.mark.parametrize(
    ("body", "response"),
    [
        (
            {"roomId": "nowhere"},
            {"success": False, "error": "[invalid-channel]", "errorType": "invalid-channel"},
        ),
        (
            {"channel": "#finance.lead"},
            {"success": False, "error": "[invalid-channel]", "errorType": "invalid-channel"},
        ),
        (
            {"channel": "@no.body"},
            {"success": False, "error": "[invalid-channel]", "errorType": "invalid-channel"},
        ),
        ({"roomId": "HIDDEN"}, {"success": False, "error": "error-not-allowed"}),
    ],
)
def test_a_message_is_refused(body: dict[str, str], response: dict[str, Any]) -> None:
    """An unknown room and a group that was not joined are refused, each with its own body, and nothing is posted."""
    world = rooms()
    assert call_api(world, "chat.postMessage", post={**body, "text": "done"}) == (400, response)
    assert world.record.posts == []


@pytest.mark.parametrize("body", [{"text": "done"}, {"roomId": 7}, [], "text"])
def test_a_message_without_a_room_is_refused(body: Any) -> None:
    """A body without a room does not match the schema."""
    assert call_api(rooms(), "chat.postMessage", post=body)[1]["errorType"] == "invalid-params"


def test_a_webhook_posts_without_an_account() -> None:
    """Id and token in the path are enough; the message is from the webhook's user, in the webhook's room."""
    world = rooms()
    assert call_api(world, "", path=WEBHOOK, post={"text": "nightly run", "username": "Rolecall"}) == (
        200,
        {"success": True},
    )
    assert world.record.posts == [Post("GROUP", "LEAD", "nightly run", "Rolecall", "hooks")]


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/hooks/hook1/wrong", {"text": "x"}, 404, "Invalid integration id or token provided."),
        ("/hooks/hook2/secret", {"text": "x"}, 404, "Invalid integration id or token provided."),
        (
            WEBHOOK,
            {"text": "x", "channel": "#x"},
            400,
            "overriding destination channel is disabled for this integration",
        ),
    ],
)
def test_a_webhook_is_refused(path: str, body: dict[str, str], status: int, error: str) -> None:
    """A wrong id, a wrong token and another room than the webhook's own are refused."""
    world = rooms()
    assert call_api(world, "", path=path, post=body) == (status, {"success": False, "error": error})
    assert world.record.posts == []


@pytest.mark.parametrize("body", [{}, [], "text"])
def test_a_webhook_without_a_payload_posts_nothing(body: Any) -> None:
    """An empty body returns 200 and posts nothing."""
    world = rooms()
    assert call_api(world, "", path=WEBHOOK, post=body) == (200, {"success": True})
    assert world.record.posts == []
