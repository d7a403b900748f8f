"""Messages that come in through the API: by an account, or through a webhook that needs none."""

from typing import Any

from rolecall.sandbox.answers import Answer, invalid_params, json_answer, plain_refusal, refusal, success
from rolecall.sandbox.call_log import Post
from rolecall.sandbox.documents import STAMP, mention
from rolecall.sandbox.world import Room, World


def post_message(world: World, caller: str, params: Any) -> Answer:
    """Answer `POST chat.postMessage`: into a room by id, name or `#name`, or to `@user`.

    A private group takes messages of its members only; a public channel is joined by the way.
    """
    body = params if isinstance(params, dict) else {}
    target = body.get("roomId") or body.get("channel")
    if not isinstance(target, str):
        return invalid_params("must have required property 'roomId'\n must match exactly one schema in oneOf")
    room = _target(world, caller, target)
    if room is None:
        return refusal("invalid-channel", "")
    if room.type != "c" and caller not in room.members:
        return plain_refusal("error-not-allowed")
    room.members.setdefault(caller, None)
    post = _post(world, room, caller, body, "chat.postMessage")
    message = {
        "_id": f"message{len(world.record.posts)}",
        "rid": room.id,
        "msg": post.text,
        "alias": post.alias,
        "ts": STAMP,
        "u": mention(world.users[caller]),
        "groupable": False,
        "parseUrls": True,
        "_updatedAt": STAMP,
    }
    return success(ts=1_767_323_045_678, channel=target, message=message)


def post_by_hook(hook_id: str, token: str, world: World, _caller: str, params: Any) -> Answer:
    """Answer `POST /hooks/<id>/<token>`: the text appears in the webhook's own room; an empty body is no message."""
    hook = world.hooks.get(hook_id)
    if hook is None or hook.token != token:
        return json_answer(404, {"success": False, "error": "Invalid integration id or token provided."})
    if not isinstance(params, dict) or not params:
        return success()
    if params.get("channel") or params.get("roomId"):
        return plain_refusal("overriding destination channel is disabled for this integration")
    _post(world, world.rooms[hook.room_id], hook.user_id, params, "hooks")
    return success()


def _target(world: World, caller: str, target: str) -> Room | None:
    """Return the room that is meant: `#` names a room, `@` a user, anything else first the one, then the other."""
    name = target.removeprefix("#")
    if not target.startswith("@"):
        room = world.rooms.get(name) or world.find_room({"roomName": name})
        return room or (None if target.startswith("#") else _direct(world, caller, target))
    user = world.users.get(target[1:]) or world.named(target[1:])
    return _direct(world, caller, user.id) if user else None


def _direct(world: World, caller: str, user_id: str) -> Room | None:
    """Return the conversation with this user, a new one where there was none."""
    if user_id not in world.users:
        return None
    room_id = "".join(sorted((caller, user_id)))
    if room_id not in world.rooms:
        world.add_room(room_id, name=world.users[user_id].username or user_id, type="d")
        for member in {caller, user_id}:
            world.join(room_id, member, None)
    return world.rooms[room_id]


def _post(world: World, room: Room, user_id: str, body: dict[str, Any], route: str) -> Post:
    """Write a message down."""
    text = str(body.get("text") or body.get("msg") or "").strip()
    post = Post(room.id, user_id, text, str(body.get("username") or body.get("alias") or ""), route)
    world.record.posts.append(post)
    return post
