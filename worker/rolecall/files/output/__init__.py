"""Output files: reports, CSV, Prometheus metrics."""
