"""Tracebacks are split into the project's own frames and library frames, without loss."""

import django
import pytest

from tasks_admin.lib import tracebacks

OURS = '  File "/srv/shop/tasks.py", line 12, in send\n    mail(user)\n    ~~~~^^^^^^'
THEIRS = '  File "/x/lib/python3.11/site-packages/celery/x.py", line 1, in run\n    return f()'
STDLIB = '  File "/usr/lib/python3.11/smtplib.py", line 9, in send\n    raise X'
HEAD, END = "Traceback (most recent call last):", "ValueError: no\n  such thing"


def test_library_frames_are_grouped():
    text = "\n".join([HEAD, THEIRS, THEIRS, OURS, STDLIB, END])

    found = tracebacks.frame_groups(text)

    assert [(group.library, group.frames) for group in found] == [
        (False, 0), (True, 2), (False, 1), (True, 1), (False, 0),
    ]  # fmt: skip
    assert "\n".join(group.text for group in found) == text


def test_a_real_traceback():
    import traceback

    try:
        django.utils.timezone.make_aware("no date")  # type: ignore[arg-type]
    except AttributeError:
        text = traceback.format_exc()

    frames = list(tracebacks.frames(text))

    assert [library for _file, _function, library in frames] == [False, *[True] * (len(frames) - 1)]
    assert len(frames) > 1
    assert frames[0][:2] == (__file__, "test_a_real_traceback")


@pytest.mark.parametrize("text", ["", "no traceback", "<script>", "x" * 1_000_000, "\n" * 100_000])
def test_any_text_is_kept_whole(text):
    found = tracebacks.frame_groups(text)

    assert "\n".join(group.text for group in found) == "\n".join(text.splitlines())
