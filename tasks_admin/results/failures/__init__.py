"""Failures: alike ones are counted together, in the transaction that stores them."""

from tasks_admin.failures.kinds import Kind, exception_of
from tasks_admin.failures.messages import normalised
from tasks_admin.failures.notes import note
from tasks_admin.failures.places import place

__all__ = ["Kind", "exception_of", "normalised", "note", "place"]
