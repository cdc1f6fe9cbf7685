"""`/metrics`, for Prometheus: with a bearer token, or for staff who may look."""

from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from tasks_admin.admin.monitoring import metrics
from tasks_admin.lib.conf import settings


@never_cache
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Tell the metrics: 401 without credentials, 403 with some that don't do."""
    given = request.headers.get("Authorization", "")
    if not (_right(given) if given else _may_look(request)):
        known = bool(given) or request.user.is_authenticated
        text = "Send `Authorization: Bearer …` with TASKS_ADMIN_METRICS_TOKEN, or sign in as staff "
        text += "with the permission tasks_admin.view_metrics.\n"
        answer = HttpResponse(text, status=403 if known else 401, content_type="text/plain")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    body, content_type = metrics.told(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)


def _right(given: str) -> bool:
    """Whether this is the token; without one that is set, none is right."""
    scheme, _space, token = given.partition(" ")
    wanted = str(settings.METRICS_TOKEN)
    return bool(wanted) and scheme.lower() == "bearer" and constant_time_compare(token, wanted)


def _may_look(request: HttpRequest) -> bool:
    user = request.user
    staff = getattr(user, "is_staff", False) and user.is_active
    return staff and user.has_perm("tasks_admin.view_metrics")
