"""The dispatcher: publishes due targets, recovers lost ones and deletes expired data."""

from tasks_admin.dispatcher.publishing import sweep

__all__ = ["sweep"]
