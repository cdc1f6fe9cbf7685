"""The page behind the link, as attackers and broken programs use it: refused, never an error."""

import logging

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.test import Client

from tasks_admin.accounts.views import SESSION_KEY
from tasks_admin.models import Operation
from tests.support.factories import run_concurrently
from tests.support.reset_emails import make_token

PAGE = "/user/reset/password/"
NEW = "a new passphrase"
BOTH = {"new_password1": NEW, "new_password2": NEW}
pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(make_user):
    return make_user("ann")


@pytest.fixture
def token(ann):
    return make_token(ann)


def opened_by(client, token):
    client.get(PAGE, {"token": token})
    return client


class TestNonsense:
    """A token that is none of ours is answered with 400, and nothing is kept of it."""

    @pytest.mark.parametrize(
        "query",
        [
            {"token": ""},
            {"token": "nonsense"},
            {"token": "x" * 1_000_000},
            {"token": "é"},
            {"token": "\x00"},
            {"token": "../../etc/passwd"},
            {"token": "<script>alert(1)</script>"},
            {"token": ["a", "b"]},
            {},
            {"Token": "x"},
        ],
        ids=lambda query: ascii(query)[:30],
    )
    def test_it_is_refused(self, client, query):
        page = client.get(PAGE, query)

        assert page.status_code == 400
        assert b"<script>alert" not in page.content
        assert SESSION_KEY not in client.session

    def test_bytes_that_are_no_text(self, client):
        assert client.get(f"{PAGE}?token=%ff%fe%00").status_code == 400

    def test_one_that_was_tampered_with(self, client, token):
        for position in range(0, len(token), 7):
            other = "A" if token[position] != "A" else "B"
            changed = token[:position] + other + token[position + 1 :]
            assert client.get(PAGE, {"token": changed}).status_code in {400, 410}

    def test_of_two_the_last_counts(self, client, token):
        assert client.get(PAGE, {"token": ["nonsense", token]}).status_code == 302
        assert client.get(PAGE, {"token": [token, "nonsense"]}).status_code == 400

    def test_a_form_without_a_link(self, client):
        assert client.post(PAGE, BOTH).status_code == 400

    def test_a_link_in_the_forms_address_does_not_count(self, client, ann, token):
        assert client.post(f"{PAGE}?token={token}", BOTH).status_code == 400
        assert client.post(PAGE, BOTH | {"token": token}).status_code == 400
        assert not User.objects.get(pk=ann.pk).check_password(NEW)

    @pytest.mark.parametrize("garbage", [None, 7, [], {"a": 1}, "nonsense", "x" * 10_000, True])
    def test_a_session_that_holds_garbage(self, client, garbage):
        session = client.session
        session[SESSION_KEY] = garbage
        session.save()

        assert client.get(PAGE).status_code == 400
        assert client.post(PAGE, BOTH).status_code == 400

    def test_a_session_that_does_not_exist(self, client, settings):
        client.cookies[settings.SESSION_COOKIE_NAME] = "nonsense\x00"

        assert client.get(PAGE).status_code == 400

    @pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
    def test_other_methods(self, client, method):
        assert getattr(client, method)(PAGE).status_code == 405

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"\xff\xfe", "application/x-www-form-urlencoded"),
            (b"no boundary", "multipart/form-data"),
            (b"[" * 100_000, "application/json"),
            (b"a=1&" * 30_000, "application/x-www-form-urlencoded"),
            (b"x" * 3_000_000, "application/x-www-form-urlencoded"),
            (b"", ""),
        ],
        ids=["bytes", "boundary", "brackets", "fields", "long", "empty"],
    )
    def test_a_body_that_is_no_form(self, client, token, body, kind):
        opened_by(client, token)

        assert client.post(PAGE, body, content_type=kind).status_code in {200, 400, 413}


class TestForgery:
    """Another site can't make a browser choose."""

    def test_a_form_without_a_csrf_token_is_refused(self, ann, token):
        client = opened_by(Client(enforce_csrf_checks=True), token)

        assert client.post(PAGE, BOTH).status_code == 403
        assert not User.objects.get(pk=ann.pk).check_password(NEW)

    def test_our_own_form_is_not(self, ann, token):
        client = opened_by(Client(enforce_csrf_checks=True), token)
        given = client.get(PAGE).context["csrf_token"]

        assert client.post(PAGE, BOTH | {"csrfmiddlewaretoken": str(given)}).status_code == 302
        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_nor_over_https_with_the_referrer_that_our_policy_lets_through(self, settings, token):
        settings.ALLOWED_HOSTS = ["console.example"]
        origin = "https://console.example"
        client = Client(enforce_csrf_checks=True, headers={"host": "console.example"})
        client.get(PAGE, {"token": token}, secure=True)
        given = str(client.get(PAGE, secure=True).context["csrf_token"])
        form = BOTH | {"csrfmiddlewaretoken": given}

        evil = client.post(PAGE, form, secure=True, headers={"referer": "https://evil.example/"})
        ours = client.post(PAGE, form, secure=True, headers={"referer": f"{origin}{PAGE}"})

        assert (evil.status_code, ours.status_code) == (403, 302)


class TestLimits:
    """A hash costs a third of a second: tries are counted before one is made."""

    @pytest.fixture
    def hashed(self, monkeypatch):
        """Count the hashes."""
        made = []
        encode = hashers.MD5PasswordHasher.encode

        def counted(self, password, salt):
            made.append(1)
            return encode(self, password, salt)

        monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", counted)
        return made

    @pytest.mark.parametrize("scope", ["choose.link", "choose.client"])
    def test_one_try_too_many_is_refused_before_it_is_hashed(
        self, client, settings, ann, token, hashed, scope
    ):
        settings.TASKS_ADMIN_LIMITS = settings_with(scope, 2)
        opened_by(client, token)
        for _ in range(2):
            assert (
                client.post(PAGE, {"new_password1": "x", "new_password2": "x"}).status_code == 200
            )
        hashed.clear()

        answer = client.post(PAGE, BOTH)

        assert answer.status_code == 429
        assert "Too many attempts" in answer.content.decode()
        assert not hashed
        assert User.objects.get(pk=ann.pk).check_password("old password")

    def test_nothing_is_hashed_for_a_link_that_does_not_work(self, client, token, hashed):
        opened_by(client, token)
        client.post(PAGE, BOTH)
        hashed.clear()

        client.post(PAGE, BOTH)
        client.get(PAGE, {"token": token})
        client.get(PAGE, {"token": "nonsense"})

        assert not hashed

    def test_a_form_that_is_not_good_enough_costs_no_hash(self, client, token, hashed):
        opened_by(client, token)

        client.post(PAGE, {"new_password1": "x" * 1_000_000, "new_password2": "x" * 1_000_000})

        assert not hashed

    def test_another_link_is_counted_apart(self, client, settings, token, make_user):
        settings.TASKS_ADMIN_LIMITS = settings_with("choose.link", 1)
        opened_by(client, token).post(PAGE, {})

        other = opened_by(Client(), make_token(make_user()))

        assert client.post(PAGE, BOTH).status_code == 429
        assert other.post(PAGE, BOTH).status_code == 302


def settings_with(scope, allowed):
    from tasks_admin.lib.conf import Settings

    return Settings.LIMITS | {scope: (allowed, 3600)}


def test_no_log_and_no_page_holds_the_token(client, token, caplog):
    caplog.set_level(logging.DEBUG)

    pages = [client.get(PAGE, {"token": f"{token}x"}), client.get(PAGE, {"token": token})]
    pages += [client.get(PAGE), client.post(PAGE, {}), client.post(PAGE, BOTH)]
    pages += [client.get(PAGE, {"token": token}), client.put(PAGE), client.get(PAGE)]

    assert token not in caplog.text
    assert not [page for page in pages if token in page.content.decode()]
    assert not [page for page in pages if token in page.get("Location", "")]


@pytest.mark.django_db(transaction=True)
def test_of_twenty_browsers_at_once_one_succeeds(make_user, settings):
    settings.TASKS_ADMIN_LIMITS = settings_with("choose.link", 100)
    ann = make_user("ann")
    browsers = [opened_by(Client(), make_token(ann)) for _ in range(20)]

    def act(number):
        typed = f"passphrase {number}"
        return browsers[number].post(PAGE, {"new_password1": typed, "new_password2": typed})

    codes = [answer.status_code for answer in run_concurrently(20, act)]

    assert sorted(codes) == [302] + [410] * 19
    assert User.objects.get(pk=ann.pk).check_password(f"passphrase {codes.index(302)}")
    assert Operation.objects.count() == 1
