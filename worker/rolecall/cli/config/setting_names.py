"""The names of settings, as flags and as variables: suggestions for misspelt ones, and variables of other programs."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import click

from rolecall.app.errors import OperatorError

OTHER_VARIABLES = (
    "ROLECALL_PROFILE",
    "ROLECALL_CONFIG",
    "ROLECALL_UVLOOP",
    "ROLECALL_DATABASE_URL",
    "ROLECALL_DATABASE_URL_FILE",
)
"""Variables that belong to no option of a command."""
MAX_EDITS = 2
"""A name with at most so many wrong letters is a misspelt setting."""


def edit_distance(one: str, other: str) -> int:
    """Return how many letters must be inserted, deleted or replaced to make one word of the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        previous, row = row, [i]
        for j, other_letter in enumerate(other, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (letter != other_letter)))
    return row[-1]


class UnknownVariables(NamedTuple):
    """The unknown variables, in alphabetical order."""

    misspelt: list[str]
    """A line for each one that resembles a setting: a misspelt threshold would be ignored."""
    others: list[str]
    """The names of the others, such as those that Kubernetes sets for a service whose name begins with `rolecall`."""


def find_unknown_variables(environ: Mapping[str, str], commands: Iterable[click.Command]) -> UnknownVariables:
    """Return the variables that no option of these commands reads."""
    options = [option for command in commands for option in command.params if isinstance(option, click.Option)]
    known = sorted({*map(variable_of, options), *OTHER_VARIABLES})
    unknown = UnknownVariables([], [])
    for name in sorted(name for name in environ if name.startswith("ROLECALL_") and name not in known):
        distance, nearest = min((edit_distance(name.upper(), each), each) for each in known)
        if distance <= MAX_EDITS:
            unknown.misspelt.append(f"{name} is not a setting; did you mean {nearest!r}?")
        else:
            unknown.others.append(name)
    return unknown


def require_no_misspelt_variable(unknown: UnknownVariables) -> None:
    """Raise OperatorError for a misspelt variable."""
    if unknown.misspelt:
        raise OperatorError(f"{unknown.misspelt[0]} Rename or unset it.")


def format_others(names: Iterable[str]) -> str:
    """Format a warning about the other variables, as one line of limited length."""
    first, *more = names
    rest = f" and {len(more)} more" if more else ""
    return f"{first}{rest} in the environment: no setting, ignored; 'rolecall config' lists such variables."


def variable_of(option: click.Option) -> str:
    """Return the variable of an option."""
    return f"ROLECALL_{(option.name or '').upper()}"


def flags_of(command: click.Command) -> list[str]:
    """Return the flags of a command, as keys of its table: `max_failures`."""
    return [option.name for option in command.params if isinstance(option, click.Option) and option.name]
