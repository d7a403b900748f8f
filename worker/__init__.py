"""Rolecall: takes the leader role away in bulk from members of Rocket.Chat private groups."""

__version__ = "0.1.0"
