"""The parameters `query` and `fields`: JSON that once let callers ask the server's database themselves.

Servers before 7.0 take both; 7.x and 8.x ignore them silently unless they were started with
`ALLOW_UNSAFE_QUERY_AND_FIELDS_API_PARAMS`; 9.0 refuses them where a route has a schema.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from rolecall.sandbox.answers import Answer, refusal

OPERATORS = ("$or", "$and")


def json_parameter(params: Mapping[str, object], name: str) -> dict[str, Any] | Answer:
    """Return `query` or `fields` as an object, empty where it is not given, or the refusal of what is none."""
    text = params.get(name)
    if not text:
        return {}
    try:
        value = orjson.loads(str(text))
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        return refusal(f"error-invalid-{name}", f'Invalid {name} parameter provided: "{text}"')
    return value


def without(query: Mapping[str, Any], hidden: tuple[str, ...]) -> dict[str, Any]:
    """Return the query without conditions on fields that the caller may not see: the server drops them silently."""
    return {key: value for key, value in query.items() if key.partition(".")[0] not in hidden}


def refuse_query(query: Mapping[str, Any], known: tuple[str, ...]) -> Answer | None:
    """Refuse a query with an attribute or an operator that may not be asked for; None where all is well."""
    wrong = _first_wrong(query, known)
    return refusal("error-invalid-query", f"Invalid {wrong}") if wrong else None


def _first_wrong(query: Any, known: tuple[str, ...]) -> str | None:
    """Return what is wrong with a query, in the server's words; None where nothing is."""
    if not isinstance(query, dict):
        return "query"
    for key, value in query.items():
        if key in OPERATORS:
            parts = value if isinstance(value, list) else [value]
            if wrong := next(filter(None, (_first_wrong(part, known) for part in parts)), None):
                return wrong
        elif key not in known:
            return f"attribute: {key}"
        elif isinstance(value, dict) and not _is_regex(value):
            return f"operation: {next(iter(value), '')}"
    return None


def _is_regex(value: dict[str, Any]) -> bool:
    """Return whether a condition is a usable `$regex` with nothing but its options."""
    if "$regex" not in value or not value.keys() <= {"$regex", "$options"}:
        return False
    try:
        re.compile(str(value["$regex"]))
    except re.error:
        return False
    return True


def matches(query: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Return whether a document fits every condition: equality, `$regex`, `$or` and `$and`."""
    return all(_holds(key, wanted, document) for key, wanted in query.items())


def _holds(key: str, wanted: Any, document: Mapping[str, Any]) -> bool:
    if key in OPERATORS:
        combine = any if key == "$or" else all
        parts = wanted if isinstance(wanted, list) else [wanted]
        return combine(matches(part, document) for part in parts)
    values = _values(document, key.split("."))
    if isinstance(wanted, dict):
        flags = re.IGNORECASE if "i" in str(wanted.get("$options", "")) else 0
        return any(re.search(str(wanted["$regex"]), str(value), flags) for value in values)
    return wanted in values


def _values(document: Any, path: list[str]) -> list[Any]:
    """Return every value that a dotted path reaches, through lists too."""
    if isinstance(document, list | tuple):
        return [value for item in document for value in _values(item, path)]
    if not path:
        return [document]
    return _values(document[path[0]], path[1:]) if path[0] in document else []
