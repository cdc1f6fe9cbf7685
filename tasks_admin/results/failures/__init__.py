"""Failures: counted in groups by their fingerprint, in the transaction that stores the result."""

from tasks_admin.results.failures.fingerprints import FailureFingerprint, exception_class
from tasks_admin.results.failures.locations import location_of
from tasks_admin.results.failures.messages import message_of, normalize_message
from tasks_admin.results.failures.recording import record_failure

__all__ = [
    "FailureFingerprint",
    "exception_class",
    "location_of",
    "message_of",
    "normalize_message",
    "record_failure",
]
