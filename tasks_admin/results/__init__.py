"""Task results: retry, edit, cancellation, lost tasks, history and failure groups."""

from tasks_admin.results.actions import (
    failed_results,
    preview_groups,
    retry_failed,
    reveal,
    select,
    targets,
    with_exclusion_reason,
)

__all__ = [
    "failed_results",
    "preview_groups",
    "retry_failed",
    "reveal",
    "select",
    "targets",
    "with_exclusion_reason",
]
