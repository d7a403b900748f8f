"""A randomised campaign: faults, kills and resumes mixed, and four invariants held after each job.

`python -m tests.campaign --seconds 60` prints its seed; `--seed` makes the same jobs again.
"""
