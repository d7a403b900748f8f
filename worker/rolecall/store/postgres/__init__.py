"""The run store in PostgreSQL, for workers on several machines."""
