"""The dispatcher's work: rounds over all operations."""

from tasks_admin.dispatcher.publishing import sweep

__all__ = ["sweep"]
