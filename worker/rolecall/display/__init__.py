"""What people see: log lines, live progress, the summary of a run, and the HTML report."""
