"""The response while the database is unavailable."""

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from tasks_admin.integrations.database import UNAVAILABLE_ERRORS

logger = logging.getLogger(__name__)


class DatabaseUnavailableMiddleware:
    """Responds with 503 and a short page, instead of 500, if the database is unavailable."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Call the next middleware or the view."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Render the page, which needs no database itself; None for all other errors."""
        if not isinstance(error, UNAVAILABLE_ERRORS):
            return None
        logger.warning("Database unavailable (%s): %s", type(error).__name__, request.path)
        page = render_to_string("tasks_admin/database_unavailable.html")
        return HttpResponse(page, status=503, headers={"Retry-After": "5"})
