"""`rolecall.toml`: the workspace, and flags by verb; what it cannot mean is refused."""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from worker.commands.exits import Refusal
from worker.plain import plain

SETTINGS_FILE = Path("rolecall.toml")

IN_SETTINGS_FILE = {
    "ROCKETCHAT_URL": "url",
    "ROCKETCHAT_USER_ID": "user_id",
    "ROCKETCHAT_AUTH_TOKEN": "auth_token",
    "ROCKETCHAT_AUTH_TOKEN_FILE": "auth_token_file",
}
"""Keys of the table `[workspace]`, by the variable that they stand for."""

WORKSPACE = "workspace"


def read_settings_file(path: Path = SETTINGS_FILE) -> Mapping[str, Any]:
    """Read `rolecall.toml`; an empty mapping where there is none. Raises Refusal."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refusal(f"{path} cannot be used: {plain(str(error))}.") from None


def flags_by_verb(settings: Mapping[str, Any], verbs: Collection[str]) -> dict[str, dict[str, Any]]:
    """Give the tables that hold a verb's flags, in click's spelling. Raises Refusal for any other table."""
    for name, table in settings.items():
        if name not in (*verbs, WORKSPACE) or not isinstance(table, dict):
            raise Refusal(f"{SETTINGS_FILE}: [{name}] is no table; there are {_listed((WORKSPACE, *verbs))}.")
    _refuse_unknown(WORKSPACE, settings.get(WORKSPACE, {}), IN_SETTINGS_FILE.values())
    return {
        verb: {key.replace("-", "_"): value for key, value in settings[verb].items()}
        for verb in verbs
        if verb in settings
    }


def refuse_unknown_flags(verb: str, table: Mapping[str, Any], known: Iterable[str | None]) -> None:
    """Refuse keys that name no flag of the verb: a misspelt threshold would be no threshold. Raises Refusal."""
    _refuse_unknown(verb, table, [name for name in known if name is not None])


def _refuse_unknown(table: str, keys: Iterable[str], known: Collection[str]) -> None:
    for key in keys:
        if key not in known:
            raise Refusal(f"{SETTINGS_FILE}: [{table}] has no key {key!r}; it has {_listed(known)}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
