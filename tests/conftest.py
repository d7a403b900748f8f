"""What all tests share."""

import signal

import pytest


def pytest_configure() -> None:
    """Restore the usual signals for the commands that tests start: a shell's background job ignores Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their parameter: content such as gzip output differs between two collections.

    Parallel runs need the same ids in each process, so an id must not depend on time, order or chance.
    """
    return argname if isinstance(val, bytes) else None
