"""The entry point: nothing heavy is imported before signals are handled."""

import gc

from rolecall.cli.terminal.early_interrupt import handle_early_signals, ignore_signals


def main() -> int:
    """Run the command and return its exit code, which no later signal can change."""
    handle_early_signals()
    gc.set_threshold(100_000)  # what is imported stays and need not be examined; event_loop.run sets another one
    from rolecall.cli.main import main as run

    try:
        return run()
    finally:
        ignore_signals()
        gc.freeze()  # the process ends: its last collection would take a tenth of the start, and free nothing of use
