"""Runs on several machines: the database, the job queue and the workers."""
