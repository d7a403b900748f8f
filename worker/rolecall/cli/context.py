"""The context of a use case, from the options, the credentials and the terminal of a command."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from rolecall.app.connection import AppContext
from rolecall.cli.config.credentials import load_credentials
from rolecall.cli.options import SHARED_OPTIONS
from rolecall.cli.terminal import console
from rolecall.cli.terminal.console import OutputMode
from rolecall.cli.terminal.progress_reporter import ProgressReporter
from rolecall.engine.settings import Settings
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials

_SETTINGS = frozenset(field.name for field in fields(Settings)) & SHARED_OPTIONS.keys()
_CONNECTION = frozenset(field.name for field in fields(ConnectionConfig)) & SHARED_OPTIONS.keys()
_OUTPUT = frozenset(OutputMode._fields) & SHARED_OPTIONS.keys()
if unknown := SHARED_OPTIONS.keys() - _SETTINGS - _CONNECTION - _OUTPUT:
    raise TypeError(f"options that set no field: {sorted(unknown)}")


class SharedOptions(NamedTuple):
    """The values of the shared options."""

    settings: Settings
    connection: ConnectionConfig
    output: OutputMode


class CommandContext(NamedTuple):
    """What a command hands to a use case, and to the view of its result."""

    app: AppContext
    reporter: ProgressReporter
    output: OutputMode


def open_context(shared: Mapping[str, Any], *, assume_yes: bool = False) -> CommandContext:
    """Create the context of a command. Raises RolecallError."""
    url, credentials = load_credentials(console.print_warning)
    return create_context(shared, url, credentials, assume_yes=assume_yes)


def create_context(
    shared: Mapping[str, Any], url: str, credentials: Credentials, *, assume_yes: bool = False
) -> CommandContext:
    """Create the context of a command for these credentials. Raises InvalidUrlError."""
    settings, connection, output = split_options(shared, url)
    reporter = ProgressReporter(output, assume_yes=assume_yes)
    return CommandContext(AppContext(connection, credentials, settings, reporter), reporter, output)


def split_options(flags: Mapping[str, Any], url: str) -> SharedOptions:
    """Sort the values of the shared options, for a workspace. Raises InvalidUrlError, TypeError for another flag."""
    if other := flags.keys() - SHARED_OPTIONS.keys():
        raise TypeError(f"not among the shared options: {sorted(other)}")
    return SharedOptions(
        Settings(**{name: value for name, value in flags.items() if name in _SETTINGS}),
        ConnectionConfig(url, **{name: value for name, value in flags.items() if name in _CONNECTION}),
        OutputMode(**{name: value for name, value in flags.items() if name in _OUTPUT}),
    )
