"""The contract of a notification channel."""

from collections.abc import Callable
from dataclasses import dataclass

from tasks_admin.models import Operation, Target


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A way to report to people or programs that an operation has finished."""

    #: The prefix of the subjects of its targets, without a colon.
    name: str
    #: Whether to notify of this finished operation; called in the transaction that finishes it.
    wants: Callable[[Operation], bool]
    #: Sends it with `deliveries.attempt` and settles the target; returns the task's result.
    send: Callable[[Operation, Target], dict[str, str]]
