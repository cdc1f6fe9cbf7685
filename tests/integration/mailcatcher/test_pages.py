"""The pages of the caught mails: who may read them, and that no mail breaks them."""

import pytest
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from opsconsole.mailcatcher import store
from tests.conftest import grant

LINK = "http://127.0.0.1:8000/user/reset/password/?token=WzEsMV0.a-b_c"
LIST = reverse("mailcatcher:list")
MAIL = b"Subject: Hello\r\n\r\nText\r\n"
GARBLED = {
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
    """Where mails are kept; it does not exist yet."""
    settings.MAIL_CATCHER_DIR = tmp_path / "data" / "mail"
    return settings.MAIL_CATCHER_DIR


@pytest.fixture
def reader(make_user, as_user):
    """A client of staff who may read caught mails, and nothing else."""
    return as_user(grant(make_user(is_staff=True), "tasks_admin.view_caught_mail"))


def keep(directory, content=MAIL, to="ann@mail.example"):
    """Store a mail; return the address of its page."""
    name = store.save(directory, sender="console@localhost", recipients=[to], content=content)
    return reverse("mailcatcher:mail", args=[name])


@pytest.mark.parametrize("page", ["list", "mail"])
def test_staff_without_the_permission_are_refused(directory, as_user, charlie, page):
    address = LIST if page == "list" else keep(directory)
    assert as_user(charlie).get(address).status_code == 403


@pytest.mark.parametrize("page", ["list", "mail"])
def test_who_is_no_staff_is_asked_to_sign_in(directory, client, as_user, make_user, page):
    address = LIST if page == "list" else keep(directory)
    outsider = grant(make_user(), "tasks_admin.view_caught_mail")
    for visitor in (client, as_user(outsider)):
        response = visitor.get(address)
        assert response.status_code == 302 and response.url.startswith("/admin/login/")


def test_there_are_no_pages_when_mails_go_to_a_real_server(directory, reader, settings):
    address = keep(directory)
    settings.MAIL_CATCHER_DIR = None
    assert reader.get(LIST).status_code == reader.get(address).status_code == 404


def test_pages_are_kept_by_no_cache_and_change_nothing(directory, reader):
    for address in (LIST, keep(directory)):
        assert "no-store" in reader.get(address)["Cache-Control"]
        assert reader.post(address).status_code == 405


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
def test_a_name_that_is_no_mails_is_not_found(directory, reader, name):
    keep(directory)
    (directory.parent / "secret_key").write_text("secret")
    (directory / "secret_key").write_text("secret")
    response = reader.get(f"{LIST}{name}/")
    assert response.status_code == 404 and b"secret<" not in response.content
    assert store.read(directory, name) is None


def test_a_directory_without_mails_says_so(directory, reader):
    assert "No mail has been caught yet." in reader.get(LIST).content.decode()


def test_the_list_is_newest_first_and_fifty_to_a_page(directory, reader):
    for n in range(53):
        keep(directory, b"Subject: Mail %02d\r\n\r\n" % n)
    first, second = reader.get(LIST), reader.get(f"{LIST}?page=2")
    assert [mail.subject for mail in first.context["mails"]] == [
        f"Mail {n:02d}" for n in range(52, 2, -1)
    ]
    assert [mail.subject for mail in second.context["mails"]] == ["Mail 02", "Mail 01", "Mail 00"]
    assert "53 mails" in first.content.decode() and 'href="?page=2"' in first.content.decode()
    assert reader.get(f"{LIST}?page=x").status_code == 200


def test_a_search_keeps_those_to_an_address_among_the_newest(directory, reader, monkeypatch):
    monkeypatch.setattr(store, "SEARCHED", 3)
    for name in ("old-ann", "ann", "BOB", "Ann.B"):
        keep(directory, to=f"{name}@mail.example")
    response = reader.get(LIST, {"q": " ann"})
    found = [mail.recipients for mail in response.context["mails"]]
    assert found == ["Ann.B@mail.example", "ann@mail.example"]
    assert "The newest 3 mails are searched." in response.content.decode()
    assert "No mail went" in reader.get(LIST, {"q": "envelope"}).content.decode()


def test_the_link_in_a_mail_can_be_clicked_and_its_html_is_never_rendered(directory, reader):
    mail = EmailMultiAlternatives("Grüße 你好", f"Choose: {LINK}\n<b>bold</b>", to=["a@b.example"])
    mail.attach_alternative("<script>alert(1)</script>", "text/html")
    page = reader.get(keep(directory, mail.message().as_bytes())).content.decode()
    assert f'<a href="{LINK}" rel="nofollow">' in page
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
    assert "Grüße 你好" in page and "ann@mail.example" in page


def test_a_long_mail_is_cut_and_says_so(directory, reader):
    page = reader.get(keep(directory, b"\r\n" + b"x" * 100_001)).content.decode()
    assert "only the first 100000 characters" in page and "x" * 100_001 not in page


@pytest.mark.parametrize("content", GARBLED.values(), ids=GARBLED)
def test_a_garbled_mail_is_listed_and_shown_all_the_same(directory, reader, content):
    address = keep(directory, content)
    assert address in reader.get(LIST).content.decode()
    response = reader.get(address)
    assert response.status_code == 200 and "ann@mail.example" in response.content.decode()
