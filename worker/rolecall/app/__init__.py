"""Use cases: they return values, raise RolecallError, and print nothing."""
