"""The run store in one SQLite file."""
