"""Options with a syntax of their own, and the exit codes that scripts rely on."""

import math
from collections.abc import Sequence
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.app.errors import OperatorError, OutputError
from rolecall.cli.context import split_options
from rolecall.cli.exit_codes import OF_STOP, ExitCode, exit_code_of
from rolecall.cli.options import MaxFailures, Rate, run_options
from rolecall.cli.terminal.console import OutputMode
from rolecall.engine.settings import FailureThreshold
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.rate_limiter import InvalidRateError
from rolecall.files.checkpoint import CheckpointLockedError
from rolecall.files.input.source import JobFileError
from rolecall.files.output.text_files import SymlinkError
from rolecall.models import RolecallError
from rolecall.rocketchat.connection_config import AuthenticationError, CaFileError, WorkspaceUnavailableError
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLockedError


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", 10.0),
        ("600/m", 10.0),
        ("3600/h", 1.0),
        ("1/h", 1 / 3600),
        ("0.5/s", 0.5),
        (" 10 / S ", 10.0),
        ("0.000001/h", 0.000001 / 3600),
        ("999999999/s", 999_999_999.0),
        ("unlimited", None),
        (" Unlimited", None),
        (None, None),
    ],
)
def test_a_rate_is_read(text: str | float | None, rate: float | None) -> None:
    """Calls over a second, a minute or an hour; `unlimited` is none; what is read already stays."""
    assert Rate().convert(text, None, None) == (pytest.approx(rate) if rate is not None else None)


@pytest.mark.parametrize(
    "text",
    ["", "10", "/s", "10/", "10/d", "10/ms", "0/s", "0.0/m", "-1/s", "+1/s", "1e3/s", "nan/s", "inf/s", "1,5/s",
     "10/s/s", "1_0/s", "10 s", "none", "limited", "1234567890/s", "0.0000001/s", ".5/s", "5./s"],
)  # fmt: skip
def test_a_bad_rate_is_refused(text: str) -> None:
    """What is no rate is refused with the forms that are."""
    with pytest.raises(click.BadParameter, match="600/m"):
        Rate().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("25", FailureThreshold(25, False)),
        ("0", FailureThreshold(0, False)),
        ("10%", FailureThreshold(10, True)),
        ("0%", FailureThreshold(0, True)),
        ("100%", FailureThreshold(100, True)),
        ("2.5%", FailureThreshold(2.5, True)),
        (" 10 % ", FailureThreshold(10, True)),
        (7, FailureThreshold(7, False)),
        (FailureThreshold(3, True), FailureThreshold(3, True)),
    ],
)
def test_a_threshold_is_read(text: str | int | FailureThreshold, threshold: FailureThreshold) -> None:
    """A number of rows, or a share of them."""
    assert MaxFailures().convert(text, None, None) == threshold


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "-1%", "2.5", "100.1%", "101%", "1000%", "ten", "10%%", "1e2", "nan", "inf%", "10 rows"]
)
def test_a_bad_threshold_is_refused(text: str) -> None:
    """What is no threshold is refused with the forms that are."""
    with pytest.raises(click.BadParameter, match="10%"):
        MaxFailures().convert(text, None, None)


@settings(deadline=None)
@given(st.text(max_size=20) | st.from_regex(r"[0-9.]{1,6}(/[smh]|%)?", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes an option fail in another way, and what is read makes sense."""
    try:
        rate = Rate().convert(text, None, None)
    except click.BadParameter:
        pass
    else:
        assert rate is None or (rate > 0 and math.isfinite(rate))
    try:
        threshold = MaxFailures().convert(text, None, None)
    except click.BadParameter:
        pass
    else:
        assert threshold.limit >= 0
        assert not threshold.is_percent or threshold.limit <= 100


@pytest.fixture
def command() -> tuple[click.Command, dict[str, Any]]:
    """Return a command with the shared options, and where it puts what it was given."""
    got: dict[str, Any] = {}

    @click.command()
    @run_options
    def verb(**options: Any) -> None:
        got.update(options)

    return verb, got


def invoke(command: click.Command, words: Sequence[str], **environ: str) -> tuple[int, str]:
    """Run the command as a user would."""
    result = CliRunner().invoke(command, list(words), env=environ, auto_envvar_prefix="ROLECALL")
    return result.exit_code, result.output


def test_the_defaults_protect_the_server(command: tuple[click.Command, dict[str, Any]]) -> None:
    """Without a flag the rate is 10 a second, and half of the rows may fail; nothing unsafe is on."""
    verb, got = command
    assert invoke(verb, [])[0] == 0
    assert (got["rate"], got["max_failures"]) == (10.0, FailureThreshold(50, True))
    assert (got["allow_http"], got["retry_failed"], got["ca_file"], got["report_format"]) == (False, False, None, ())


@pytest.mark.parametrize(
    ("words", "environ", "name", "value"),
    [
        (["--rate", "unlimited"], {}, "rate", None),
        ([], {"ROLECALL_RATE": "600/m"}, "rate", 10.0),
        (["--rate", "1/s"], {"ROLECALL_RATE": "600/m"}, "rate", 1.0),
        (["--max-failures", "3"], {}, "max_failures", FailureThreshold(3, False)),
        ([], {"ROLECALL_MAX_FAILURES": "5%"}, "max_failures", FailureThreshold(5, True)),
        (["--concurrency", "1000"], {}, "concurrency", 1000),
        (["--no-room-cache"], {}, "room_cache", False),
        (["--report-format", "json", "--report-format", "jsonl"], {}, "report_format", ("json", "jsonl")),
        ([], {"ROLECALL_ALLOW_HTTP": "1"}, "allow_http", True),
    ],
)
def test_an_option_is_a_flag_or_a_variable(
    command: tuple[click.Command, dict[str, Any]], words: list[str], environ: dict[str, str], name: str, value: object
) -> None:
    """Every flag is also `ROLECALL_<FLAG>`; the flag goes first."""
    verb, got = command
    assert invoke(verb, words, **environ)[0] == 0
    assert got[name] == value


@pytest.mark.parametrize(
    "words",
    [
        ["--rate", "fast"],
        ["--max-failures", "200%"],
        ["--concurrency", "0"],
        ["--concurrency", "1001"],
        ["--max-attempts", "0"],
        ["--retry-backoff", "0"],
        ["--retry-backoff", "nan"],
        ["--outage-timeout", "0"],
        ["--outage-timeout", "inf"],
        ["--outage-timeout", "nan"],
        ["--shutdown-timeout", "-1"],
        ["--shutdown-timeout", "nan"],
        ["--timeout", "0"],
        ["--timeout", "nan"],
        ["--connect-timeout", "0"],
        ["--connect-timeout", "nan"],
        ["--report-format", "xml"],
        ["--ca-file", "/nowhere"],
        ["--unknown"],
    ],
)
def test_a_value_out_of_range_is_wrong_usage(command: tuple[click.Command, dict[str, Any]], words: list[str]) -> None:
    """What cannot be meant is refused before anything is done, with the exit code for usage and the option's name."""
    verb, got = command
    code, output = invoke(verb, words)
    assert code == ExitCode.USAGE
    assert words[0] in output
    assert got == {}


def test_the_exit_codes_are_the_contract() -> None:
    """Scripts and schedulers rely on these numbers."""
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0, "ROW_FAILURES": 1, "USAGE": 2, "CREDENTIALS": 3, "STOPPED": 4, "LOCKED": 5,
        "DRIFT": 6, "INTERRUPTED": 130,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperatorError("words"), ExitCode.USAGE),
        (JobFileError("words"), ExitCode.USAGE),
        (InvalidStoreError("words"), ExitCode.USAGE),
        (InvalidRateError("words"), ExitCode.USAGE),
        (CaFileError("words"), ExitCode.USAGE),
        (AuthenticationError("words"), ExitCode.CREDENTIALS),
        (WorkspaceUnavailableError("words"), ExitCode.STOPPED),
        (StoreError("words"), ExitCode.STOPPED),
        (OutputError("words"), ExitCode.STOPPED),
        (SymlinkError("words"), ExitCode.STOPPED),
        (OSError("words"), ExitCode.STOPPED),
        (RunLockedError("words"), ExitCode.LOCKED),
        (CheckpointLockedError("words"), ExitCode.LOCKED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_one_exit_code(error: RolecallError | OSError, code: ExitCode) -> None:
    """An exception that a caller can see ends the command with the code of its kind, and keeps its text."""
    assert exit_code_of(error) is code
    assert str(error) == "words"


def test_every_reason_to_stop_has_an_exit_code() -> None:
    """Whatever stops a run, the command has a code for it; a killed process has none of its own."""
    assert set(OF_STOP) == set(StopReason) - {StopReason.KILLED}


def test_the_shared_options_become_three_values(command: tuple[click.Command, dict[str, Any]]) -> None:
    """Each shared option sets one field of the settings, the connection or the output; none is lost."""
    verb, got = command
    words = ("--rate", "5/s", "--timeout", "7", "--allow-http", "--quiet", "--json", "--log-format", "json")
    assert invoke(verb, words)[0] == 0
    assert (got.pop("report_format"), got.pop("csv_style")) == ((), None)
    settings, connection, output = split_options(got, "http://chat.example.org/")
    assert (settings.rate, settings.max_failures) == (5.0, FailureThreshold(50, True))
    assert (connection.url, connection.timeout, connection.trust_env) == ("http://chat.example.org", 7.0, True)
    assert output == OutputMode(quiet=True, log_format="json", json=True)


@pytest.mark.parametrize("flag", ["url", "trust_env", "report_format", "colour"])
def test_a_flag_that_is_not_shared_is_refused(flag: str) -> None:
    """A flag that a command forgot to take for itself is an error, not a setting without effect."""
    with pytest.raises(TypeError, match=flag):
        split_options({flag: "value"}, "https://chat.example.org")
