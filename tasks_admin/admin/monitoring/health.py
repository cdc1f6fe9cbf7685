"""`/healthz` and `/readyz`, for who watches the console."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from tasks_admin.integrations import control
from tasks_admin.lib.errors import BrokerUnreachable


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Database, broker and at least one worker answer: 200; else 503. Names, no details."""
    parts = {"database": _database(), **_workers()}
    ready = all(word == "ok" for word in parts.values())
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
        anybody = control.any_worker_replies()
    except BrokerUnreachable:
        return {"broker": "no answer", "worker": "unknown"}
    return {"broker": "ok", "worker": "ok" if anybody else "no answer"}
