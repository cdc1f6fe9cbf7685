"""The interface to the broker: publishing, and the messages in its queues."""

from tasks_admin.integrations.broker.contents import (
    QueueDepth,
    QueueDepths,
    depths,
    peek,
    put,
    restores_first,
    stage,
    take,
)
from tasks_admin.integrations.broker.payloads import Payload
from tasks_admin.integrations.broker.publishing import (
    PAGE_TIMEOUT,
    Message,
    build_message,
    connect,
    count_waiting,
    publish,
)
from tasks_admin.integrations.broker.registry import (
    declared_queues,
    may_run_again,
    protected_tasks,
    registered_tasks,
    task_function,
    unprotected_reason,
)
from tasks_admin.integrations.broker.schedules import ScheduleEntry, schedule_entries

__all__ = [
    "PAGE_TIMEOUT",
    "Message",
    "Payload",
    "QueueDepth",
    "QueueDepths",
    "ScheduleEntry",
    "build_message",
    "connect",
    "count_waiting",
    "declared_queues",
    "depths",
    "may_run_again",
    "peek",
    "protected_tasks",
    "publish",
    "put",
    "registered_tasks",
    "restores_first",
    "schedule_entries",
    "stage",
    "take",
    "task_function",
    "unprotected_reason",
]
