"""Task results: what staff can do with them, and what is known of them."""

from tasks_admin.results.actions import (
    RETRYABLE,
    failures_of,
    groups,
    judged,
    retry_failed,
    reveal,
    select,
)

__all__ = [
    "RETRYABLE",
    "failures_of",
    "groups",
    "judged",
    "retry_failed",
    "reveal",
    "select",
]
