"""The errors of imports."""

from tasks_admin.lib.errors import ConsoleError


class UnreadableFile(ConsoleError):
    """The file cannot be read, or is too large."""


class UploadExpired(ConsoleError):
    """The upload was confirmed before, or deleted because it was not confirmed in time."""
