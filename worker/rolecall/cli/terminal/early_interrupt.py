"""Signals while no event loop runs: the process ends at once. Imports nothing that takes time.

No exception is raised: Python prints and drops one that comes inside a callback of its import system, so that Ctrl-C
had no effect; and an extension module that is interrupted while it is initialised can crash the process.
"""

import os
import signal

TYPE_CHECKING = False  # as in typing, which takes time to import
if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_CODE = 130
"""As in `ExitCode`, which takes time to import."""

PLAIN_LINE = b"rolecall: interrupted.\n"
INTERRUPTED = [PLAIN_LINE]
"""The line that is printed; one value, which `--log-format json` replaces."""

_last_actions: "list[Callable[[], object]]" = []


def exit_immediately(number: int, frame: object) -> None:
    """End the process with one line. Nothing is open then that a sudden end could damage."""
    ignore_signals()
    try:
        for action in _last_actions:
            action()
        os.write(2, INTERRUPTED[0])
    finally:
        os._exit(EXIT_CODE)


def handle_early_signals() -> None:
    """Let each of the signals end the process at once, until an event loop runs; nohup stays nohup."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, exit_immediately)


def ignore_signals() -> None:
    """Ignore the signals from now on: the result is complete, or the process ends."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class LastAction:
    """A context in which `exit_immediately` first calls an action, which raises nothing."""

    def __init__(self, action: "Callable[[], object]") -> None:
        self._action = action

    def __enter__(self) -> None:
        _last_actions.append(self._action)

    def __exit__(self, *_: object) -> None:
        _last_actions.remove(self._action)
