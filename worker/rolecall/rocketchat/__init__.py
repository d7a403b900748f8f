"""The Rocket.Chat workspace as seen over HTTP: where it is, how to call it, what its answers mean."""
