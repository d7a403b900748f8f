"""The command group: runs a command and returns its exit code.

What only a command or an error needs is imported where it is used: `--version` needs none of it.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

from rolecall.cli.terminal import console
from rolecall.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERBS = (
    "find",
    "check",
    "run",
    "verify",
    "undo",
    "offboard",
    "report",
    "status",
    "runs",
    "compare",
    "explain",
    "doctor",
    "template",
    "config",
    "completion",
    "demo",
    "sandbox",
    "database init",
    "database upgrade",
    "database check",
    "database prune",
    "submit",
    "runs show",
    "runs stop",
    "runs resume",
    "runs report",
    "runs verify",
    "runs undo",
    "schedule add",
    "schedule list",
    "schedule pause",
    "schedule resume",
    "schedule remove",
    "import",
    "worker",
    "workers",
)
"""In the order of the help; each is in a module of rolecall.cli.commands, imported only when it is typed."""
CLUSTER_VERBS = frozenset(VERBS[VERBS.index("database init") :])
"""Those for several machines."""


class Verbs(click.Group):
    """Imports each command from its module. A command may have two words, such as `runs show`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are used."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command: `run` from the module `run`, `runs show` from the module `runs_commands`."""
        if cmd_name not in VERBS:
            return None
        first, _, second = cmd_name.partition(" ")
        name = "import_run" if first == "import" else first  # a module cannot bear the name of a keyword
        module = f"rolecall.cli.commands.{name}_commands" if second else f"rolecall.cli.commands.{name}"
        command = getattr(importlib.import_module(module), name if not second else cmd_name.replace(" ", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{module} has no command {cmd_name}")
        command.context_settings["auto_envvar_prefix"] = "ROLECALL"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of one or two words; for an unknown name, suggest a similar one."""
        from rolecall.cli.config.config_sources import (
            format_second_meant,
            format_unknown_second,
            format_unknown_verb,
        )

        first, *rest = args
        seconds = [verb.partition(" ")[2] for verb in VERBS if verb.startswith(f"{first} ")]
        if ctx.resilient_parsing and seconds and not rest:
            own = self.get_command(ctx, first)
            return first, SecondWords(seconds, own), []
        if rest and rest[0] in seconds:
            verb = f"{first} {rest[0]}"
            return verb, self.get_command(ctx, verb), rest[1:]
        if rest and seconds and first in VERBS and (meant := format_second_meant(first, rest[0], seconds)):
            ctx.fail(meant)
        if first not in VERBS and not ctx.resilient_parsing and not first.startswith("-"):
            if seconds:
                ctx.fail(format_unknown_second(first, rest[0] if rest else "", seconds))
            ctx.fail(format_unknown_verb(first, VERBS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands; those for several machines have a heading of their own."""
        for heading, several in (("Commands", False), ("Several machines", True)):
            verbs = [verb for verb in VERBS if (verb in CLUSTER_VERBS) is several]
            commands = [(verb, command) for verb in verbs if (command := self.get_command(ctx, verb))]
            if not commands:
                continue
            with formatter.section(heading):
                limit = formatter.width - 6 - max(map(len, verbs))
                formatter.write_dl([(verb, command.get_short_help_str(limit)) for verb, command in commands])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Return the first words of the commands, and the options, that begin so."""
        from click.shell_completion import CompletionItem

        items = {item.value.partition(" ")[0]: item for item in super().shell_complete(ctx, incomplete)}
        return [CompletionItem(value, help=item.help) for value, item in items.items()]


class SecondWords(click.Command):
    """Completes the second word of commands that have two; `own` is the command of the first word alone."""

    def __init__(self, words: Sequence[str], own: click.Command | None) -> None:
        params = [] if own is None else own.params
        super().__init__(None, params=[each for each in params if isinstance(each, click.Option)])
        self.words = words
        self.arguments = [each for each in params if isinstance(each, click.Argument)]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Return the words, the options and the values of the first command's argument that begin so."""
        from click.shell_completion import CompletionItem

        words = [CompletionItem(word) for word in self.words if word.startswith(incomplete)]
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        values = [item for argument in self.arguments for item in argument.shell_complete(ctx, incomplete)]
        return [*values, *words]  # in bash, directories clear what stands before them


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", "-V", prog_name="rolecall")
@click.option("--profile", metavar="NAME", help="Use the workspace of this profile of rolecall.toml.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, readable=False),
    metavar="FILE",
    help="Read this rolecall.toml instead of that in the working directory or in ~/.config/rolecall.",
)
@click.pass_context
def rolecall(ctx: click.Context, profile: str | None, config: str | None) -> None:
    """Take the leader role away in bulk from members of Rocket.Chat private groups."""
    verb = ctx.invoked_subcommand
    if verb is None or verb == "completion":  # a shell reads it at its start, in any directory
        return
    from rolecall.cli import error_report  # noqa: F401 - loaded now: the package may be replaced while a command runs
    from rolecall.cli.config.config_sources import read_sources
    from rolecall.cli.config.setting_names import flags_of

    words, warnings = ctx.obj, list[str]()
    try:
        ctx.obj = sources = read_sources(profile, config, VERBS, os.environ, warnings.append)
        log_format = os.environ.get("ROLECALL_LOG_FORMAT") or sources.file.flags_of(verb).get("log_format", "")
        console.select_json_lines(wants_json_lines(words or (), log_format))
    finally:
        for warning in warnings:
            console.print_warning(warning)
    if verb != "config":  # it shows them
        _check_variables(ctx, verb)
    if isinstance(command := rolecall.get_command(ctx, verb), click.Command):
        sources.file.require_known_flags(verb, flags_of(command))
    ctx.default_map = {verb: sources.file.flags_of(verb)}


def _check_variables(ctx: click.Context, verb: str) -> None:
    """Raise OperatorError for a misspelt variable, and warn of other unknown ones.

    The other commands, which are slow to import, are loaded only if this command does not have it.
    """
    from rolecall.cli.config.setting_names import find_unknown_variables, format_others, require_no_misspelt_variable

    for verbs in ([verb], VERBS):
        commands = [command for name in verbs if (command := rolecall.get_command(ctx, name))]
        unknown = find_unknown_variables(os.environ, commands)
        if not (unknown.misspelt or unknown.others):
            return
    require_no_misspelt_variable(unknown)
    console.print_warning(format_others(unknown.others))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (the process's own if None) and return the exit code."""
    os.umask(0o077)
    console.reopen_std_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    console.select_json_lines(wants_json_lines(words, os.environ.get("ROLECALL_LOG_FORMAT", "")))
    try:
        return _run(words)
    finally:
        console.flush_std_streams()


def wants_json_lines(words: Sequence[str], default: str) -> bool:
    """Return whether a command line selects JSON lines; known before it is parsed, so that a usage error is one too.

    `default` is the format where the command line names none.
    """
    form = default
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word == "--log-format" or word.startswith("--log-format="):
            form = word.partition("=")[2] or following
    return form == "json"


def _run(words: list[str]) -> int:
    try:
        code = rolecall.main(args=words, prog_name="rolecall", standalone_mode=False, obj=tuple(words))
    except (Exception, KeyboardInterrupt) as error:
        from rolecall.cli.error_report import report_error

        return report_error(error)
    return code if isinstance(code, int) else 0
