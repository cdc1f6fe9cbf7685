"""The history of a queue: what waited in it, minute by minute, as a small chart."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format

from tasks_admin.models import QueueMinute

#: Minutes that a chart shows.
MINUTES = 60
#: A bar of a chart: its width with the gap, and its greatest height.
STEP, HEIGHT = 6, 48


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One minute. Numbers are texts: no language may write them its own way in a chart."""

    x: str
    y: str
    height: str
    #: When, what waited, and what was taken.
    moment: str
    waiting: int | None
    taken: int


@dataclass(frozen=True, kw_only=True)
class History:
    """The last hour, oldest first."""

    bars: list[Bar]
    #: The most that waited, and all that was taken.
    most: int
    taken: int

    @property
    def width(self) -> str:
        """Of all bars."""
        return str(len(self.bars) * STEP)

    @property
    def height(self) -> str:
        """Of the highest bar."""
        return str(HEIGHT)

    @property
    def known(self) -> bool:
        """Whether anything was noted."""
        return any(bar.waiting is not None for bar in self.bars)


def history(name: str) -> History:
    """The last hour of a queue; one query."""
    now = timezone.now().replace(second=0, microsecond=0)
    steps = [now - timedelta(minutes=number) for number in reversed(range(MINUTES))]
    rows = {row.minute: row for row in QueueMinute.objects.filter(queue=name).within(MINUTES)}
    most = max((row.waiting or 0 for row in rows.values()), default=0)
    bars = [_bar(number, step, rows.get(step), most) for number, step in enumerate(steps)]
    return History(bars=bars, most=most, taken=sum(row.taken for row in rows.values()))


def _bar(number: int, step: datetime, row: QueueMinute | None, most: int) -> Bar:
    waiting = row.waiting if row is not None else None
    height = -(-(waiting or 0) * HEIGHT // (most or 1))  # never none for a few
    return Bar(
        x=str(number * STEP),
        y=str(HEIGHT - height),
        height=str(height),
        moment=date_format(timezone.localtime(step), "TIME_FORMAT"),
        waiting=waiting,
        taken=row.taken if row is not None else 0,
    )
