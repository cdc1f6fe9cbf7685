"""The page behind the link, as browsers, mail scanners and password managers see it."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from tasks_admin.accounts.views import SESSION_KEY
from tasks_admin.models import Operation, Reset
from tests.support.reset_emails import make_token

PAGE = "/user/reset/password/"
NEW = "a new passphrase"
BOTH = {"new_password1": NEW, "new_password2": NEW}


@pytest.fixture
def ann(make_user):
    return make_user("ann")


@pytest.fixture
def token(ann):
    return make_token(ann)


@pytest.fixture
def opened(client, token):
    """A browser that followed the link."""
    client.get(PAGE, {"token": token})
    return client


def password_of(user):
    return User.objects.get(pk=user.pk).password


class TestOpening:
    """GET and HEAD change nothing, and the token leaves the address."""

    @pytest.mark.parametrize("method", ["get", "head"])
    def test_nothing_changes(self, client, ann, token, method):
        before = User.objects.values().get(), Reset.objects.values().get()

        for _ in range(3):
            getattr(client, method)(PAGE, {"token": token}, follow=True)

        assert (User.objects.values().get(), Reset.objects.values().get()) == before
        assert not Operation.objects.exists()

    def test_the_token_leaves_the_address(self, client, token):
        answer = client.get(PAGE, {"token": token})

        assert (answer.status_code, answer["Location"]) == (302, PAGE)
        assert token not in client.get(PAGE).content.decode()

    def test_the_form_follows(self, opened):
        page = opened.get(PAGE)

        assert page.status_code == 200
        assert page.content.decode().count('type="password"') == 2
        assert 'autocomplete="new-password"' in page.content.decode()

    def test_it_works_without_javascript(self, opened):
        assert not re.search(
            r"<script[^>]*>[^<]|onsubmit|onclick", opened.get(PAGE).content.decode()
        )

    def test_a_session_that_somebody_planted_does_not_get_the_token(self, client, token):
        client.cookies.clear()
        planted = client.session
        planted["a"] = 1
        planted.save()

        client.get(PAGE, {"token": token})

        thief = Client()
        thief.cookies[next(iter(client.cookies))] = planted.session_key
        assert thief.get(PAGE).status_code == 400

    @pytest.mark.parametrize("where", ["link", "form", "refused", "done", "request"])
    def test_nobody_keeps_it_or_frames_it_or_is_told_where_one_came_from(
        self, client, token, where
    ):
        if where == "form":
            client.get(PAGE, {"token": token})
        query = {"token": {"link": token}.get(where, "nonsense")}
        address = {"done": f"{PAGE}done/", "request": f"{PAGE}request/"}.get(where, PAGE)

        answer = client.get(address, {} if where == "form" else query)

        assert "no-store" in answer["Cache-Control"]
        assert answer["Referrer-Policy"] == "same-origin"
        assert answer["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
        assert "default-src 'self'" in answer["Content-Security-Policy"]


class TestChoosing:
    """POST, with a password typed twice."""

    def test_the_password_is_set(self, opened, ann):
        answer = opened.post(PAGE, BOTH)

        assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}done/")
        assert User.objects.get(pk=ann.pk).check_password(NEW)
        assert opened.get(f"{PAGE}done/").status_code == 200

    def test_the_user_is_told_by_mail(self, opened, ann):
        opened.post(PAGE, BOTH)

        operation = Operation.objects.get()
        assert (operation.verb, operation.actor) == ("notify_password_changed", ann)

    def test_it_does_not_sign_in(self, opened):
        opened.post(PAGE, BOTH)

        assert "_auth_user_id" not in opened.session

    def test_it_ends_the_users_other_sessions(self, opened, ann, make_user, as_user):
        User.objects.filter(pk=ann.pk).update(is_staff=True)
        other = make_user(is_staff=True)
        anns, others = as_user(ann), as_user(other)
        assert anns.get("/admin/").status_code == 200

        opened.post(PAGE, BOTH)

        assert anns.get("/admin/").status_code == 302
        assert others.get("/admin/").status_code == 200

    def test_it_ends_them_when_the_secret_key_is_being_rotated_too(
        self, opened, ann, as_user, settings
    ):
        User.objects.filter(pk=ann.pk).update(is_staff=True)
        anns = as_user(ann)

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            assert anns.get("/admin/").status_code == 200
            assert opened.post(PAGE, BOTH).status_code == 302
            assert anns.get("/admin/").status_code == 302

        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_who_is_signed_in_as_somebody_else_stays_so(self, token, ann, make_user, as_user):
        client = as_user(make_user("eve", is_staff=True))
        client.get(PAGE, {"token": token})

        client.post(PAGE, BOTH)

        assert client.get("/admin/").status_code == 200
        assert User.objects.get(pk=ann.pk).check_password(NEW)


class TestNotGoodEnough:
    """The form comes back, the link still works."""

    @pytest.mark.parametrize(
        ("first", "second", "says"),
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
    def test_it_says_why(self, opened, ann, first, second, says):
        before = password_of(ann)

        page = opened.post(PAGE, {"new_password1": first, "new_password2": second})

        assert page.status_code == 200
        assert says in page.content.decode()
        assert not first or f'value="{first}"' not in page.content.decode()
        assert password_of(ann) == before
        assert opened.post(PAGE, BOTH).status_code == 302

    @pytest.mark.parametrize(
        "password", ["x7" * 512, "  blanks around  ", "密码密码密码密码", "é" * 9]
    )
    def test_long_and_foreign_ones_are_good(self, opened, ann, password):
        opened.post(PAGE, {"new_password1": password, "new_password2": password})

        assert User.objects.get(pk=ann.pk).check_password(password)


class TestOver:
    """The link can't be used (any more): one friendly page, and what to do next."""

    def test_a_second_use(self, opened, token, client):
        opened.post(PAGE, BOTH)

        for browser in (opened, Client()):
            page = browser.get(PAGE, {"token": token})
            assert page.status_code == 410
            assert f'href="{PAGE}request/"' in page.content.decode()

    def test_a_session_that_holds_a_used_token(self, opened, token, ann):
        late = Client()
        late.get(PAGE, {"token": token})
        opened.post(PAGE, BOTH)

        assert late.get(PAGE).status_code == 410
        again = {"new_password1": "another passphrase", "new_password2": "another passphrase"}
        assert late.post(PAGE, again).status_code == 410
        assert User.objects.get(pk=ann.pk).check_password(NEW)

    def test_the_session_forgets_it_after_success(self, opened):
        opened.post(PAGE, BOTH)

        assert SESSION_KEY not in opened.session
        assert opened.get(PAGE).status_code == 400

    def test_it_expired(self, opened, token, monkeypatch, settings):
        settings.TASKS_ADMIN_RESET_TIMEOUT = -1

        assert opened.get(PAGE, {"token": token}).status_code == 410
        assert opened.get(PAGE).status_code == 410
        assert opened.post(PAGE, BOTH).status_code == 410

    @pytest.mark.parametrize("change", ["gone", "inactive", "moved", "changed"])
    def test_the_account_is_not_as_it_was_and_nothing_tells_how(self, opened, ann, token, change):
        reference = Client()
        if change == "gone":
            ann.delete()
        else:
            fields = {"inactive": {"is_active": False}, "moved": {"email": "eve@x.example"}}
            User.objects.filter(pk=ann.pk).update(**fields.get(change, {"password": "other"}))

        pages = [opened.post(PAGE, BOTH), opened.get(PAGE), reference.get(PAGE, {"token": token})]

        assert {page.status_code for page in pages} == {410}
        assert len({page.content for page in pages}) == 1
        text = pages[0].content.decode()
        assert "already used or replaced by a newer one" in text
        assert not re.search(r"ann|inactive|deleted|exist", text)
