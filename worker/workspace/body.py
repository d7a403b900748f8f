"""Reading the body of an answer."""

import orjson


def json_object(body: bytes) -> dict[str, object] | None:
    """Parse a body as a JSON object; None where it is anything else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
