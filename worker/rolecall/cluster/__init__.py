"""Several machines: runs in a PostgreSQL database, and the workers that send their rows."""
