"""Configuration: the environment, `.env`, `rolecall.toml` and credentials; where each value is set; usage errors."""
