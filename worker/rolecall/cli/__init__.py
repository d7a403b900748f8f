"""Command line: arguments, environment, prompts, signals, exit codes. No other layer imports it."""
