"""The page for a new password, as browsers, mail scanners and password managers request it."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from tasks_admin.accounts.views import SESSION_KEY
from tasks_admin.models import Operation, Reset
from tests.support.reset_emails import make_token

PAGE = "/user/reset/password/"
NEW = "a new passphrase"
FORM = {"new_password1": NEW, "new_password2": NEW}


@pytest.fixture
def ann(make_user):
    return make_user("ann")


@pytest.fixture
def token(ann):
    return make_token(ann)


@pytest.fixture
def opened(client, token):
    """A client that has opened the link."""
    client.get(PAGE, {"token": token})
    return client


def password_of(user):
    return User.objects.get(pk=user.pk).password


class TestOpenLink:
    """GET and HEAD change nothing, and the token is removed from the URL."""

    @pytest.mark.parametrize("method", ["get", "head"])
    def test_nothing_changes(self, client, ann, token, method):
        before = User.objects.values().get(), Reset.objects.values().get()

        for _ in range(3):
            getattr(client, method)(PAGE, {"token": token}, follow=True)

        assert (User.objects.values().get(), Reset.objects.values().get()) == before
        assert not Operation.objects.exists()

    def test_the_token_is_removed_from_the_url(self, client, token):
        response = client.get(PAGE, {"token": token})

        assert (response.status_code, response["Location"]) == (302, PAGE)
        assert token not in client.get(PAGE).content.decode()

    def test_the_form(self, opened):
        page = opened.get(PAGE)

        assert page.status_code == 200
        assert page.content.decode().count('type="password"') == 2
        assert 'autocomplete="new-password"' in page.content.decode()

    def test_it_works_without_javascript(self, opened):
        assert not re.search(
            r"<script[^>]*>[^<]|onsubmit|onclick", opened.get(PAGE).content.decode()
        )

    def test_a_fixated_session_does_not_get_the_token(self, client, token):
        client.cookies.clear()
        fixated = client.session
        fixated["a"] = 1
        fixated.save()

        client.get(PAGE, {"token": token})

        attacker = Client()
        attacker.cookies[next(iter(client.cookies))] = fixated.session_key
        assert attacker.get(PAGE).status_code == 400

    @pytest.mark.parametrize("where", ["link", "form", "refused", "done", "request"])
    def test_headers_forbid_caching_framing_and_external_referrers(self, client, token, where):
        if where == "form":
            client.get(PAGE, {"token": token})
        query = {"token": {"link": token}.get(where, "nonsense")}
        address = {"done": f"{PAGE}done/", "request": f"{PAGE}request/"}.get(where, PAGE)

        response = client.get(address, {} if where == "form" else query)

        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "same-origin"
        assert response["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
        assert "default-src 'self'" in response["Content-Security-Policy"]


class TestSetPassword:
    """POST with a password entered twice."""

    def test_the_password_is_set(self, opened, ann):
        response = opened.post(PAGE, FORM)

        assert (response.status_code, response["Location"]) == (302, f"{PAGE}done/")
        assert User.objects.get(pk=ann.pk).check_password(NEW)
        assert opened.get(f"{PAGE}done/").status_code == 200

    def test_a_notification_to_the_user_is_queued(self, opened, ann):
        opened.post(PAGE, FORM)

        operation = Operation.objects.get()
        assert (operation.verb, operation.actor) == ("notify_password_changed", ann)

    def test_the_user_is_not_signed_in(self, opened):
        opened.post(PAGE, FORM)

        assert "_auth_user_id" not in opened.session

    def test_the_sessions_of_the_user_end(self, opened, ann, make_user, as_user):
        User.objects.filter(pk=ann.pk).update(is_staff=True)
        other = make_user(is_staff=True)
        anns, others = as_user(ann), as_user(other)
        assert anns.get("/admin/").status_code == 200

        opened.post(PAGE, FORM)

        assert anns.get("/admin/").status_code == 302
        assert others.get("/admin/").status_code == 200

    def test_the_sessions_end_during_a_key_rotation(self, opened, ann, as_user, settings):
        User.objects.filter(pk=ann.pk).update(is_staff=True)
        anns = as_user(ann)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            assert anns.get("/admin/").status_code == 200
            assert opened.post(PAGE, FORM).status_code == 302
            assert anns.get("/admin/").status_code == 302

        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_another_signed_in_user_stays_signed_in(self, token, ann, make_user, as_user):
        client = as_user(make_user("eve", is_staff=True))
        client.get(PAGE, {"token": token})

        client.post(PAGE, FORM)

        assert client.get("/admin/").status_code == 200
        assert User.objects.get(pk=ann.pk).check_password(NEW)


class TestValidation:
    """The form is shown again, and the link still works."""

    @pytest.mark.parametrize(
        ("first", "second", "message"),
        [
            (NEW, "another passphrase", "match"),
            ("", "", "required"),
            (NEW, "", "required"),
            ("short", "short", "at least 8"),
            ("password123", "password123", "too common"),
            ("8273649182", "8273649182", "numeric"),
            ("ann@mail.example", "ann@mail.example", "too similar"),
            ("x" * 1_000_000, "x" * 1_000_000, "at most 1024"),
            (f"{NEW}\x00", f"{NEW}\x00", "Null characters"),
        ],
        ids=lambda text: ascii(text)[:20],
    )
    def test_an_invalid_password_is_explained(self, opened, ann, first, second, message):
        before = password_of(ann)

        page = opened.post(PAGE, {"new_password1": first, "new_password2": second})

        assert page.status_code == 200
        assert message in page.content.decode()
        assert not first or f'value="{first}"' not in page.content.decode()
        assert password_of(ann) == before
        assert opened.post(PAGE, FORM).status_code == 302

    @pytest.mark.parametrize(
        "password", ["x7" * 512, "  blanks around  ", "密码密码密码密码", "é" * 9]
    )
    def test_long_and_non_ascii_passwords_are_accepted(self, opened, ann, password):
        opened.post(PAGE, {"new_password1": password, "new_password2": password})

        assert User.objects.get(pk=ann.pk).check_password(password)


class TestInvalidLinks:
    """The page explains why the link cannot be used, and links to the next step."""

    def test_a_used_link(self, opened, token, client):
        opened.post(PAGE, FORM)

        for browser in (opened, Client()):
            page = browser.get(PAGE, {"token": token})
            assert page.status_code == 410
            assert f'href="{PAGE}request/"' in page.content.decode()

    def test_a_session_with_a_used_token(self, opened, token, ann):
        late = Client()
        late.get(PAGE, {"token": token})
        opened.post(PAGE, FORM)

        assert late.get(PAGE).status_code == 410
        again = {"new_password1": "another passphrase", "new_password2": "another passphrase"}
        assert late.post(PAGE, again).status_code == 410
        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_the_token_is_removed_from_the_session_after_use(self, opened):
        opened.post(PAGE, FORM)

        assert SESSION_KEY not in opened.session
        assert opened.get(PAGE).status_code == 400

    def test_an_expired_link(self, opened, token, settings):
        settings.TASKS_ADMIN_RESET_TIMEOUT = -1

        assert opened.get(PAGE, {"token": token}).status_code == 410
        assert opened.get(PAGE).status_code == 410
        assert opened.post(PAGE, FORM).status_code == 410

    @pytest.mark.parametrize("change", ["gone", "inactive", "moved", "changed"])
    def test_pages_for_changed_accounts_do_not_differ(self, opened, ann, token, change):
        other = Client()
        if change == "gone":
            ann.delete()
        else:
            fields = {"inactive": {"is_active": False}, "moved": {"email": "eve@x.example"}}
            User.objects.filter(pk=ann.pk).update(**fields.get(change, {"password": "other"}))

        pages = [opened.post(PAGE, FORM), opened.get(PAGE), other.get(PAGE, {"token": token})]

        assert {page.status_code for page in pages} == {410}
        assert len({page.content for page in pages}) == 1
        text = pages[0].content.decode()
        assert "already used or replaced by a newer one" in text
        assert not re.search(r"ann|inactive|deleted|exist", text)
