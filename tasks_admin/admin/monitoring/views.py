"""`/metrics`, for Prometheus: requires a bearer token, or staff with the permission."""

from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from tasks_admin.admin.monitoring import metrics
from tasks_admin.lib.conf import settings


@never_cache
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Respond with the metrics; 401 without credentials, 403 with insufficient ones."""
    authorization = request.headers.get("Authorization", "")
    allowed = _is_valid_token(authorization) if authorization else _has_permission(request)
    if not allowed:
        identified = bool(authorization) or request.user.is_authenticated
        text = "Send `Authorization: Bearer …` with TASKS_ADMIN_METRICS_TOKEN, or sign in as staff "
        text += "with the permission tasks_admin.view_metrics.\n"
        status = 403 if identified else 401
        response = HttpResponse(text, status=status, content_type="text/plain")
        response["WWW-Authenticate"] = "Bearer"
        return response
    body, content_type = metrics.exposition(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)


def _is_valid_token(authorization: str) -> bool:
    """Whether the header contains the token; without a configured token, none is valid."""
    scheme, _space, token = authorization.partition(" ")
    expected = str(settings.METRICS_TOKEN)
    return bool(expected) and scheme.lower() == "bearer" and constant_time_compare(token, expected)


def _has_permission(request: HttpRequest) -> bool:
    user = request.user
    staff = getattr(user, "is_staff", False) and user.is_active
    return staff and user.has_perm("tasks_admin.view_metrics")
