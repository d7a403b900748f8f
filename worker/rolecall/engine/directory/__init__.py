"""Finds who has a role where: user by user, or room by room."""
