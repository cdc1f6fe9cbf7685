"""Trends and failure rates: recent failures of a group, per hour, per day and per task run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, OuterRef, Subquery
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import ngettext

from tasks_admin.lib.charts import BarChart, bar_chart
from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Result
from tasks_admin.models.result_states import READY

HOURS, DAYS = 24, 14
#: The latest results of a task that its failure rate covers.
MAX_RUNS = 1000
MAX_HEIGHT = 24


@dataclass(frozen=True, kw_only=True)
class FailureRate:
    """The failures of a group among the finished runs of its task."""

    failed: int
    runs: int

    @property
    def percent(self) -> float:
        """The rate, from 0 to 100."""
        return self.failed * 100 / self.runs


def hourly(groups: Sequence[FailureGroup]) -> dict[int, BarChart]:
    """The failures of the last 24 hours by group, in one query."""
    begin = _hour(timezone.now()) - timedelta(hours=HOURS - 1)
    steps = [begin + timedelta(hours=number) for number in range(HOURS)]
    counts: dict[int, dict[datetime, int]] = {group.pk: {} for group in groups}
    rows = FailureGroupHour.objects.filter(group__in=list(counts), hour__gte=begin)
    for pk, hour, count in rows.values_list("group_id", "hour", "count"):
        counts[pk][hour] = count
    labels = [date_format(timezone.localtime(step), "TIME_FORMAT") for step in steps]
    return {
        pk: _chart(labels, [found.get(step, 0) for step in steps]) for pk, found in counts.items()
    }


def daily(group: FailureGroup) -> BarChart:
    """The failures of the last 14 days, in the reader's time zone."""
    today = timezone.localdate()
    steps = [today - timedelta(days=number) for number in reversed(range(DAYS))]
    counts = dict.fromkeys(steps, 0)
    begin = timezone.now() - timedelta(days=DAYS)
    for hour, count in group.hours.filter(hour__gte=begin).values_list("hour", "count"):
        day = timezone.localdate(hour)
        if day in counts:
            counts[day] += count
    labels = [date_format(step, "SHORT_DATE_FORMAT") for step in steps]
    return _chart(labels, list(counts.values()))


def failure_rates(groups: Iterable[FailureGroup]) -> dict[int, FailureRate]:
    """The failure rate by group over the latest `MAX_RUNS` results of its task, in one query.

    Unfinished runs are not counted. A group whose task has no finished run has no rate.
    """
    groups = list(groups)
    queries = [_count_by_group(task) for task in sorted({group.task for group in groups})]
    if not queries:
        return {}
    runs: dict[str, int] = {}
    failed: dict[int, int] = {}
    # Django 6.1 orders a union by the model's own order, which is none of its columns.
    for task, pk, count in queries[0].union(*queries[1:], all=True).order_by():
        runs[task] = runs.get(task, 0) + count
        if pk is not None:
            failed[pk] = failed.get(pk, 0) + count
    return {
        group.pk: FailureRate(failed=failed.get(group.pk, 0), runs=runs[group.task])
        for group in groups
        if group.task in runs
    }


def _count_by_group(task: str):  # type: ignore[no-untyped-def]
    """Rows of (task, group or None, number of its latest finished results)."""
    latest = Result.objects.filter(task_name=task).order_by("-id").values("pk")[:MAX_RUNS]
    group = Failure.objects.filter(task_id=OuterRef("task_id")).values("group_id")[:1]
    ended = Result.objects.filter(pk__in=latest, status__in=READY).order_by()
    rows = ended.annotate(group=Subquery(group)).values_list("task_name", "group")
    return rows.annotate(count=Count("pk"))


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _chart(labels: list[str], counts: list[int]) -> BarChart:
    total = sum(counts)
    summary = ngettext("%(count)s failure", "%(count)s failures", total) % {"count": f"{total:,}"}
    points = ((label, count, f"{count:,}") for label, count in zip(labels, counts, strict=True))
    return bar_chart(points, height=MAX_HEIGHT, summary=summary)
