"""The history of a queue: the waiting messages of the last hour, as a bar chart."""

from datetime import timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from tasks_admin.lib.charts import BarChart, bar_chart
from tasks_admin.models import QueueMinute

#: Minutes that the chart covers.
MINUTES = 60
MAX_HEIGHT = 48


def history(name: str) -> BarChart:
    """Return the last hour of a queue, by minute; one query."""
    now = timezone.now().replace(second=0, microsecond=0)
    steps = [now - timedelta(minutes=number) for number in reversed(range(MINUTES))]
    rows = {row.minute: row for row in QueueMinute.objects.filter(queue=name).within(MINUTES)}
    peak = max((row.waiting or 0 for row in rows.values()), default=0)
    taken = sum(row.taken for row in rows.values())
    summary = _("Peak %(peak)s waiting · %(taken)s processed") % {
        "peak": f"{peak:,}", "taken": f"{taken:,}",
    }  # fmt: skip
    points = (
        (date_format(timezone.localtime(step), "TIME_FORMAT"), *_count(rows.get(step)))
        for step in steps
    )
    return bar_chart(points, height=MAX_HEIGHT, summary=summary)


def _count(row: QueueMinute | None) -> tuple[int | None, str]:
    """Return the waiting messages of a minute, as a number and as text."""
    if row is None or row.waiting is None:
        return None, _("not known")
    text = _("%(waiting)s waiting, %(taken)s processed")
    return row.waiting, text % {"waiting": f"{row.waiting:,}", "taken": f"{row.taken:,}"}
