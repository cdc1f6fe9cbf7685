"""The token: what it is bound to, what it survives, and that nonsense is only ever refused."""

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
OTHER_KINDS = [None, b"bytes", 7, 7.5, True, [], ["token"], {}]
TEXTS = ["", ".", "..", "a.b.c", "\x00", "é", "\ud800", "\U0001f511"]
NONSENSE = [*OTHER_KINDS, *TEXTS, "a" * 1_000_000, "." * tokens.MAX_LENGTH]


@pytest.fixture
def at(monkeypatch):
    """Set the clock."""

    def set_clock(moment):
        monkeypatch.setattr(time, "time", lambda: moment)

    return set_clock


def test_it_says_what_was_signed():
    claim = tokens.parse(tokens.sign(USER, 7))

    assert (claim.user_pk, claim.generation) == ("42", 7)
    assert tokens.matches(claim, USER)


def test_it_says_nothing_that_identifies_a_person():
    token = tokens.sign(USER, 7)

    assert not any(word in token for word in ("eve", "mail.example", "hash"))
    assert len(token) < tokens.MAX_LENGTH / 2


@pytest.mark.parametrize(
    "change",
    [{"password": "another"}, {"email": "eve@other.example"}, {"is_active": False}],
    ids=lambda change: next(iter(change)),
)
def test_it_no_longer_fits_when_the_account_changed(change):
    claim = tokens.parse(tokens.sign(USER, 7))
    state = {name: getattr(USER, name) for name in ("pk", "email", "password", "is_active")}

    assert not tokens.matches(claim, User(**state | change))


def test_a_sign_in_with_the_old_password_leaves_it_alone():
    claim = tokens.parse(tokens.sign(USER, 7))
    state = {name: getattr(USER, name) for name in ("pk", "email", "password", "is_active")}

    assert tokens.matches(claim, User(**state, last_login="2026-01-01T00:00Z"))


class TestKeys:
    """The newest key signs; the fallbacks, which run from newest to oldest, are accepted."""

    def test_what_an_older_key_signed_is_accepted_while_that_key_is_a_fallback(self):
        with override_settings(SECRET_KEY="old"):
            token = tokens.sign(USER, 7)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["middle", "old"]):
            claim = tokens.parse(token)
            assert claim.generation == 7
            assert tokens.matches(claim, USER)

    def test_it_is_signed_by_the_newest_key_alone(self):
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["middle", "old"]):
            token = tokens.sign(USER, 7)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
            assert tokens.matches(tokens.parse(token), USER)
        for key in ("middle", "old"):
            alone = override_settings(SECRET_KEY=key, SECRET_KEY_FALLBACKS=[])
            with alone, pytest.raises(LinkInvalid):
                tokens.parse(token)

    def test_what_a_retired_key_signed_is_refused(self):
        with override_settings(SECRET_KEY="retired"):
            token = tokens.sign(USER, 7)

        rotated = override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
        with rotated, pytest.raises(LinkInvalid):
            tokens.parse(token)

    def test_what_the_same_key_signed_for_another_purpose_is_refused(self, settings):
        other = URLSafeTimedSerializer(settings.SECRET_KEY, salt="elsewhere")

        with pytest.raises(LinkInvalid):
            tokens.parse(other.dumps(["42", 7, "0" * 32]))


class TestTime:
    """A link works for `RESET_TIMEOUT` seconds."""

    @pytest.mark.parametrize("age", [0, 59, 60])
    def test_it_works_until_its_last_second(self, at, settings, age):
        settings.TASKS_ADMIN_RESET_TIMEOUT = 60
        at(1_000_000)
        token = tokens.sign(USER, 7)

        at(1_000_000 + age)

        assert tokens.parse(token).generation == 7

    @pytest.mark.parametrize("age", [61, 86_400, 10**9])
    def test_it_has_expired_a_second_later(self, at, settings, age):
        settings.TASKS_ADMIN_RESET_TIMEOUT = 60
        at(1_000_000)
        token = tokens.sign(USER, 7)

        at(1_000_000 + age)

        with pytest.raises(LinkExpired):
            tokens.parse(token)

    @pytest.mark.parametrize("ahead", [1, 86_400])
    def test_one_from_the_future_is_refused(self, at, ahead):
        at(1_000_000 + ahead)
        token = tokens.sign(USER, 7)

        at(1_000_000)

        with pytest.raises(LinkInvalid):
            tokens.parse(token)


class TestNonsense:
    """Whatever comes in: a claim, `LinkExpired` or `LinkInvalid`, and no other exception."""

    @pytest.mark.parametrize("token", NONSENSE, ids=lambda token: ascii(token)[:20])
    def test_it_is_refused(self, token):
        with pytest.raises(LinkInvalid) as caught:
            tokens.parse(token)

        assert caught.value.status == 400

    @pytest.mark.parametrize("appended", ["é", "\n", " ", "\x00", "A" * 1000, ".", ".A"])
    def test_one_of_ours_with_something_appended_is_refused(self, appended):
        with pytest.raises(LinkInvalid):
            tokens.parse(tokens.sign(USER, 7) + appended)

    def test_it_is_refused_however_much_of_it_was_cut_off(self):
        token = tokens.sign(USER, 7)

        for length in range(len(token)):
            with pytest.raises(LinkInvalid):
                tokens.parse(token[:length])

    def test_equivalent_spellings_make_the_same_claim(self):
        """Why a link is used up in the database: a list of used strings could be got round."""
        token = tokens.sign(USER, 7)

        assert tokens.parse(f"{token}=") == tokens.parse(f"{token}==") == tokens.parse(token)

    @effort(max_examples=300, deadline=None)
    @given(st.text() | st.binary() | st.none() | st.integers() | st.lists(st.text()))
    @example("\ud800.a.b")
    def test_whatever_it_is(self, token):
        with pytest.raises(LinkInvalid):
            tokens.parse(token)

    @effort(max_examples=300, deadline=None)
    @given(st.integers(0, 250), st.text(alphabet=st.characters(max_codepoint=300), max_size=3))
    def test_whatever_was_changed(self, position, text):
        token = tokens.sign(USER, 7)
        changed = token[:position] + text + token[position + 1 :]

        try:
            claim = tokens.parse(changed)
        except LinkInvalid:
            return
        assert claim == tokens.parse(token)

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
    def test_a_payload_of_another_shape_is_refused_even_when_signed(self, payload):
        with pytest.raises(LinkInvalid):
            tokens.parse(tokens._serializer().dumps(payload))
