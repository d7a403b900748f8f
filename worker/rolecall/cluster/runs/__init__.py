"""What an operator does with the runs of the database: submit, look, stop, report, verify, undo, import."""
