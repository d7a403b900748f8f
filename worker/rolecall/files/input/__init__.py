"""Input files: jobs, id lists, stored HTTP responses."""
