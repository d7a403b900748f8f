"""The entry point: nothing heavy is imported before signals are handled."""

from rolecall.cli.terminal.early_interrupt import handle_early_signals, ignore_signals


def main() -> int:
    """Run the command and return its exit code, which no later signal can change."""
    handle_early_signals()
    from rolecall.cli.main import main as run

    try:
        return run()
    finally:
        ignore_signals()
