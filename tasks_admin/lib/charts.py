"""Bar charts: positions and heights of bars, from counts. `chart.html` draws them as SVG."""

from collections.abc import Iterable
from dataclasses import dataclass

#: The width of a bar, and of a bar with its gap.
BAR_WIDTH, STEP = 5, 6


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar. SVG attributes are strings: they must not be localized."""

    x: str
    y: str
    height: str
    #: The hour, day or minute of the bar.
    label: str
    #: None: not known, which is not the same as zero.
    count: int | None
    #: The count as text, for the tooltip and the table.
    text: str


@dataclass(frozen=True, kw_only=True)
class BarChart:
    """Bars of equal width, scaled so that the highest one has the full height."""

    bars: list[Bar]
    height: str
    #: The text alternative.
    summary: str

    @property
    def width(self) -> str:
        """The width of all bars."""
        return str(len(self.bars) * STEP)

    @property
    def bar_width(self) -> str:
        """The width of one bar."""
        return str(BAR_WIDTH)

    @property
    def peak(self) -> int:
        """The highest count."""
        return max((bar.count or 0 for bar in self.bars), default=0)

    @property
    def total(self) -> int:
        """The sum of all known counts."""
        return sum(bar.count or 0 for bar in self.bars)

    @property
    def is_known(self) -> bool:
        """Whether any count is known."""
        return any(bar.count is not None for bar in self.bars)


def bar_chart(
    points: Iterable[tuple[str, int | None, str]], *, height: int, summary: str
) -> BarChart:
    """Build a chart of (label, count, text). A bar above zero has at least one unit of height."""
    values = list(points)
    peak = max((count or 0 for _label, count, _text in values), default=0) or 1
    bars = []
    for position, (label, count, text) in enumerate(values):
        own = -(-(count or 0) * height // peak)  # rounded up
        bars.append(
            Bar(
                x=str(position * STEP),
                y=str(height - own),
                height=str(own),
                label=label,
                count=count,
                text=text,
            )
        )
    return BarChart(bars=bars, height=str(height), summary=summary)
