"""The pages of the caught emails: permissions, search, and malformed emails."""

import pytest
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from opsconsole.mailcatcher import store
from tests.conftest import grant

LINK = "http://127.0.0.1:8000/user/reset/password/?token=WzEsMV0.a-b_c"
LIST = reverse("mailcatcher:list")
EMAIL = b"Subject: Hello\r\n\r\nText\r\n"
MALFORMED = {
    "nothing": b"",
    "no header": b"\r\n\r\nonly text",
    "bytes": bytes(range(256)) * 4,
    "8-bit headers": "Subject: Grüße\r\n\r\nGrüße".encode(),
    "unknown charset": b"Content-Type: text/plain; charset=klingon\r\n\r\nQapla",
    "surrogates": b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-",
    "no boundary": b"Content-Type: multipart/alternative\r\n\r\n--x\r\n\r\ntext",
    "deep comments": b"To: " + b"(" * 1999 + b"\r\n\r\ntext",
    "endless header": b"Content-Type: text/plain; " + b"a=b; " * 30_000 + b"\r\n\r\ntext",
    "deep multiparts": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(3000)
    ),
    "bad disposition": b"Content-Disposition: " + b";" * 3000 + b"\r\n\r\ntext",
    "bad base64": b"Content-Transfer-Encoding: base64\r\n\r\n=?!",
}


@pytest.fixture
def directory(tmp_path, settings):
    """The directory of the emails, which does not exist yet."""
    settings.MAIL_CATCHER_DIR = tmp_path / "data" / "mail"
    return settings.MAIL_CATCHER_DIR


@pytest.fixture
def reader(make_user, as_user):
    """A client of a staff user whose only permission is to view caught emails."""
    return as_user(grant(make_user(is_staff=True), "tasks_admin.view_caught_mail"))


def save(directory, content=EMAIL, to="ann@mail.example"):
    """Store an email; return the URL of its page."""
    name = store.save(directory, sender="console@localhost", recipients=[to], content=content)
    return reverse("mailcatcher:detail", args=[name])


@pytest.mark.parametrize("page", ["list", "detail"])
def test_staff_without_the_permission_get_403(directory, as_user, charlie, page):
    url = LIST if page == "list" else save(directory)
    assert as_user(charlie).get(url).status_code == 403


@pytest.mark.parametrize("page", ["list", "detail"])
def test_users_who_are_not_staff_are_redirected_to_the_login_page(
    directory, client, as_user, make_user, page
):
    url = LIST if page == "list" else save(directory)
    not_staff = grant(make_user(), "tasks_admin.view_caught_mail")
    for browser in (client, as_user(not_staff)):
        response = browser.get(url)
        assert response.status_code == 302 and response.url.startswith("/admin/login/")


def test_the_pages_return_404_when_a_mail_server_is_configured(directory, reader, settings):
    url = save(directory)
    settings.MAIL_CATCHER_DIR = None
    assert reader.get(LIST).status_code == reader.get(url).status_code == 404


def test_the_pages_are_not_cached_and_reject_post(directory, reader):
    for url in (LIST, save(directory)):
        assert "no-store" in reader.get(url)["Cache-Control"]
        assert reader.post(url).status_code == 405


@pytest.mark.parametrize(
    "name",
    [
        "../secret_key",
        "..%2fsecret_key",
        "..",
        "secret_key",
        "20261122T120000000000-0123456789abcdef.eml",
        "99999999T999999999999-0123456789abcdef.eml",
    ],
)
def test_other_file_names_are_not_found(directory, reader, name):
    save(directory)
    (directory.parent / "secret_key").write_text("secret")
    (directory / "secret_key").write_text("secret")
    response = reader.get(f"{LIST}{name}/")
    assert response.status_code == 404 and b"secret<" not in response.content
    assert store.read(directory, name) is None


def test_an_empty_list_has_a_note(directory, reader):
    assert "No emails yet." in reader.get(LIST).content.decode()


def test_the_list_shows_the_latest_first_and_fifty_per_page(directory, reader):
    for n in range(53):
        save(directory, b"Subject: Email %02d\r\n\r\n" % n)
    first, second = reader.get(LIST), reader.get(f"{LIST}?page=2")
    assert [email.subject for email in first.context["emails"]] == [
        f"Email {n:02d}" for n in range(52, 2, -1)
    ]
    assert [email.subject for email in second.context["emails"]] == [
        "Email 02", "Email 01", "Email 00",
    ]  # fmt: skip
    assert "53 emails" in first.content.decode() and 'href="?page=2"' in first.content.decode()
    assert reader.get(f"{LIST}?page=x").status_code == 200


def test_a_search_filters_the_latest_emails_by_recipient(directory, reader, monkeypatch):
    monkeypatch.setattr(store, "MAX_SEARCHED", 3)
    for name in ("old-ann", "ann", "BOB", "Ann.B"):
        save(directory, to=f"{name}@mail.example")
    response = reader.get(LIST, {"q": " ann"})
    found = [email.recipients for email in response.context["emails"]]
    assert found == ["Ann.B@mail.example", "ann@mail.example"]
    assert "latest 3 emails" in response.content.decode()
    assert (
        "No email to a matching recipient." in reader.get(LIST, {"q": "envelope"}).content.decode()
    )


def test_links_are_clickable_and_html_is_not_rendered(directory, reader):
    message = EmailMultiAlternatives(
        "Grüße 你好", f"Choose: {LINK}\n<b>bold</b>", to=["a@b.example"]
    )
    message.attach_alternative("<script>alert(1)</script>", "text/html")
    page = reader.get(save(directory, message.message().as_bytes())).content.decode()
    assert f'<a href="{LINK}" rel="nofollow">' in page
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
    assert "Grüße 你好" in page and "ann@mail.example" in page


def test_a_long_email_is_truncated_with_a_note(directory, reader):
    page = reader.get(save(directory, b"\r\n" + b"x" * 100_001)).content.decode()
    assert "Only its first 100,000 characters" in page and "x" * 100_001 not in page


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_malformed_emails_are_listed_and_shown(directory, reader, content):
    url = save(directory, content)
    assert url in reader.get(LIST).content.decode()
    response = reader.get(url)
    assert response.status_code == 200 and "ann@mail.example" in response.content.decode()
