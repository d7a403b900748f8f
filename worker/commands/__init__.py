"""What a person can type: one file for each verb, and what they share (options, settings, exit codes)."""
