"""Bar charts: heights, and unknown counts."""

from tasks_admin.lib.charts import bar_chart


def chart(*counts):
    return bar_chart([("label", count, f"{count}") for count in counts], height=48, summary="s")


def test_heights_are_relative_to_the_peak():
    bars = chart(10, 5, 0).bars

    assert [(bar.x, bar.y, bar.height) for bar in bars] == [
        ("0", "0", "48"), ("6", "24", "24"), ("12", "48", "0"),
    ]  # fmt: skip


def test_small_count_is_visible():
    assert [bar.height for bar in chart(1, 10_000).bars] == ["1", "48"]


def test_unknown_is_not_zero():
    assert [bar.count for bar in chart(None, 0).bars] == [None, 0]
    assert not chart(None, None).is_known
    assert chart(None, 0).is_known


def test_totals():
    result = chart(1, None, 3)

    assert (result.peak, result.total, result.width) == (3, 4, "18")


def test_no_bars():
    assert (chart().peak, chart().width) == (0, "0")
