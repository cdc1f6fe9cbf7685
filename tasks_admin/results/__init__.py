"""Task results: what staff can do with them, and what is known of them."""

from tasks_admin.results.actions import (
    failures_of,
    groups,
    retry_failed,
    reveal,
    select,
    targets,
    with_exclusion_reason,
)

__all__ = [
    "failures_of",
    "groups",
    "retry_failed",
    "reveal",
    "select",
    "targets",
    "with_exclusion_reason",
]
