"""`/healthz` and `/readyz`: whether this process is alive, and whether the console is ready."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Respond with 200: this process is alive."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Respond with 200 if the database, the broker and at least one worker reply, else with 503.

    The response names the parts without details, because anyone may read it.
    """
    parts = {"database": _database(), **_workers()}
    ready = all(state == "ok" for state in parts.values())
    return JsonResponse(
        {"status": "ok" if ready else "unavailable"} | parts, status=200 if ready else 503
    )


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "no answer"
    return "ok"


def _workers() -> dict[str, str]:
    try:
        replied = control.any_worker_replies()
    except BrokerUnreachable:
        return {"broker": "no answer", "worker": "unknown"}
    return {"broker": "ok", "worker": "ok" if replied else "no answer"}
