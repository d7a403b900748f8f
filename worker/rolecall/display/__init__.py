"""What people see: log lines, the summary."""
