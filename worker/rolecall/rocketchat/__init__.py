"""Rocket.Chat's REST API: the HTTP client, the operations, and the classification of responses."""
