"""Tasks, as the workers know them: which run, which are kept, and which shall not run (on)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks_admin.integrations.control.requests import ask, may_hold_tasks, online


@dataclass(frozen=True, kw_only=True)
class Termination:
    """What the workers said when they were asked to end tasks."""

    #: Who answered.
    answered: frozenset[str]
    #: The process that each task ran in, by its id: (worker, pid). It was told to end.
    signalled: dict[str, tuple[str, int]]
    #: Tasks that run where no single task can be ended.
    refused: frozenset[str]
    #: Who may run some, and did not answer: it may still do it when it wakes up.
    silent: frozenset[str] = frozenset()


def revoke(task_ids: list[str]) -> None:
    """Tell all workers to drop these tasks when they come; nobody answers. See `revocations`."""
    arguments = {"task_id": task_ids, "terminate": False, "signal": "SIGTERM"}
    ask("revoke", arguments=arguments, reply=False)


def begun(task_ids: list[str]) -> set[str] | None:
    """Those of these tasks that run at this moment; None while one is silent that may run some."""
    trusted = may_hold_tasks()
    told = ask("console_running", arguments={"task_ids": task_ids}, expected=trusted)
    if trusted - {name for name, _reply in told}:
        return None
    return {str(task_id) for _name, said in told if isinstance(said, list) for task_id in said}


def known(task_ids: list[str]) -> set[str] | None:
    """Those of these tasks that a worker runs or keeps; None when that can't be told.

    It can't when nobody answers, or when one does not answer that may hold tasks.
    """
    trusted = may_hold_tasks()
    told = ask("query_task", arguments={"ids": task_ids}, expected=trusted)
    if not told or trusted - {name for name, _reply in told}:
        return None
    return {
        str(task_id) for _name, reply in told if isinstance(reply, Mapping) for task_id in reply
    }


def terminate(task_ids: list[str]) -> Termination:
    """Ask all workers to end those of these tasks that they run."""
    trusted = may_hold_tasks()
    told: dict[str, Mapping[str, Any]] = {}
    for name, said in ask("console_terminate", arguments={"task_ids": task_ids}, expected=trusted):
        if isinstance(said, Mapping) and "error" not in said:
            told[name] = said
    return Termination(
        answered=frozenset(told),
        signalled={
            str(task_id): (name, int(pid))
            for name, said in told.items()
            for task_id, pid in (said.get("signalled") or {}).items()
        },
        refused=frozenset(
            str(task_id) for said in told.values() for task_id in said.get("refused") or ()
        ),
        silent=frozenset(trusted - told.keys()),
    )


def processes() -> set[tuple[str, int]]:
    """The processes of all pools that answer: (worker, pid)."""
    told = ask("console_processes", expected=online())
    return {(name, int(pid)) for name, said in told if isinstance(said, list) for pid in said}


def anybody() -> bool:
    """Whether at least one worker answers; returns with the first answer."""
    return bool(ask("ping", limit=1))
