"""Failure fingerprints: the normalized message, and the location in the code."""

import dataclasses
import time

import pytest

from tasks_admin.results.failures import (
    FailureFingerprint,
    exception_class,
    location_of,
    message_of,
    normalize_message,
)
from tasks_admin.results.failures.messages import MAX_LENGTH

SAME = {
    "numbers": ["order 12 of 9,000 took -3.5e-7 s", "order 7 of 1 took 4 s"],
    "numbers in words": ["shard17 is full", "shard2 is full"],
    "hex": ["at 0x7f3a10 in deadbeef01", "at 0xDEAD in 00c0ffee99aa"],
    "UUIDs": [
        "no cart 1f0e8f5c-0d6e-4f3e-9d52-0a6b1c2d3e4f",
        "no cart AAAAAAAA-0d6e-4f3e-9d52-0a6b1c2d3e4f",
    ],
    "target ids": [
        "no 1f0e8f5c-0d6e-4f3e-9d52-0a6b1c2d3e4f-12-3",
        "no 1f0e8f5c-0d6e-4f3e-9d52-0a6b1c2d3e40-7-1",
    ],
    "addresses": ["<ann@mail.example> refused", "<b.o+b@x.y.example> refused"],
    "quoted": ["no user 'ann'", 'no user "bob o\'neil"', "no user `x`", "no user “zoë”"],
    "paths": ["missing /srv/a/b.txt", "missing ~/c", "missing ../d/e-1.csv", "missing C:\\x\\y"],
    "relative paths": ["no media/2026/a.png", "no media/x/y/b.jpg"],
    "dates": ["since 2026-01-02T03:04:05.678Z", "since 2026-11-12", "since 09:15:01"],
    "dates in words": ["since Mon, 3 Nov 2026", "since Nov 12, 2025"],
    "tokens": ["no sk_live_9aB8c7D6e5F4g3H2i1J0kkkk", "no Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg=="],
    "URLs": [
        "GET https://api.example/v1/users/3?x=1 failed",
        "GET https://me:pw@api.example/v2 failed",
    ],
    "lists": ["ids [1, 2, 3] are gone", "ids [4] are gone"],
    "data": ["got {'a': 1, 'b': [2, 3]}", "got {'c': {'d': None}}"],
    "lines": ["first\n  second 1\r\n\tthird", "first second 2 third"],
    "sets of ids": ["gone: 1, 2, 3, 4", "gone: 9, 8"],
}  # fmt: skip
DIFFERENT = [
    "connection refused", "connection reset", "can't open the user's file", "and/or",
    "GET https://api.example/v1 failed", "GET https://other.example/v1 failed", "n/a",
    "Größe überschritten", "大きすぎる",
]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_messages_that_differ_in_values_are_normalized_to_one(name):
    assert len({normalize_message(text) for text in SAME[name]}) == 1, list(
        map(normalize_message, SAME[name])
    )


def test_messages_that_differ_in_words_stay_different():
    assert len({normalize_message(text) for text in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize("text", ["can't open the user's file", "Größe überschritten", "n/a", ""])
def test_words_are_kept(text):
    assert normalize_message(text) == text


def test_the_normalized_message_is_readable():
    text = "User 42 <ann@mail.example> has no cart '7f' since 2026-01-02"

    assert normalize_message(text) == "User <number> <<address>> has no cart <text> since <date>"


@pytest.mark.parametrize("texts", SAME.values(), ids=list(SAME))
def test_normalizing_twice_changes_nothing(texts):
    once = normalize_message(texts[0])

    assert normalize_message(once) == once


SECRETS = [
    "cannot connect to postgres://ops:hunter2@db.example/ops",
    "bad header Authorization: Bearer hunter2hunter2",
    "password=hunter2 refused", "refused {'password': 'hunter2'}", "api_key: hunter2",
    "redis://:hunter2@cache:6379/0",
    "eyJhbGciOiJIUzI1NiJ9.eyJodW50ZXIyIjoxfQ.hunter2hunter2hunter2",
    "x" * 400 + " password=hunter2", "secret='hunter2\\' still hunter2'",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_masked(text):
    assert "hunter2" not in normalize_message(text)
    result = {"exc_type": "E", "exc_message": [text]}
    fingerprint = FailureFingerprint.of(task="t", result=result, traceback=None)
    assert "hunter2" not in fingerprint.message


def test_a_long_message_is_truncated():
    text = normalize_message("word " * 20_000)

    assert len(text) <= MAX_LENGTH
    assert text.endswith("…")


@pytest.mark.parametrize(
    "text",
    ["'" * 64_000, "[" * 64_000, "[<text>" * 9000, "a" * 64_000, "1" * 64_000, "a-" * 32_000,
     "/" * 64_000, "/a" * 32_000, "a@" * 32_000, "\\" * 64_000, "://a:" * 12_000, "f0" * 32_000,
     "<number>, " * 6000, "a/" * 32_000, "{'" * 32_000, "é" * 64_000, "x." * 32_000, "\n" * 64_000],
)  # fmt: skip
def test_no_text_takes_much_longer_than_prose(text):
    prose = "order 12 is gone. " * 4000

    assert cpu_time(text) < 30 * cpu_time(prose)


def cpu_time(text):
    """The shortest of several runs: of the ratio of two, the machine's speed is no part."""
    times = []
    for _run in range(5):
        begin = time.process_time()
        normalize_message(text)
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"exc_type": "ValueError", "exc_message": ["no user", 42]}, "no user, 42"),
        ({"exc_type": "ValueError", "exc_message": ["no user", "ann"]}, "no user, 'ann'"),
        ({"exc_type": "ValueError", "exc_message": [5, "No such file"]}, "5, No such file"),
        ({"exc_type": "KeyError", "exc_message": ["ann"]}, "'ann'"),
        ({"exc_type": "E", "exc_message": "clipped"}, "clipped"),
        ({"exc_type": "E", "exc_message": []}, ""),
        ({"exc_type": "E"}, ""),
        ({}, ""),
        (None, ""),
        (ValueError("pickled"), "pickled"),
        ({"exc_type": "E", "exc_message": ["a\x00b\ud800"]}, "ab?"),
    ],
)
def test_the_message_of_a_stored_exception(result, text):
    assert message_of(result) == text


HEAD = "Traceback (most recent call last):\n"
LIBRARY = '  File "/v/lib/python3.12/site-packages/celery/app/trace.py", line 5, in run\n    f()\n'
STDLIB = '  File "/usr/lib/python3.12/smtplib.py", line 70, in sendmail\n    raise X\n'


def own_frame(file="/srv/app/shop/tasks.py", function="charge", line=3):
    return f'  File "{file}", line {line}, in {function}\n    pay()\n    ~~~^^\n'


class TestLocation:
    """The innermost frame of the project's own code."""

    def test_the_innermost_own_frame_counts(self):
        text = HEAD + LIBRARY + own_frame() + own_frame(function="pay") + STDLIB + "smtplib.X: no\n"

        assert location_of(text) == "shop.tasks:pay"

    def test_line_numbers_do_not_count(self):
        assert location_of(HEAD + own_frame(line=3)) == location_of(HEAD + own_frame(line=400))

    @pytest.mark.parametrize("text", ["", "no traceback", HEAD + LIBRARY + "E: x\n"])
    def test_without_an_own_frame(self, text):
        assert location_of(text) == ""

    def test_of_chained_exceptions_the_last_counts(self):
        first = HEAD + own_frame(function="first") + "KeyError: 1\n"
        then = "\nDuring handling of the above exception, another exception occurred:\n\n"

        assert (
            location_of(first + then + HEAD + own_frame(function="last") + "E: x\n")
            == "shop.tasks:last"
        )

    def test_of_chained_exceptions_an_earlier_one_counts_if_the_last_has_no_own_frame(self):
        first = HEAD + own_frame(function="first") + "KeyError: 1\n"
        then = "\nThe above exception was the direct cause of the following exception:\n\n"

        assert location_of(first + then + HEAD + LIBRARY + "E: x\n") == "shop.tasks:first"

    def test_frames_quoted_in_a_message_do_not_count(self):
        text = (
            HEAD
            + own_frame()
            + 'RuntimeError: it read:\n  File "/srv/app/a/evil.py", line 1, in x\n'
        )

        assert location_of(text) == "shop.tasks:charge"

    def test_an_exception_group(self):
        text = (
            "  + Exception Group Traceback (most recent call last):\n"
            '  |   File "/srv/app/shop/tasks.py", line 3, in charge\n'
            "  |     raise ExceptionGroup(...)\n"
            "  | ExceptionGroup: two (2 sub-exceptions)\n"
            "  +-+---------------- 1 ----------------\n"
            "    | Traceback (most recent call last):\n"
            '    |   File "/srv/app/shop/other.py", line 3, in other\n'
            "    | KeyError: 1\n"
            "    +------------------------------------\n"
        )

        assert location_of(text) == "shop.tasks:charge"

    def test_a_module_has_the_name_by_which_it_is_imported(self, monkeypatch):
        monkeypatch.setattr("sys.path", ["", "/releases/42", "/releases/42/src"])

        file = "/releases/42/src/shop/pay/__init__.py"
        assert location_of(HEAD + own_frame(file=file)) == "shop.pay:charge"

    def test_the_end_of_a_huge_traceback_is_read(self):
        assert (
            location_of(HEAD + own_frame() * 20_000 + own_frame(function="end") + "E: x\n")
            == "shop.tasks:end"
        )


def test_the_digest_depends_on_every_field():
    one = FailureFingerprint(task="t", exception="E", location="l", message="m")
    others = [
        dataclasses.replace(one, task="t2"),
        dataclasses.replace(one, exception="F"),
        dataclasses.replace(one, location="l2"),
        dataclasses.replace(one, message="m2"),
        one.without_message(),
    ]

    assert len({one.digest, *(other.digest for other in others)}) == 6
    assert len(one.digest) == 64


def test_the_exception_has_its_module_in_front():
    result = {"exc_type": "Refused", "exc_module": "shop.errors", "exc_message": []}

    assert exception_class(result) == "shop.errors.Refused"
    assert exception_class(ValueError()) == "ValueError"
