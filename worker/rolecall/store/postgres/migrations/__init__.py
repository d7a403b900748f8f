"""The schema by versions: one SQL file for each, and the rights of the group roles."""
