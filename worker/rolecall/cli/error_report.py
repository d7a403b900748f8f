"""The end of a command by an exception: one line on stderr, with advice, and the exit code."""

from types import MappingProxyType

import click

from rolecall.cli.config.config_sources import format_usage_error
from rolecall.cli.exit_codes import ExitCode, exit_code_of
from rolecall.cli.terminal import console
from rolecall.models import Advice, RolecallError

ADVICE = MappingProxyType(
    {
        Advice.ALLOW_HTTP: "Use https://, or add --allow-http if you mean it.",
        Advice.CA_FILE: "Name your own certificate authority with --ca-file; the check cannot be skipped.",
        Advice.CHECK_URL: "Check ROCKETCHAT_URL and the network.",
        Advice.CHECK_CREDENTIALS: (
            "Check ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN; a personal access token may have been revoked. "
            "Nothing was sent."
        ),
        Advice.OTHER_DIRECTORY: "Name another --out.",
        Advice.OTHER_FILE: "Or name another --out.",
        Advice.OTHER_PLAN: "Name another --save-plan.",
        Advice.NAME_PLAN: "Name it with --plan, or name another --out.",
        Advice.NAME_ENCODING: "Or name its encoding with --encoding.",
        Advice.WRITE_PLAN: "Write one with 'rolecall check JOB --save-plan FILE'.",
        Advice.INCLUDE_INFERRED: "Name --include-inferred to undo them.",
        Advice.NAME_RUN: "--out with its folder goes on with it (rows are known by their pair); "
        "--new starts another run.",
        Advice.RESUME_RUN: "'rolecall runs resume RUN' goes on with it; --new submits another run.",
        Advice.NAME_WORKSPACES: "--workspaces (or ROLECALL_WORKSPACES) names the file.",
        Advice.START_ANEW: "--new starts another run and leaves that one as it is.",
        Advice.RETRY_FAILED: "--retry-failed sends the rows that failed again.",
        Advice.VERIFY: "'rolecall verify' with the folder of the run settles rows that are unknown.",
        Advice.ALLOW_REMOVALS: (
            "Look at the list; if it is right, allow it with --max-removals, --max-removals-per-room or --keep-leaders."
        ),
    }
)
"""The sentence for each advice."""


def format_error(error: RolecallError) -> str:
    """Format an error with its advice, as one line."""
    text = str(error)
    return f"{text} {ADVICE[error.advice]}" if error.advice is not None else text


def report_error(error: Exception | KeyboardInterrupt) -> int:
    """Print why the command ended, without a traceback, and return its exit code."""
    match error:
        case RolecallError():
            return _report(format_error(error), exit_code_of(error))
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.ctx.get_help())
            return ExitCode.OK
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "rolecall"
            return _report(f"{format_usage_error(error)} ({command} --help)", ExitCode.USAGE, command)
        case click.ClickException():
            return _report(error.format_message(), ExitCode.USAGE)
        case KeyboardInterrupt() | click.Abort():
            return _report("", ExitCode.INTERRUPTED)
        case OSError():
            what = error.filename or "a file, or the output,"
            return _report(f"{what} cannot be read or written: {error.strerror or error}.", ExitCode.STOPPED)
    what = f"{type(error).__name__}: {error}"
    return _report(f"internal error: {what}. What was recorded is safe; please report it.", ExitCode.STOPPED)


def _report(line: str, code: ExitCode, command: str = "rolecall") -> ExitCode:
    """Print the line; of an interruption, which may be reported already, its own."""
    if code is ExitCode.INTERRUPTED:
        console.print_interruption()
    else:
        console.print_error(line, code, command)
    return code
