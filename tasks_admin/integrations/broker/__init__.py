"""The one door to the broker: for publishing, and for what lies in its queues."""

from tasks_admin.integrations.broker.contents import (
    Depth,
    Depths,
    depths,
    peek,
    put,
    restores_first,
    stage,
    taking,
)
from tasks_admin.integrations.broker.payloads import Payload
from tasks_admin.integrations.broker.publishing import (
    BATCH,
    PATIENCE,
    Message,
    connected,
    publish,
    routed,
    waiting,
)
from tasks_admin.integrations.broker.registry import (
    body,
    may_run_again,
    queues,
    registered,
    repeatable,
    unrepeatable,
)
from tasks_admin.integrations.broker.schedules import Entry, scheduled

__all__ = [
    "BATCH",
    "PATIENCE",
    "Depth",
    "Depths",
    "Entry",
    "Message",
    "Payload",
    "body",
    "connected",
    "depths",
    "may_run_again",
    "peek",
    "publish",
    "put",
    "queues",
    "registered",
    "repeatable",
    "restores_first",
    "routed",
    "scheduled",
    "stage",
    "taking",
    "unrepeatable",
    "waiting",
]
