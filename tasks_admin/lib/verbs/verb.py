"""What a verb is: its name, its permission, and each property that pages and processes read."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class TargetType(StrEnum):
    """What the targets of a verb are. `NONE`: they have no page."""

    NONE = ""
    USER = "user"
    RESULT = "result"
    FAILURE_GROUP = "failure_group"
    WORKER = "worker"
    QUEUE = "queue"
    PERIODIC_TASK = "periodic_task"


@dataclass(frozen=True, kw_only=True)
class Verb:
    """An action that staff, a user or the console can perform.

    A property that a row does not declare is neither offered nor allowed.
    """

    name: str
    #: The text of its button.
    label: "str | _StrPromise"
    #: What an operation of this verb is called in lists.
    title: "str | _StrPromise"
    #: The codename in `tasks_admin` that staff need; empty: staff cannot perform it.
    permission: str = ""
    target_type: TargetType = TargetType.NONE
    #: The task that is published for each target.
    task: str = ""
    #: `module:function` that the dispatcher calls with the operation, instead of publishing tasks.
    handler: str = ""
    #: `module:class` of the form that asks for more than a reason; see `admin.shared.forms`.
    form: str = ""
    #: What the page that asks for confirmation says about the effect.
    consequence: "str | _StrPromise" = ""
    #: Staff must give a reason.
    requires_reason: bool = True
    #: Staff can set how many targets are published each minute.
    rate_limited: bool = False
    #: Staff can let one target run first; the others follow when it has succeeded.
    canary: bool = False
    #: Staff can pause and abort it.
    interruptible: bool = False
    #: It waits for a second person when it has more targets than `APPROVAL_ABOVE`.
    approvable: bool = False
    #: The person who started it receives an email with its outcome.
    summarized: bool = False
    #: Its failed targets have results that can be retried.
    retryable: bool = False

    @property
    def full_permission(self) -> str:
        """The permission in the form that `User.has_perm` takes."""
        return f"tasks_admin.{self.permission}"
