"""What was asked for and where it stands: the environment, `.env`, `rolecall.toml`, credentials; and what was meant."""
