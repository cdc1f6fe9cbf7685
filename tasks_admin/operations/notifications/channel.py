"""What a notification channel is."""

from collections.abc import Callable
from dataclasses import dataclass

from tasks_admin.models import Operation, Target


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A way to tell people or programs that an operation has finished."""

    #: The beginning of the subject of its targets; no colon.
    name: str
    #: Whether a notification of this finished operation is to be sent; called in its transaction.
    wants: Callable[[Operation], bool]
    #: Sends it with `deliveries.attempt` and settles the target; returns what the task returns.
    send: Callable[[Operation, Target], dict[str, str]]
