"""Secrets are masked in any spelling and at any depth, and nothing else is."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks_admin.lib.masks import MASK, is_secret_name, mask, mask_json, mask_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
SIGNED = "WzQyLDEsImFiYyJd.aW9x2g.3kJ8dPzq1mN0vB7cX5yT2rW4eL6hU9sA-_oQ"
DJANGO = "eyJhIjoxfQ:1tXyZ9:Qm9vZ2llV29vZ2llQm9vZ2llV29vZ2llQm9vZ2ll"


@pytest.mark.parametrize(
    "name",
    [
        "password", "Password", "db_password", "dbPassword", "new_password1", "PASSWORD",
        "X-Api-Key", "apiKey", "APIKey", "apikey", "api key", "token", "access_token",
        "csrfToken", "Authorization", "client_secret", "AWS_SECRET_ACCESS_KEY", "private-key",
    ],
)  # fmt: skip
def test_secret_names(name):
    assert is_secret_name(name)
    assert mask({name: "hunter2"}) == {name: MASK}


@pytest.mark.parametrize("name", ["tokenizer", "secretary", "author", "key", "user", "tokens_used"])
def test_similar_names(name):
    assert mask({name: "hunter2"}) == {name: "hunter2"}


def test_names_in_the_settings(settings):
    settings.TASKS_ADMIN_MASKED_NAMES = ("salary",)

    assert mask({"salary": 1, "password": "x"}) == {"salary": MASK, "password": "x"}


def test_any_depth_without_changing_the_input():
    data = {"a": [{"b": ({"token": ["x"]},)}], "n": None, "t": 3}

    assert mask(data) == {"a": [{"b": [{"token": MASK}]}], "n": None, "t": 3}
    assert data["a"][0]["b"] == ({"token": ["x"]},)


def test_empty_value_under_a_secret_name_is_not_masked():
    assert mask({"password": None, "token": ""}) == {"password": None, "token": ""}


def test_cycles_and_deep_data_are_cut():
    loop: dict = {}
    loop |= {"a": loop, "b": [loop, loop]}

    assert mask(loop) == {"a": MASK, "b": [MASK, MASK]}


@pytest.mark.parametrize(
    "data",
    [
        {"body": '{"password": "hunter2"}'}, [b"password=hunter2"], ["--password hunter2"],
        {"headers": [["X-Api-Key", "hunter2"], ["Accept", "*"]]}, [("Authorization", "hunter2")],
        {"name": "password", "value": "hunter2"}, [{"key": "api_key", "value": ["hunter2"]}],
    ],
)  # fmt: skip
def test_secrets_in_values(data):
    assert "hunter2" not in str(mask(data))


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ('[1.50, {"token": [1, "x"]}]', '[1.5, {"token": "••••••"}]'),
        ('[1.50, NaN,  {"é": "\\u00e9"}]', '[1.50, NaN,  {"é": "\\u00e9"}]'),
        ("\"{'password': 'hunter2', 'a': '...'}\"", "\"{'password': '••••••', 'a': '...'}\""),
        ('[{"password": "hunter2", "a": "b', '[{"password": "••••••", "a": "b'),
        ("", ""),
    ],
)
def test_stored_json(stored, shown):
    assert mask_json(stored) == shown


def test_deep_stored_json():
    assert mask_json("[" * 100_000) == "[" * 100_000
    assert MASK in mask_json("[" * 500 + "]" * 500)


@pytest.mark.parametrize("token", [JWT, SIGNED, DJANGO])
def test_signed_tokens(token):
    for text in (token, f"at {token}, and on", f'["{token}"]', f"https://x.example/?t={token}"):
        assert token not in mask(text)
        assert token not in mask_text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://user:••••••@host:6379/0"),
        ("amqp://:hunter2@host", "amqp://:••••••@host"),
        ("https://x.example/?a=1&token=hunter2&b=2", "https://x.example/?a=1&token=••••••&b=2"),
        ("https://x.example/a:b", "https://x.example/a:b"),
    ],
)
def test_passwords_in_urls(text, shown):
    assert mask(text) == mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "login(password='hunter2')", 'login(password="hunter2")', "{'password': 'hunter2'}",
        '{"password": "hunter2"}', "password=hunter2", "Authorization: Bearer hunter2hunter2",
        "curl -H 'Authorization: Basic hunter2hunter2'", "data['password'] = 'hunter2'",
        'body: "{\\"token\\": \\"hunter2\\"}"', "x-api-key: hunter2",
        "PGPASSWORD=1 password = hunter2",
        "password: 'hunter2 with\\' quote'", "password='hunter2", "login(password=b'hunter2')",
        '{"token": ["x", "hunter2"]}', '{"secret": {"a": [1, "]hunter2"]}}',
        "password=Str('hunter2')",
        "token: ('x',\n  'hunter2')", "Cookie: a=b; c=hunter2", "Authorization: Digest a, hunter2",
        "psql --password hunter2", f"password='{'a' * 9_000}hunter2'", "https://u:p@hunter2@host/",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_secrets_in_text(text):
    assert "hunter2" not in mask_text(text)
    assert MASK in mask_text(text)


@pytest.mark.parametrize(
    "text",
    [
        'File "/app/tasks.py", line 12, in send', "KeyError: 'password'", "no token was given",
        "ValueError: invalid literal for int() with base 10: 'abc'", "", "None",
        "f0f1b8f4-3b1c-4c39-8a53-2f8c9a9c6a51-42-1", "tasks_admin.send_reset_email",
        "2026-11-24T08:00:00.123456+00:00", "password=None", "a.b.c", "1.2.3",
    ],
)  # fmt: skip
def test_other_text_is_unchanged(text):
    assert mask_text(text) == text


PARTS = [
    "password", "token", "Cookie", "=", ": ", "'", '"', "\\", "(", ")", "[", "]", "{", "}", "\n",
    " ",
    "x1", "b", "://", "@", "--", "Bearer ", ".", ",", MASK, JWT, "-----BEGIN PRIVATE KEY-----", "&",
]  # fmt: skip


@example("PASSWORD=(0)0")
@example("-----BEGIN PRIVATE KEY-----0-----000.00000.00000000000000000000")
@example("token=(0)x(1)[2]")
@given(st.text() | st.lists(st.sampled_from(PARTS)).map("".join))
def test_masking_is_idempotent(text):
    once = mask_text(text)

    assert mask_text(once) == once
    assert mask(mask(text)) == mask(text)


HARD = [
    "password=" * 600_000, "a" * 5_000_000, "://" * 1_500_000, "a." * 2_500_000, "'" * 5_000_000,
    "\\" * 5_000_000, "token: '" * 600_000, "Bearer " * 700_000, "a_" * 2_500_000,
    "=" * 5_000_000, "token: [" * 600_000, "token=('\"" * 500_000, "token=" + "(" * 5_000_000,
    "--token " * 600_000, "-----BEGIN PRIVATE KEY-----" * 180_000, "Cookie: " * 600_000,
    "token=f" + "('\\'" * 1_000_000, "a://b:" * 800_000, "secret.a[\n" * 500_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HARD, ids=lambda text: text[:9])
def test_time_is_linear(text):
    """CPU time, relative to that of a shorter text: quadratic time would be 64 times as long."""

    def cpu_time(part: str) -> float:
        started = time.process_time()
        mask_text(part)
        return time.process_time() - started

    short, long = cpu_time(text[: len(text) // 8]), cpu_time(text)

    assert long < max(30 * short, 5), (short, long)
