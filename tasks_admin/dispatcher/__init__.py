"""The dispatcher's work: rounds over all operations."""

from tasks_admin.dispatch.rounds import sweep

__all__ = ["sweep"]
