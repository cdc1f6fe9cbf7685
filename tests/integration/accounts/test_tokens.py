"""Tokens: what they are bound to, key rotation, expiry, and invalid input."""

import time

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from tasks_admin.accounts import tokens
from tasks_admin.lib.errors import LinkExpired, LinkInvalid

USER = User(pk=42, username="eve", email="eve@mail.example", password="a hash", is_active=True)
OTHER_TYPES = [None, b"bytes", 7, 7.5, True, [], ["token"], {}]
TEXTS = ["", ".", "..", "a.b.c", "\x00", "é", "\ud800", "\U0001f511"]
INVALID = [*OTHER_TYPES, *TEXTS, "a" * 1_000_000, "." * tokens.MAX_LENGTH]


@pytest.fixture
def at(monkeypatch):
    """Set the clock."""

    def set_clock(moment):
        monkeypatch.setattr(time, "time", lambda: moment)

    return set_clock


def test_the_payload_is_what_was_signed():
    payload = tokens.parse(tokens.sign(USER, 7))

    assert (payload.user_pk, payload.generation) == ("42", 7)
    assert tokens.matches(payload, USER)


def test_a_token_does_not_identify_a_person():
    token = tokens.sign(USER, 7)

    assert not any(word in token for word in ("eve", "mail.example", "hash"))
    assert len(token) < tokens.MAX_LENGTH / 2


@pytest.mark.parametrize(
    "change",
    [{"password": "another"}, {"email": "eve@other.example"}, {"is_active": False}],
    ids=lambda change: next(iter(change)),
)
def test_a_token_does_not_match_a_changed_account(change):
    payload = tokens.parse(tokens.sign(USER, 7))
    state = {name: getattr(USER, name) for name in ("pk", "email", "password", "is_active")}

    assert not tokens.matches(payload, User(**state | change))


def test_a_sign_in_does_not_invalidate_a_token():
    payload = tokens.parse(tokens.sign(USER, 7))
    state = {name: getattr(USER, name) for name in ("pk", "email", "password", "is_active")}

    assert tokens.matches(payload, User(**state, last_login="2026-01-01T00:00Z"))


class TestKeyRotation:
    """The current key signs; the fallbacks, ordered from newest to oldest, are accepted."""

    def test_a_token_of_a_fallback_key_is_accepted(self):
        with override_settings(SECRET_KEY="old"):
            token = tokens.sign(USER, 7)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["middle", "old"]):
            payload = tokens.parse(token)
            assert payload.generation == 7
            assert tokens.matches(payload, USER)

    def test_only_the_current_key_signs(self):
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["middle", "old"]):
            token = tokens.sign(USER, 7)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
            assert tokens.matches(tokens.parse(token), USER)
        for key in ("middle", "old"):
            alone = override_settings(SECRET_KEY=key, SECRET_KEY_FALLBACKS=[])
            with alone, pytest.raises(LinkInvalid):
                tokens.parse(token)

    def test_a_token_of_a_removed_key_is_refused(self):
        with override_settings(SECRET_KEY="retired"):
            token = tokens.sign(USER, 7)

        rotated = override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
        with rotated, pytest.raises(LinkInvalid):
            tokens.parse(token)

    def test_a_signature_for_another_purpose_is_refused(self, settings):
        other = URLSafeTimedSerializer(settings.SECRET_KEY, salt="elsewhere")

        with pytest.raises(LinkInvalid):
            tokens.parse(other.dumps(["42", 7, "0" * 32]))


class TestExpiry:
    """A link works for `RESET_TIMEOUT` seconds."""

    @pytest.mark.parametrize("age", [0, 59, 60])
    def test_a_token_is_valid_until_the_last_second(self, at, settings, age):
        settings.TASKS_ADMIN_RESET_TIMEOUT = 60
        at(1_000_000)
        token = tokens.sign(USER, 7)

        at(1_000_000 + age)

        assert tokens.parse(token).generation == 7

    @pytest.mark.parametrize("age", [61, 86_400, 10**9])
    def test_a_token_expires_a_second_later(self, at, settings, age):
        settings.TASKS_ADMIN_RESET_TIMEOUT = 60
        at(1_000_000)
        token = tokens.sign(USER, 7)

        at(1_000_000 + age)

        with pytest.raises(LinkExpired):
            tokens.parse(token)

    @pytest.mark.parametrize("ahead", [1, 86_400])
    def test_a_token_from_the_future_is_refused(self, at, ahead):
        at(1_000_000 + ahead)
        token = tokens.sign(USER, 7)

        at(1_000_000)

        with pytest.raises(LinkInvalid):
            tokens.parse(token)


class TestInvalidTokens:
    """Any input results in a payload, `LinkExpired` or `LinkInvalid`, and in no other exception."""

    @pytest.mark.parametrize("token", INVALID, ids=lambda token: ascii(token)[:20])
    def test_an_invalid_token_is_refused(self, token):
        with pytest.raises(LinkInvalid) as caught:
            tokens.parse(token)

        assert caught.value.status == 400

    @pytest.mark.parametrize("appended", ["é", "\n", " ", "\x00", "A" * 1000, ".", ".A"])
    def test_a_token_with_appended_text_is_refused(self, appended):
        with pytest.raises(LinkInvalid):
            tokens.parse(tokens.sign(USER, 7) + appended)

    def test_a_truncated_token_is_refused(self):
        token = tokens.sign(USER, 7)

        for length in range(len(token)):
            with pytest.raises(LinkInvalid):
                tokens.parse(token[:length])

    def test_equivalent_encodings_have_the_same_payload(self):
        """This is why the database records the use of a generation, not of a token."""
        token = tokens.sign(USER, 7)

        assert tokens.parse(f"{token}=") == tokens.parse(f"{token}==") == tokens.parse(token)

    @effort(max_examples=300, deadline=None)
    @given(st.text() | st.binary() | st.none() | st.integers() | st.lists(st.text()))
    @example("\ud800.a.b")
    def test_arbitrary_input(self, token):
        with pytest.raises(LinkInvalid):
            tokens.parse(token)

    @effort(max_examples=300, deadline=None)
    @given(st.integers(0, 250), st.text(alphabet=st.characters(max_codepoint=300), max_size=3))
    def test_arbitrary_modifications(self, position, text):
        token = tokens.sign(USER, 7)
        changed = token[:position] + text + token[position + 1 :]

        try:
            payload = tokens.parse(changed)
        except LinkInvalid:
            return
        assert payload == tokens.parse(token)

    @pytest.mark.parametrize(
        "payload",
        [
            None,
            7,
            [],
            ["42", 7],
            ["42", "x", "f"],
            ["42", 1e309, "f"],
            {"a": 1},
            "abc",
            ["42", 7, "".join(map(chr, range(200, 900)))],
        ],
    )
    def test_a_signed_payload_of_another_shape_is_refused(self, payload):
        with pytest.raises(LinkInvalid):
            tokens.parse(tokens._serializer().dumps(payload))
