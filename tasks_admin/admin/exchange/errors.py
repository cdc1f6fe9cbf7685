"""What an export or import refuses."""

from tasks_admin.lib.errors import ConsoleError


class Unreadable(ConsoleError):
    """The file can't be read, or is too large to be."""


class UploadGone(ConsoleError):
    """The upload was confirmed already, or removed because nobody confirmed it."""
