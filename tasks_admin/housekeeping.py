"""Delete what nobody needs any more."""

from tasks_admin import limits


def clean() -> dict[str, int]:
    """Return how many rows of each kind were deleted."""
    return {"attempts": limits.forget_expired()}
