"""Programs that do the same work by other means; each is started as a process of its own."""
