"""One module for each command: its options, one use case, and the view of its result."""
