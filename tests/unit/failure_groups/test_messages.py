"""What failures have in common: the message without what differs, and the place in the code."""

import time

import pytest

from tasks_admin.results.failures import Kind, normalised, place
from tasks_admin.results.failures.messages import KEPT, said

ALIKE = {
    "numbers": ["order 12 of 9,000 took -3.5e-7 s", "order 7 of 1 took 4 s"],
    "numbers in words": ["shard17 is full", "shard2 is full"],
    "hex": ["at 0x7f3a10 in deadbeef01", "at 0xDEAD in 00c0ffee99aa"],
    "UUIDs": [
        "no cart 1f0e8f5c-0d6e-4f3e-9d52-0a6b1c2d3e4f",
        "no cart AAAAAAAA-0d6e-4f3e-9d52-0a6b1c2d3e4f",
    ],
    "ids of ours": [
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
UNLIKE = [
    "connection refused", "connection reset", "can't open the user's file", "and/or",
    "GET https://api.example/v1 failed", "GET https://other.example/v1 failed", "n/a",
    "Größe überschritten", "大きすぎる",
]  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_what_differs_by_values_is_alike(name):
    assert len({normalised(text) for text in ALIKE[name]}) == 1, list(map(normalised, ALIKE[name]))


def test_what_differs_by_words_is_not():
    assert len({normalised(text) for text in UNLIKE}) == len(UNLIKE)


@pytest.mark.parametrize("text", ["can't open the user's file", "Größe überschritten", "n/a", ""])
def test_words_stay(text):
    assert normalised(text) == text


def test_it_is_readable():
    text = "User 42 <ann@mail.example> has no cart '7f' since 2026-01-02"

    assert normalised(text) == "User <number> <<address>> has no cart <text> since <date>"


@pytest.mark.parametrize("texts", ALIKE.values(), ids=list(ALIKE))
def test_done_twice_it_is_the_same(texts):
    once = normalised(texts[0])

    assert normalised(once) == once


SECRETS = [
    "cannot connect to postgres://ops:hunter2@db.example/ops",
    "bad header Authorization: Bearer hunter2hunter2",
    "password=hunter2 refused", "refused {'password': 'hunter2'}", "api_key: hunter2",
    "redis://:hunter2@cache:6379/0",
    "eyJhbGciOiJIUzI1NiJ9.eyJodW50ZXIyIjoxfQ.hunter2hunter2hunter2",
    "x" * 400 + " password=hunter2", "secret='hunter2\\' still hunter2'",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_is_kept(text):
    assert "hunter2" not in normalised(text)
    assert (
        "hunter2"
        not in Kind.of(
            task="t", result={"exc_type": "E", "exc_message": [text]}, traceback=None
        ).message
    )


def test_it_is_clipped():
    text = normalised("word " * 20_000)

    assert len(text) <= KEPT
    assert text.endswith("…")


@pytest.mark.parametrize(
    "text",
    ["'" * 64_000, "[" * 64_000, "[<text>" * 9000, "a" * 64_000, "1" * 64_000, "a-" * 32_000,
     "/" * 64_000, "/a" * 32_000, "a@" * 32_000, "\\" * 64_000, "://a:" * 12_000, "f0" * 32_000,
     "<number>, " * 6000, "a/" * 32_000, "{'" * 32_000, "é" * 64_000, "x." * 32_000, "\n" * 64_000],
)  # fmt: skip
def test_no_text_takes_long(text):
    normalised(text)
    begun = time.process_time()

    normalised(text)

    assert time.process_time() - begun < 0.25


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
def test_what_was_said(result, text):
    assert said(result) == text


HEAD = "Traceback (most recent call last):\n"
LIBRARY = '  File "/v/lib/python3.12/site-packages/celery/app/trace.py", line 5, in run\n    f()\n'
STDLIB = '  File "/usr/lib/python3.12/smtplib.py", line 70, in sendmail\n    raise X\n'


def ours(file="/srv/app/shop/tasks.py", function="charge", line=3):
    return f'  File "{file}", line {line}, in {function}\n    pay()\n    ~~~^^\n'


class TestPlace:
    """The innermost frame of the project's own code."""

    def test_the_innermost_of_our_own(self):
        text = HEAD + LIBRARY + ours() + ours(function="pay") + STDLIB + "smtplib.X: no\n"

        assert place(text) == "shop.tasks:pay"

    def test_lines_move_and_places_stay(self):
        assert place(HEAD + ours(line=3)) == place(HEAD + ours(line=400))

    @pytest.mark.parametrize("text", ["", "no traceback", HEAD + LIBRARY + "E: x\n"])
    def test_nothing_of_ours(self, text):
        assert place(text) == ""

    def test_of_chained_exceptions_the_last(self):
        first = HEAD + ours(function="first") + "KeyError: 1\n"
        then = "\nDuring handling of the above exception, another exception occurred:\n\n"

        assert place(first + then + HEAD + ours(function="last") + "E: x\n") == "shop.tasks:last"

    def test_of_chained_exceptions_an_earlier_one_when_the_last_has_none_of_ours(self):
        first = HEAD + ours(function="first") + "KeyError: 1\n"
        then = "\nThe above exception was the direct cause of the following exception:\n\n"

        assert place(first + then + HEAD + LIBRARY + "E: x\n") == "shop.tasks:first"

    def test_frames_that_a_message_quotes_are_none(self):
        text = HEAD + ours() + 'RuntimeError: it said:\n  File "/srv/app/a/evil.py", line 1, in x\n'

        assert place(text) == "shop.tasks:charge"

    def test_a_group_of_exceptions(self):
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

        assert place(text) == "shop.tasks:charge"

    def test_it_is_named_as_it_is_imported(self, monkeypatch):
        monkeypatch.setattr("sys.path", ["", "/releases/42", "/releases/42/src"])

        file = "/releases/42/src/shop/pay/__init__.py"
        assert place(HEAD + ours(file=file)) == "shop.pay:charge"

    def test_the_end_of_a_huge_one(self):
        assert place(HEAD + ours() * 20_000 + ours(function="end") + "E: x\n") == "shop.tasks:end"


def test_a_kind_is_named_by_all_of_it():
    kind = Kind(task="t", exception="E", place="p", message="m")
    other = [Kind(task="t2", exception="E", place="p", message="m"), kind.others()]

    assert len({kind.digest, *(one.digest for one in other)}) == 3
    assert len(kind.digest) == 64


def test_the_exception_is_named_with_its_module():
    result = {"exc_type": "Refused", "exc_module": "shop.errors", "exc_message": []}

    assert Kind.of(task="t", result=result, traceback=None).exception == "shop.errors.Refused"
    assert Kind.of(task="t", result=ValueError(), traceback=None).exception == "ValueError"
