"""What a page says while the database is away."""

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from tasks_admin.integrations.database import UNAVAILABLE_ERRORS

logger = logging.getLogger(__name__)


class DatabaseUnavailableMiddleware:
    """Answers 503 with a sentence instead of 500 when the database is locked, full or gone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for the database. The page itself must not need it."""
        if not isinstance(error, UNAVAILABLE_ERRORS):
            return None
        logger.warning("The database is away (%s): %s", type(error).__name__, request.path)
        page = render_to_string("tasks_admin/away.html")
        return HttpResponse(page, status=503, headers={"Retry-After": "5"})
