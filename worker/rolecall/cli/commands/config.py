"""`rolecall config`: the effective value of each setting, and where it is set."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from rolecall.cli.config.config_sources import DOTENV_FILE, ConfigSources, current_sources
from rolecall.cli.config.effective_config import (
    EffectiveConfig,
    Setting,
    show_credentials,
    show_options,
)
from rolecall.cli.config.setting_names import find_unknown_variables, flags_of
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option
from rolecall.cli.terminal import console
from rolecall.text import or_all, sanitise

if TYPE_CHECKING:  # at run time only the newest click takes a type in brackets
    VerbType = click.ParamType[str]
else:
    VerbType = click.ParamType


class Verb(VerbType):
    """The name of a command of rolecall."""

    name = "verb"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse any other word."""
        verbs = _commands(ctx)
        if value not in verbs:
            self.fail(f"there is no command {value!r}; {or_all(value, verbs)}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so."""
        return [CompletionItem(verb) for verb in _commands(ctx) if verb.startswith(incomplete)]


@click.command(cls=DocumentedCommand, short_help="Show the effective value of each setting, and where it is set.")
@click.argument("verb", metavar="[COMMAND]", type=Verb(), default="run")
@json_option
@click.pass_context
def config(ctx: click.Context, verb: str, json: bool) -> int:
    """Show the effective value of each setting of COMMAND (run), and where it is set.

    Of the token it only shows whether there is one. All of rolecall.toml is checked.
    """
    sources, commands = current_sources(), _commands(ctx)
    for name, command in commands.items():
        sources.file.require_known_flags(name, flags_of(command), every_profile=True)
    workspace = show_credentials(os.environ, sources)
    options = show_options(verb, commands[verb], os.environ, sources)
    unknown = find_unknown_variables(os.environ, commands.values())
    others = [f"{name} is not a setting" for name in unknown.others]
    problems = [*workspace.problems, *options.problems, *unknown.misspelt, *others]
    is_usable = workspace.is_usable and options.is_usable and not unknown.misspelt
    code = ExitCode.OK if is_usable else ExitCode.USAGE
    if json:
        console.print_json(_as_json(sources, verb, workspace, options, problems))
        return code
    for line in _as_lines(sources, verb, workspace, options):
        click.echo(sanitise(line))
    for problem in problems:
        console.print_warning(problem)
    return code


def _commands(ctx: click.Context | None) -> Mapping[str, click.Command]:
    """Return every command by its name."""
    if ctx is None or not isinstance(group := ctx.find_root().command, click.Group):
        return {}
    found = {name: group.get_command(ctx, name) for name in group.list_commands(ctx)}
    return {name: command for name, command in found.items() if command is not None}


def _as_json(
    sources: ConfigSources, verb: str, workspace: EffectiveConfig, options: EffectiveConfig, problems: Sequence[str]
) -> dict[str, object]:
    return {
        "settingsFile": str(sources.file.path) if sources.file.exists else None,
        "dotenv": str(DOTENV_FILE) if DOTENV_FILE.is_file() else None,
        "profile": sources.file.profile,
        "profiles": sorted(sources.file.profiles),
        "workspace": {setting.key: _value_and_place(setting) for setting in workspace.settings},
        verb: {setting.key: _value_and_place(setting) for setting in options.settings},
        "problems": list(problems),
    }


def _value_and_place(setting: Setting) -> dict[str, str | None]:
    return {"value": setting.value, "place": setting.place or None}


def _as_lines(sources: ConfigSources, verb: str, workspace: EffectiveConfig, options: EffectiveConfig) -> list[str]:
    file = sources.file
    profiles = f" (there are: {', '.join(sorted(file.profiles))})" if file.profiles else ""
    head = [
        Setting("settings file", str(file.path) if file.exists else "none", ""),
        Setting(".env", str(DOTENV_FILE) if DOTENV_FILE.is_file() else "none", ""),
        Setting("profile", f"{file.profile or 'none'}{profiles}", sources.profile_from),
    ]
    groups = (head, workspace.settings, options.settings)
    key_width = max(len(setting.key) for group in groups for setting in group)
    value_width = max(len(setting.value or "not set") for group in groups[1:] for setting in group)
    lines = []
    for title, group in zip(("", "workspace", verb), groups, strict=True):
        lines += ["", f"[{title}]"] if title else []
        for key, value, place in group:
            lines.append(f"{key:{key_width}}  {value or 'not set':{value_width}}  {place}".rstrip())
    return lines
