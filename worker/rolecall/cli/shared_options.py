"""How a verb that calls a workspace shall go about it: the options that all such verbs share, as values."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from rolecall.cli.terminal.progress_reporter import OutputMode
from rolecall.engine.settings import Settings
from rolecall.rocketchat.connection_config import ConnectionConfig


class SharedOptions(NamedTuple):
    """The shared options, sorted."""

    settings: Settings
    voice: OutputMode
    connection: ConnectionConfig


def split_options(flags: Mapping[str, Any], url: str) -> SharedOptions:
    """Sort the flags of `run_options` or `reading_options`; each bears the name of the field that it is for."""
    reach = {field.name for field in fields(ConnectionConfig)} - {"url", "trust_env"}
    return SharedOptions(
        Settings(
            **{name: value for name, value in flags.items() if name not in reach and name not in OutputMode._fields}
        ),
        OutputMode(**{name: flags[name] for name in OutputMode._fields}),
        ConnectionConfig(url, **{name: flags[name] for name in reach}),
    )
