"""Emails: their content and language, and the usernames that they contain."""

import re
from email import message_from_bytes, policy
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User

from tasks_admin.integrations.mail import emails
from tasks_admin.models import Operation, Target

LINK = "https://console.example/user/reset/password/?token=abc.def"


@pytest.fixture(autouse=True)
def host(settings):
    settings.HOST_URL = "https://console.example:8443"


def user(name="ann", **fields):
    return User(**{"pk": 1, "username": name, "email": "ann@mail.example"} | fields)


def compose(to=None, name="password_reset", pk=5, **operation):
    target = Target(pk=pk, operation=Operation(**operation))
    context = {"link": LINK, "minutes": 60}
    message = emails.build_email(name, user=to or user(), target=target, context=context)
    return message_from_bytes(message.message().as_bytes(), policy=policy.default)


def text_of(message):
    return message.get_body(("plain",)).get_content()


def html_of(message):
    return message.get_body(("html",)).get_content()


class TestHeaders:
    """The headers."""

    @pytest.mark.parametrize("name", ["password_reset", "password_changed"])
    def test_emails_are_marked_as_generated_automatically(self, name):
        assert compose(name=name)["Auto-Submitted"] == "auto-generated"

    def test_the_user_is_the_only_recipient(self):
        message = compose()

        assert message["To"] == "ann@mail.example"
        assert message["Cc"] is message["Bcc"] is None

    def test_the_message_id_identifies_the_target(self):
        key = Operation().key

        assert compose(key=key)["Message-ID"] == compose(key=key)["Message-ID"]
        assert compose(key=key, pk=5)["Message-ID"] != compose(key=key, pk=6)["Message-ID"]
        assert compose()["Message-ID"] != compose()["Message-ID"]
        assert re.fullmatch(r"<[0-9a-f-]{36}\.5@console\.example>", compose()["Message-ID"])

    def test_the_subjects(self):
        assert compose()["Subject"] == "Reset your password"
        changed = "Your password for console.example:8443 was changed"
        assert compose(name="password_changed")["Subject"] == changed


class TestBody:
    """The text and the HTML version."""

    def test_each_email_has_a_text_and_an_html_version(self):
        message = compose()

        assert message.get_content_type() == "multipart/alternative"
        kinds = [part.get_content_type() for part in message.iter_parts()]
        assert kinds == ["text/plain", "text/html"]

    def test_both_versions_name_the_account_and_contain_the_link_once(self):
        message = compose()

        for body in (text_of(message), html_of(message)):
            assert "ann at console.example:8443" in re.sub(r"<[^>]*>", "", body)
            assert body.count(LINK) == 1
            assert "60 minutes" in body

    def test_the_notification_contains_no_link(self):
        message = compose(name="password_changed")

        for body in (text_of(message), html_of(message)):
            assert "ann" in body
            assert "http" not in body
            assert LINK not in body

    def test_the_html_version_loads_no_external_content(self):
        assert not re.search(r"src=|<img|<link|<script|@import|url\(", html_of(compose()))


class TestLanguage:
    """Emails use the user's language if the user model has a field for it."""

    def test_the_projects_language_if_the_user_has_none(self, settings):
        settings.LANGUAGE_CODE = "zh-hans"

        assert '<html lang="zh-hans">' in html_of(compose())

    def test_the_users_language(self, settings):
        settings.TASKS_ADMIN_USER_LANGUAGE_FIELD = "first_name"

        assert '<html lang="zh-hans">' in html_of(compose(user(first_name="zh-hans")))
        assert '<html lang="en">' in html_of(compose(user(first_name="en")))

    @pytest.mark.parametrize("code", ["", None, "xx", "../../etc", 7, "zh-hans\n"])
    def test_the_projects_language_if_the_users_is_not_supported(self, settings, code):
        settings.TASKS_ADMIN_USER_LANGUAGE_FIELD = "first_name"

        assert '<html lang="en">' in html_of(compose(user(first_name=code)))

    def test_the_active_language_does_not_matter(self):
        from django.utils import translation

        with translation.override("zh-hans"):
            assert '<html lang="en">' in html_of(compose())
            assert translation.get_language() == "zh-hans"


MALICIOUS = "Ann\r\nBcc: eve@x.example\r\n\r\nHello,\r\nyour account <b>is</b> & was closed"


class TestMaliciousUsernames:
    """Users choose their names, but cannot add content to an email with them."""

    @pytest.mark.parametrize("name", ["password_reset", "password_changed"])
    def test_line_breaks_add_no_header_and_no_paragraph(self, name):
        message = compose(user(MALICIOUS, first_name=MALICIOUS, last_name=MALICIOUS), name=name)

        assert message["Bcc"] is None
        assert not message.defects
        assert "\nBcc:" not in text_of(message)
        assert "\nHello,\n" not in text_of(message).replace("\r", "").partition("\n")[2]
        assert "Ann Bcc: eve@x.example" in text_of(message)

    @pytest.mark.parametrize("name", ["password_reset", "password_changed"])
    def test_html_tags_are_escaped(self, name):
        message = compose(user("<b>\"Ann\" & 'Bob'</b>"), name=name)

        assert "<b>\"Ann\" & 'Bob'</b>" in text_of(message)
        assert "&lt;b&gt;&quot;Ann&quot; &amp; &#x27;Bob&#x27;&lt;/b&gt;" in html_of(message)

    def test_template_tags_are_not_rendered(self):
        assert "{{ user.password }} {% now %}" in text_of(
            compose(user("{{ user.password }} {% now %}", password="a hash"))
        )

    def test_a_long_name_is_truncated(self):
        message = compose(user("x" * 10_000))

        assert "x" * 150 in text_of(message)
        assert "x" * 151 not in text_of(message)

    def test_no_line_exceeds_the_limit_of_smtp(self):
        message = compose(user("语" * 150))

        assert max(len(line) for line in message.as_bytes().splitlines()) <= 998

    def test_the_html_is_well_formed(self):
        opened = []

        class Checker(HTMLParser):
            def handle_starttag(self, tag, attrs):
                opened.append(tag)

            def handle_endtag(self, tag):
                assert opened.pop() == tag

        Checker().feed(html_of(compose(user("</p><b>"))))

        assert opened == []
