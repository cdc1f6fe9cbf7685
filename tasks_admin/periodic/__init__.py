"""Periodic tasks: the heartbeat and schedule of beat, and the actions that staff can perform."""

from tasks_admin.periodic.actions import ACTIONS, disable, enable, run
from tasks_admin.periodic.overview import Overview, PeriodicTaskStatus, overview

__all__ = ["ACTIONS", "Overview", "PeriodicTaskStatus", "disable", "enable", "overview", "run"]
