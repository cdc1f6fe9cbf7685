"""Periodic tasks: what can be told of them, and what staff can do with them."""

from tasks_admin.periodic.actions import disable, enable, run
from tasks_admin.periodic.overview import Overview, Seen, overview

__all__ = ["Overview", "Seen", "disable", "enable", "overview", "run"]
