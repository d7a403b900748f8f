"""`rolecall.toml`: the workspace, profiles for further ones, and flags by command; unknown keys are refused."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.file_access import is_foreign
from rolecall.text import did_you_mean, or_all, sanitise

CONFIG_FILE = Path("rolecall.toml")

IN_CONFIG_FILE = {
    "ROCKETCHAT_URL": "url",
    "ROCKETCHAT_USER_ID": "user_id",
    "ROCKETCHAT_AUTH_TOKEN": "auth_token",
    "ROCKETCHAT_AUTH_TOKEN_FILE": "auth_token_file",
}
"""Keys of the table `[workspace]` and of each profile, by the variable of the same meaning."""

WORKSPACE, PROFILES = "workspace", "profiles"

Table = Mapping[str, Any]
NOTHING: Table = MappingProxyType({})


class ConfigPath(NamedTuple):
    """Which file to read, and why."""

    path: Path | None
    """None without a file."""
    is_found: bool = False
    """Whether it was found in the working directory; false for a named file and for the user's own."""


class ConfigFile(NamedTuple):
    """The content of a `rolecall.toml` for one command; every key is written with `_`."""

    path: Path
    """Its path; without a file, the path in the working directory."""
    exists: bool = False
    is_found: bool = False
    """Whether it is only used because it is in the working directory (or named by a `.env` there)."""
    profile: str | None = None
    """The selected profile."""
    workspace: Table = NOTHING
    """The table [workspace]; with a profile, the profile's own values and nothing of [workspace]."""
    flags: Mapping[str, Table] = NOTHING
    """By command, the tables that apply to every profile."""
    profiles: Mapping[str, Table] = NOTHING
    """By name."""

    def flags_of(self, verb: str) -> dict[str, Any]:
        """Return the flags of a command; those of the profile have priority."""
        return {**self.flags.get(verb, {}), **self._own_flags(verb)}

    def place_of_flag(self, verb: str, flag: str) -> str:
        """Return where a flag of a command is set, such as `rolecall.toml [run]`."""
        return f"{self.path} [{self._own_name(verb) if flag in self._own_flags(verb) else verb}]"

    @property
    def place_of_workspace(self) -> str:
        """Return where the credentials are set, such as `rolecall.toml [workspace]`."""
        return f"{self.path} [{WORKSPACE if self.profile is None else f'{PROFILES}.{self.profile}'}]"

    def require_known_flags(self, verb: str, known: Collection[str], *, every_profile: bool = False) -> None:
        """Raise OperatorError for a key that is not a flag of the command: a misspelt threshold would be ignored."""
        tables = {verb: self.flags.get(verb, {})}
        for name, profile in self.profiles.items():
            if every_profile or name == self.profile:
                tables[f"{PROFILES}.{name}.{verb}"] = profile.get(verb, {})
        flags = [flag.replace("_", "-") for flag in known]
        for table, values in tables.items():
            _require_known_keys(self.path, table, [key.replace("_", "-") for key in values], flags)

    def _own_name(self, verb: str) -> str:
        return f"{PROFILES}.{self.profile}.{verb}"

    def _own_flags(self, verb: str) -> Table:
        return {} if self.profile is None else self.profiles[self.profile].get(verb, {})


def find_config_file(named: str | None, environ: Mapping[str, str]) -> ConfigPath:
    """Return the file to read: the named one, the working directory's or the user's. Raises OperatorError."""
    if named:
        if not Path(named).exists():
            raise OperatorError(f"{named}: there is no such file; --config and ROLECALL_CONFIG name a rolecall.toml.")
        return ConfigPath(Path(named))
    if exists_here(CONFIG_FILE):
        return ConfigPath(CONFIG_FILE, is_found=True)
    if (config := environ.get("XDG_CONFIG_HOME", "")) and Path(config).is_absolute():
        own = Path(config) / "rolecall" / CONFIG_FILE
    elif home := environ.get("HOME"):
        own = Path(home) / ".config/rolecall" / CONFIG_FILE
    else:
        return ConfigPath(None)
    is_readable = os.access(own, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
    if not is_readable:  # HOME may be that of the user who started us
        return ConfigPath(None)
    if is_foreign(own.stat()) or is_foreign(own.lstat()):
        raise OperatorError(
            f"{own} belongs to another user, who could send the token elsewhere; set HOME to a directory of your own, "
            "or name the file with --config."
        )
    return ConfigPath(own)


def exists_here(path: Path) -> bool:
    """Return whether a file is in the working directory; in one that we may not search there is none."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def require_own_file(path: Path) -> None:
    """Raise OperatorError for a file in the working directory that another user owns, or a link that one made."""
    if is_foreign(path.stat()) or is_foreign(path.lstat()):
        raise OperatorError(
            f"{path} in the working directory belongs to another user, who could send the token elsewhere; "
            "start in another directory, or remove the file."
        )


def read_config_file(
    path: Path | None, profile: str | None, verbs: Collection[str], *, is_found: bool = False
) -> ConfigFile:
    """Read a `rolecall.toml` and select the profile; no file is like an empty file. Raises OperatorError."""
    content = {} if path is None else _read(path, is_found=is_found)
    file = ConfigFile(path or CONFIG_FILE, path is not None, is_found)
    _require_known_tables(file.path, content, verbs)
    workspace = _with_underscores(content.get(WORKSPACE, {}))
    _require_known_keys(file.path, WORKSPACE, workspace, IN_CONFIG_FILE.values())
    profiles = {name: _profile(file.path, name, table, verbs) for name, table in content.get(PROFILES, {}).items()}
    if profile is not None and profile not in profiles:
        if path is None:
            raise OperatorError(f"There is no profile {profile!r}: there is no rolecall.toml here.")
        raise OperatorError(f"{path}: there is no profile {profile!r}; {or_all(profile, profiles)}")
    flags = {verb: _with_underscores(content[verb]) for verb in verbs if verb in content}
    return file._replace(
        profile=profile,
        workspace=workspace if profile is None else profiles[profile],
        flags=flags,
        profiles=profiles,
    )


def _read(path: Path, *, is_found: bool) -> Mapping[str, Any]:
    import tomllib  # here: most commands read no such file

    try:
        if is_found:
            require_own_file(path)
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OperatorError(f"{path} cannot be used: {sanitise(str(error))}.") from None


def _profile(path: Path, name: str, table: object, verbs: Collection[str]) -> Table:
    """Check one profile. It must have a URL: without one it would change another workspace."""
    where = f"{PROFILES}.{name}"
    if not isinstance(table, dict):
        raise OperatorError(f"{path}: {where} must be a table, written [{where}].")
    profile: dict[str, Any] = _with_underscores(table)
    profile.update({verb: _with_underscores(profile[verb]) for verb in verbs if verb in profile})
    _require_known_keys(path, where, profile, [*IN_CONFIG_FILE.values(), *verbs])
    for verb in verbs:
        if not isinstance(profile.get(verb, {}), dict):
            raise OperatorError(f"{path}: {verb} in [{where}] must be a table, written [{where}.{verb}].")
    if not str(profile.get("url", "")).strip():
        raise OperatorError(f"{path}: [{where}] has no url; a profile names its workspace.")
    return profile


def _require_known_tables(path: Path, content: Mapping[str, Any], verbs: Collection[str]) -> None:
    known = (WORKSPACE, PROFILES, *verbs)
    for name, table in content.items():
        if name not in known:
            raise OperatorError(f"{path}: unknown table [{name}]; {or_all(name, known)}")
        if not isinstance(table, dict):
            raise OperatorError(f"{path}: {name!r} must be a table, written [{name}].")


def _require_known_keys(path: Path, table: str, keys: Iterable[str], known: Collection[str]) -> None:
    for key in keys:
        if key not in known:
            near = did_you_mean(key, known) or f"it has {', '.join(sorted(known))}." if known else "it has none."
            raise OperatorError(f"{path}: [{table}] has no key {key!r}; {near}")


def _with_underscores(table: Any) -> Any:
    """Return a table with its keys in the spelling of Python; a value that is not a table is returned unchanged."""
    return {key.replace("-", "_"): value for key, value in table.items()} if isinstance(table, dict) else table
