"""The database of the runs: its tables, its statements, and the connections of workers and operators."""
