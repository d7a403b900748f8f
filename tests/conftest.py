"""What all tests share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.blocking import blocking_calls_fail


def pytest_configure() -> None:
    """Restore the usual signals for the commands that tests start: a shell's background job ignores Ctrl-C.

    Property tests have no time limit.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    settings.register_profile("any_speed", deadline=None)  # a loaded machine is no failure
    settings.load_profile("any_speed")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their parameter: content such as gzip output differs between two collections.

    Parallel runs need the same ids in each process, so an id must not depend on time, order or chance.
    """
    return argname if isinstance(val, bytes) else None


GUARDED = ("unit/store", "unit/engine", "unit/app", "unit/api", "integration")
"""The folders of tests in which a blocking call of Rolecall on the event loop fails the test."""
MAY_BLOCK = frozenset({"sandbox"})
"""The layers that may block: the sandbox is a test server."""


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which Rolecall blocks the event loop; see GUARDED."""
    if not any(request.path.is_relative_to(Path(__file__).parent / folder) for folder in GUARDED):
        yield
        return
    with blocking_calls_fail(except_in=MAY_BLOCK):
        yield
