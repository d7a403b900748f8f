"""Users and rooms as the answers tell them: a field that has no value is absent."""

from typing import Any

from rolecall.sandbox.world import Room, User, World

STAMP = "2026-01-02T03:04:05.678Z"
"""Every time that an answer tells of the past: a sandbox has no history."""


def user_document(user: User) -> dict[str, Any]:
    """Return everything that may be told of a user; routes leave out what their caller may not see."""
    return _filled(
        {
            "_id": user.id,
            "username": user.username,
            "name": user.name or user.username,
            "emails": [{"address": user.email, "verified": True}] if user.email else None,
            "type": "user",
            "status": "offline",
            "active": user.active,
            "roles": list(user.roles),
            "lastLogin": STAMP,
        }
    )


def mention(user: User) -> dict[str, Any]:
    """Return a user as other documents name them, under `u`."""
    return _filled({"_id": user.id, "username": user.username or "", "name": user.name or None})


def room_document(world: World, room: Room) -> dict[str, Any]:
    """Return a room; its maker is its first owner, else its first member."""
    makers = sorted(room.members, key=lambda user_id: not room.has_role(user_id, "owner"))
    return _filled(
        {
            "_id": room.id,
            "name": room.name,
            "fname": room.name,
            "t": room.type,
            "msgs": message_count(world, room),
            "usersCount": len(room.members),
            "u": mention(world.users[makers[0]]) if makers else None,
            "ts": STAMP,
            "ro": False,
            "default": False,
            "sysMes": True,
            "archived": room.archived or None,
            "_updatedAt": STAMP,
        }
    )


def subscription_document(room: Room, user_id: str) -> dict[str, Any]:
    """Return one membership as `users.info` tells it; `roles` may be empty, or absent where it was never set."""
    roles = room.members[user_id]
    return _filled(
        {
            "_id": f"{room.id}{user_id}",
            "rid": room.id,
            "name": room.name,
            "t": room.type,
            "unread": 0,
            "roles": None if roles is None else list(roles),
        }
    )


def message_count(world: World, room: Room) -> int:
    """Return how many messages stand in a room."""
    posted = sum(post.room_id == room.id for post in world.record.posts)
    return posted + sum(message.room_id == room.id for message in world.record.messages)


def _filled(document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {key: value for key, value in document.items() if value is not None}
