"""Trends and shares: how often a cause occurred lately, and in how many of its task's runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, OuterRef, Subquery
from django.utils import timezone
from django.utils.formats import date_format

from tasks_admin.models import Failure, FailureGroup, FailureGroupHour, Result
from tasks_admin.models.result_states import READY

HOURS, DAYS = 24, 14
#: The newest results of a task of which shares are told.
RUNS = 1000
#: A bar of a chart: its width with the gap, and its greatest height.
STEP, HEIGHT = 6, 24


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One hour or day. Numbers are texts: no language may write them its own way in a chart."""

    x: str
    y: str
    height: str
    #: When, and how often.
    label: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A small chart."""

    bars: list[Bar]
    total: int

    @property
    def width(self) -> str:
        """Of all bars."""
        return str(len(self.bars) * STEP)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Of so many runs so many failed for a cause."""

    failed: int
    runs: int

    @property
    def percent(self) -> float:
        """The share, from 0 to 100."""
        return self.failed * 100 / self.runs


def hourly(groups: Sequence[FailureGroup]) -> dict[int, Trend]:
    """The last 24 hours of each of these causes, by its key; one query."""
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


def daily(group: FailureGroup) -> Trend:
    """The last 14 days of a cause, in the time zone that pages are shown in."""
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


def shares(groups: Iterable[FailureGroup]) -> dict[int, Share]:
    """The share of each cause in the newest `RUNS` results of its task, by its key; one query.

    What has not ended is no run. A task of which nothing has ended has no share.
    """
    wanted = list(groups)
    counted = [_by_group(task) for task in sorted({group.task for group in wanted})]
    if not counted:
        return {}
    runs: dict[str, int] = {}
    failed: dict[int, int] = {}
    # Django 6.1 orders a union by the model's own order, which is none of its columns.
    for task, pk, count in counted[0].union(*counted[1:], all=True).order_by():
        runs[task] = runs.get(task, 0) + count
        if pk is not None:
            failed[pk] = failed.get(pk, 0) + count
    return {
        group.pk: Share(failed=failed.get(group.pk, 0), runs=runs[group.task])
        for group in wanted
        if group.task in runs
    }


def _by_group(task: str):  # type: ignore[no-untyped-def]
    """Rows of (task, cause or None, how many of its newest results)."""
    newest = Result.objects.filter(task_name=task).order_by("-id").values("pk")[:RUNS]
    group = Failure.objects.filter(task_id=OuterRef("task_id")).values("group_id")[:1]
    ended = Result.objects.filter(pk__in=newest, status__in=READY).order_by()
    rows = ended.annotate(group=Subquery(group)).values_list("task_name", "group")
    return rows.annotate(n=Count("pk"))


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _chart(labels: list[str], counts: list[int]) -> Trend:
    most = max(counts) or 1
    heights = [-(-count * HEIGHT // most) for count in counts]  # never none for a few
    bars = [
        Bar(
            x=str(number * STEP),
            y=str(HEIGHT - height),
            height=str(height),
            label=f"{label}: {count}",
            count=count,
        )
        for number, (label, count, height) in enumerate(zip(labels, counts, heights, strict=True))
    ]
    return Trend(bars=bars, total=sum(counts))
