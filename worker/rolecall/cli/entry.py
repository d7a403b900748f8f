"""The entry point: nothing heavy is imported before an interruption is handled."""

import sys


def main() -> int:
    """Run the command and return its exit code; an interruption while it starts is one line, without a traceback."""
    try:
        from rolecall.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("rolecall: interrupted before it began.\n")
        return 130
