"""Tasks, as the workers know them: which ones run, which are reserved; revoking and terminating."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks_admin.integrations.control.requests import may_hold_tasks, online, request


@dataclass(frozen=True, kw_only=True)
class TerminationReplies:
    """The replies of the workers to a request to terminate tasks."""

    #: The workers that replied.
    replied: frozenset[str]
    #: The process that each task ran in, by task id: (worker, pid). It got the signal.
    signalled: dict[str, tuple[str, int]]
    #: Tasks that run in a pool that can't terminate a single task.
    refused: frozenset[str]
    #: Workers that may run some and did not reply: they may still terminate them later.
    not_responding: frozenset[str] = frozenset()


def revoke(task_ids: list[str]) -> None:
    """Tell all workers to discard these tasks when they receive them, without replies.

    Workers keep that in memory only; see `revocations` for what survives a restart.
    """
    arguments = {"task_id": task_ids, "terminate": False, "signal": "SIGTERM"}
    request("revoke", arguments=arguments, reply=False)


def running_task_ids(task_ids: list[str]) -> set[str] | None:
    """The ones of these tasks that run at this moment.

    None if a worker that may run some did not reply.
    """
    expected = may_hold_tasks()
    replies = request("console_running", arguments={"task_ids": task_ids}, expected=expected)
    if expected - {name for name, _reply in replies}:
        return None
    return {str(task_id) for _name, ids in replies if isinstance(ids, list) for task_id in ids}


def held_task_ids(task_ids: list[str]) -> set[str] | None:
    """The ones of these tasks that a worker runs, has reserved or has scheduled.

    None if no worker replied, or if a worker that may hold tasks did not reply.
    """
    expected = may_hold_tasks()
    replies = request("query_task", arguments={"ids": task_ids}, expected=expected)
    if not replies or expected - {name for name, _reply in replies}:
        return None
    return {
        str(task_id) for _name, found in replies if isinstance(found, Mapping) for task_id in found
    }


def terminate(task_ids: list[str]) -> TerminationReplies:
    """Request all workers to terminate the ones of these tasks that they run."""
    expected = may_hold_tasks()
    arguments = {"task_ids": task_ids}
    replies: dict[str, Mapping[str, Any]] = {}
    for name, reply in request("console_terminate", arguments=arguments, expected=expected):
        if isinstance(reply, Mapping) and "error" not in reply:
            replies[name] = reply
    return TerminationReplies(
        replied=frozenset(replies),
        signalled={
            str(task_id): (name, int(pid))
            for name, reply in replies.items()
            for task_id, pid in (reply.get("signalled") or {}).items()
        },
        refused=frozenset(
            str(task_id) for reply in replies.values() for task_id in reply.get("refused") or ()
        ),
        not_responding=frozenset(expected - replies.keys()),
    )


def pool_processes() -> set[tuple[str, int]]:
    """The processes of the pools of all workers that reply: (worker, pid)."""
    replies = request("console_processes", expected=online())
    return {(name, int(pid)) for name, pids in replies if isinstance(pids, list) for pid in pids}


def any_worker_replies() -> bool:
    """Whether at least one worker replies; returns with the first reply."""
    return bool(request("ping", limit=1))
