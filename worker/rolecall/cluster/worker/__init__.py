"""A worker: the process that sends the rows of runs, and what it does beside that."""
