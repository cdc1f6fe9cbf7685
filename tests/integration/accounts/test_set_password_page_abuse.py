"""Attacks and invalid requests to the page for a new password: refused without a server error."""

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
FORM = {"new_password1": NEW, "new_password2": NEW}
#: Seconds. The window ends in 2033, so no test crosses its end.
WINDOW = 10**9
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


class TestInvalidRequests:
    """The response to an invalid token is 400, and the session does not store it."""

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
    def test_invalid_tokens(self, client, query):
        page = client.get(PAGE, query)

        assert page.status_code == 400
        assert b"<script>alert" not in page.content
        assert SESSION_KEY not in client.session

    def test_a_token_that_is_not_utf8(self, client):
        assert client.get(f"{PAGE}?token=%ff%fe%00").status_code == 400

    def test_a_modified_token(self, client, token):
        for position in range(0, len(token), 7):
            other = "A" if token[position] != "A" else "B"
            changed = token[:position] + other + token[position + 1 :]
            assert client.get(PAGE, {"token": changed}).status_code in {400, 410}

    def test_the_last_of_two_tokens_is_used(self, client, token):
        assert client.get(PAGE, {"token": ["nonsense", token]}).status_code == 302
        assert client.get(PAGE, {"token": [token, "nonsense"]}).status_code == 400

    def test_a_form_without_an_opened_link(self, client):
        assert client.post(PAGE, FORM).status_code == 400

    def test_a_token_in_a_post_request_is_ignored(self, client, ann, token):
        assert client.post(f"{PAGE}?token={token}", FORM).status_code == 400
        assert client.post(PAGE, FORM | {"token": token}).status_code == 400
        assert not User.objects.get(pk=ann.pk).check_password(NEW)

    @pytest.mark.parametrize("value", [None, 7, [], {"a": 1}, "nonsense", "x" * 10_000, True])
    def test_a_session_with_an_invalid_token(self, client, value):
        session = client.session
        session[SESSION_KEY] = value
        session.save()

        assert client.get(PAGE).status_code == 400
        assert client.post(PAGE, FORM).status_code == 400

    def test_an_invalid_session_key(self, client, settings):
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
    def test_invalid_bodies(self, client, token, body, kind):
        opened_by(client, token)

        assert client.post(PAGE, body, content_type=kind).status_code in {200, 400, 413}


class TestCSRF:
    """Another site cannot submit the form."""

    def test_a_form_without_a_csrf_token(self, ann, token):
        client = opened_by(Client(enforce_csrf_checks=True), token)

        assert client.post(PAGE, FORM).status_code == 403
        assert not User.objects.get(pk=ann.pk).check_password(NEW)

    def test_a_form_with_a_csrf_token(self, ann, token):
        client = opened_by(Client(enforce_csrf_checks=True), token)
        csrf_token = client.get(PAGE).context["csrf_token"]

        assert client.post(PAGE, FORM | {"csrfmiddlewaretoken": str(csrf_token)}).status_code == 302
        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_the_referrer_policy_permits_the_csrf_check_over_https(self, settings, token):
        settings.ALLOWED_HOSTS = ["console.example"]
        origin = "https://console.example"
        client = Client(enforce_csrf_checks=True, headers={"host": "console.example"})
        client.get(PAGE, {"token": token}, secure=True)
        csrf_token = str(client.get(PAGE, secure=True).context["csrf_token"])
        form = FORM | {"csrfmiddlewaretoken": csrf_token}

        cross_site = client.post(
            PAGE, form, secure=True, headers={"referer": "https://evil.example/"}
        )
        same_site = client.post(PAGE, form, secure=True, headers={"referer": f"{origin}{PAGE}"})

        assert (cross_site.status_code, same_site.status_code) == (403, 302)


class TestRateLimits:
    """Hashing a password is expensive, so attempts are counted first."""

    @pytest.fixture
    def hashed(self, monkeypatch):
        """A list with one item for each hashed password."""
        made = []
        encode = hashers.MD5PasswordHasher.encode

        def counted(self, password, salt):
            made.append(1)
            return encode(self, password, salt)

        monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", counted)
        return made

    @pytest.mark.parametrize("scope", ["choose.link", "choose.client"])
    def test_attempts_above_the_limit_are_refused_without_hashing(
        self, client, settings, ann, token, hashed, scope
    ):
        settings.TASKS_ADMIN_LIMITS = limits_with(scope, 2)
        opened_by(client, token)
        for _ in range(2):
            assert (
                client.post(PAGE, {"new_password1": "x", "new_password2": "x"}).status_code == 200
            )
        hashed.clear()

        response = client.post(PAGE, FORM)

        assert response.status_code == 429
        assert "Too many attempts" in response.content.decode()
        assert not hashed
        assert User.objects.get(pk=ann.pk).check_password("old password")

    def test_nothing_is_hashed_for_an_invalid_link(self, client, token, hashed):
        opened_by(client, token)
        client.post(PAGE, FORM)
        hashed.clear()

        client.post(PAGE, FORM)
        client.get(PAGE, {"token": token})
        client.get(PAGE, {"token": "nonsense"})

        assert not hashed

    def test_nothing_is_hashed_for_an_invalid_form(self, client, token, hashed):
        opened_by(client, token)

        client.post(PAGE, {"new_password1": "x" * 1_000_000, "new_password2": "x" * 1_000_000})

        assert not hashed

    def test_links_are_counted_separately(self, client, settings, token, make_user):
        settings.TASKS_ADMIN_LIMITS = limits_with("choose.link", 1)
        opened_by(client, token).post(PAGE, {})

        other = opened_by(Client(), make_token(make_user()))

        assert client.post(PAGE, FORM).status_code == 429
        assert other.post(PAGE, FORM).status_code == 302


def limits_with(scope, allowed):
    from tasks_admin.lib.conf import Settings

    return Settings.LIMITS | {scope: (allowed, WINDOW)}


def test_no_log_and_no_page_contains_the_token(client, token, caplog):
    caplog.set_level(logging.DEBUG)

    pages = [client.get(PAGE, {"token": f"{token}x"}), client.get(PAGE, {"token": token})]
    pages += [client.get(PAGE), client.post(PAGE, {}), client.post(PAGE, FORM)]
    pages += [client.get(PAGE, {"token": token}), client.put(PAGE), client.get(PAGE)]

    assert token not in caplog.text
    assert not [page for page in pages if token in page.content.decode()]
    assert not [page for page in pages if token in page.get("Location", "")]


@pytest.mark.django_db(transaction=True)
def test_one_of_twenty_concurrent_requests_succeeds(make_user, settings):
    settings.TASKS_ADMIN_LIMITS = limits_with("choose.link", 100)
    ann = make_user("ann")
    clients = [opened_by(Client(), make_token(ann)) for _ in range(20)]

    def act(number):
        password = f"passphrase {number}"
        return clients[number].post(PAGE, {"new_password1": password, "new_password2": password})

    codes = [response.status_code for response in run_concurrently(20, act)]

    assert sorted(codes) == [302] + [410] * 19
    assert User.objects.get(pk=ann.pk).check_password(f"passphrase {codes.index(302)}")
    assert Operation.objects.count() == 1
