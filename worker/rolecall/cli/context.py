"""The context of a use case, from the options, the credentials and the terminal of a command."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rolecall.app.connection import AppContext
from rolecall.cli.config.credentials import load_credentials
from rolecall.cli.options import OutputMode, split_options
from rolecall.cli.terminal import console
from rolecall.cli.terminal.progress_reporter import ProgressReporter
from rolecall.rocketchat.connection_config import Credentials


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
