"""Failures: alike ones are counted together, in the transaction that stores them."""

from tasks_admin.results.failures.fingerprints import Kind, exception_of
from tasks_admin.results.failures.locations import place
from tasks_admin.results.failures.messages import normalised
from tasks_admin.results.failures.recording import record_failure

__all__ = ["Kind", "exception_of", "normalised", "place", "record_failure"]
