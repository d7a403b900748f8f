"""Exceptions of the application layer; those of the layers below are defined beside what raises them."""

from rolecall.models import RolecallError


class OperatorError(RolecallError):
    """The command ends before its work because of its input: settings, a file, a directory."""


class OutputError(RolecallError):
    """The result could not be written."""
