"""The list of results beside the stock one of django-celery-results, in time a page."""

import time
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from django.utils import timezone
from django_celery_results.admin import TaskResultAdmin
from django_celery_results.models import TaskResult

from tasks_admin.admin.results import ResultAdmin
from tasks_admin.models import Result

ROWS = 200_000
ROUNDS = 5


def run() -> list[dict[str, Any]]:
    """Fill the table, then open the same pages of both."""
    _fill()
    user, _made = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_superuser": True, "is_staff": True, "is_active": True}
    )
    rows = []
    for name, query in (
        ("first page", {}),
        ("failed ones", {"status": "FAILURE"}),
        ("search by id", {"q": "bench-77777"}),
    ):
        stock = {"status__exact": "FAILURE"} if "status" in query else query
        rival = _time(TaskResultAdmin(TaskResult, AdminSite()), user, stock)
        ours = _time(ResultAdmin(Result, AdminSite()), user, query)
        what = f"results, {name}, {ROWS:,} rows, beside django-celery-results"
        rows.append(
            {"what": what, "unit": "ms", "ratio": rival / ours, "rival": rival, "ours": ours}
        )
    return rows


def _time(admin: Any, user: Any, query: dict[str, str]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        request = RequestFactory().get("/", query)
        request.user = user
        begun = time.perf_counter()
        response = admin.changelist_view(request)
        list(response.context_data["cl"].result_list)
        for spec in response.context_data["cl"].filter_specs:
            list(spec.choices(response.context_data["cl"]))
        best = min(best, time.perf_counter() - begun)
    return best * 1000


def _fill() -> None:
    states = ["SUCCESS"] * 9 + ["FAILURE"]
    for start in range(0, ROWS, 10_000):
        TaskResult.objects.bulk_create(
            TaskResult(
                task_id=f"bench-{number}",
                task_name=f"tasks.task{number % 20}",
                task_args=f"[{number}]",
                task_kwargs="{}",
                status=states[number % 10],
                worker=f"worker{number % 4}@host",
                content_type="application/json",
                content_encoding="utf-8",
                result='{"outcome": "done"}',
                date_started=timezone.now(),
                meta='{"children": []}',
            )
            for number in range(start, start + 10_000)
        )
