"""Logging in and out: a password, and a second factor where the user has one, for a token."""

from typing import Any

from rolecall.sandbox.answers import Answer, json_answer, success
from rolecall.sandbox.documents import user_document
from rolecall.sandbox.world import User, World

TOTP_DETAILS = {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]}


def login(world: World, _caller: str, params: Any) -> Answer:
    """Answer `POST login` with a new token, or with the 401 that says what is wrong or missing."""
    body = params if isinstance(params, dict) else {}
    user = _named(world, str(body.get("user") or body.get("username") or body.get("email") or ""))
    known = world.logins.get(user.id) if user else None
    if user is None or known is None or body.get("password") != known.password:
        return _refused("Unauthorized", "Unauthorized")
    if not user.active:
        return _refused("error-user-is-not-activated", "User is not activated")
    if known.code and not body.get("code"):
        return _refused("totp-required", "TOTP Required", TOTP_DETAILS)
    if known.code and body["code"] != known.code:
        return _refused("totp-invalid", "TOTP Invalid", TOTP_DETAILS)
    token = world.new_token(user.id)
    data = {"userId": user.id, "authToken": token, "me": user_document(user)}
    return success(status="success", data=data)


def logout(_world: World, _caller: str, _params: Any) -> Answer:
    """Answer `POST logout`; that the token ends is seen to where the token is known."""
    return json_answer(200, {"status": "success", "data": {"message": "You've been logged out!"}})


def _named(world: World, name: str) -> User | None:
    """Return the user of this name or, where it has an `@`, of this address."""
    if "@" not in name:
        return world.named(name)
    return next((user for user in world.users.values() if user.email.lower() == name.lower()), None)


def _refused(error: str, message: str, details: dict[str, Any] | None = None) -> Answer:
    """Return the 401 of a login; wrong names and wrong passwords look alike."""
    payload = {"success": False, "status": "error", "error": error, "message": message}
    return json_answer(401, {**payload, "details": details} if details else payload)
