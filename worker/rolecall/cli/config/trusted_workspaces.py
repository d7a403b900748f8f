"""Workspaces and databases that files of the working directory name: no token of another place is used for them.

With a file of workspaces that such a file names, any variable could be sent to any host as a token; with a database
that it names, any run would be carried out with a token from elsewhere.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_sources import DOTENV_FILE, ConfigSources, current_sources
from rolecall.cli.config.credentials import is_in_folder
from rolecall.cli.config.database_url import DATABASE_URL, DATABASE_URL_FILE

if TYPE_CHECKING:  # part of an extra
    from collections.abc import Mapping

    from rolecall.cluster.workspaces_file import WorkspaceEntry


def require_trusted_workspaces(path: Path, entries: "Mapping[str, WorkspaceEntry]") -> None:
    """Raise OperatorError where a found file and a token of another place would come together."""
    sources = current_sources()
    variable = next((name for name in (DATABASE_URL, DATABASE_URL_FILE) if name in sources.dotenv), "")
    if variable and not is_in_folder(DOTENV_FILE.parent, path):
        what = f"{variable} comes from {DOTENV_FILE}, and the workspaces from {path}"
        raise OperatorError(f"{what}: {_NOT_TRUSTED}; put the address of the database into the environment.")
    place = _found_place(click.get_current_context(), sources)
    for entry in entries.values() if place else ():
        if entry.token_file is None or not is_in_folder(path.parent, entry.token_file):  # not beside the file
            token = entry.token_file or f"the variable {entry.token_env}"
            what = f"{path} is named in {place}, and its token is {token}"
            raise OperatorError(f"{what}: {_NOT_TRUSTED}; name the workspaces with --workspaces {path}.")


_NOT_TRUSTED = "a file that is only found in the working directory may not have the tokens of another place used"


def _found_place(ctx: click.Context, sources: ConfigSources) -> str:
    """Return which found file names the workspaces; empty where none does."""
    option = next(each for each in ctx.command.params if each.name == "workspaces" and isinstance(each, click.Option))
    source = ctx.get_parameter_source("workspaces")
    is_found = (source is ParameterSource.ENVIRONMENT and "ROLECALL_WORKSPACES" in sources.dotenv) or (
        source is ParameterSource.DEFAULT_MAP and sources.file.is_found
    )
    return sources.place_of_option(ctx, option) if is_found else ""
