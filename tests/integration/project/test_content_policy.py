"""The Content Security Policy: every page has it, and no template needs an exception."""

import re

import pytest
from django.conf import settings

from opsconsole.environment import BASE_DIR
from tests.support.factories import make_operation, make_result, make_users
from tests.support.pages import OPERATIONS, RESULTS, USERS, WORKERS, run_action

TEMPLATES = sorted(
    path
    for path in (BASE_DIR / "templates").rglob("*.html")
    if "/mail/" not in str(path)  # email clients ignore style sheets
)
FORBIDDEN = {
    "an inline script": r"<script(?![^>]*\bsrc=)(?![^>]*application/json)",
    "an inline style sheet": r"<style",
    "a style attribute": r"\sstyle\s*=",
    "an event handler": r"\son[a-z]+\s*=\s*[\"'{]",
    "a javascript: URL": r"javascript:",
    "disabled escaping": r"\|\s*safe\b|autoescape\s+off",
}


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.name for path in TEMPLATES])
@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN)
def test_templates_need_no_exception(path, pattern):
    assert not re.findall(pattern, path.read_text(), re.IGNORECASE)


def test_no_code_disables_escaping():
    for path in (BASE_DIR / "tasks_admin").rglob("*.py"):
        assert "mark_safe" not in path.read_text(), path


@pytest.fixture
def pages(as_user, alice, no_broker):
    """One response of each kind."""
    client = as_user(alice)
    operation, result = make_operation(2, actor=alice), make_result()
    yield [
        client.get("/admin/"),
        client.get(USERS),
        client.get(RESULTS),
        client.get(OPERATIONS),
        client.get(WORKERS),
        client.get(f"{OPERATIONS}{operation.pk}/change/"),
        client.get(f"{OPERATIONS}{operation.pk}/progress/"),
        client.get(f"{RESULTS}{result.pk}/change/"),
        run_action(client, USERS, "send_reset_email", make_users(2, "v")),
        run_action(client, RESULTS, "retry_failed", [result]),
        client.get("/admin/nowhere/"),
        client.post(f"{OPERATIONS}0/pause/"),
    ]


def test_every_page_has_the_policy(pages):
    for page in pages:
        policy = page["Content-Security-Policy"]
        for directive in (
            "default-src 'self'", "object-src 'none'", "base-uri 'none'",
            "frame-ancestors 'none'", "form-action 'self'",
        ):  # fmt: skip
            assert directive in policy, page.request["PATH_INFO"]
        assert "unsafe" not in policy


def test_every_page_has_the_other_security_headers(pages):
    for page in pages:
        assert page["X-Frame-Options"] == "DENY"
        assert page["X-Content-Type-Options"] == "nosniff"
        assert page["Referrer-Policy"] == "same-origin"


def test_rendered_pages_need_no_exception(pages):
    for page in pages:
        for name, pattern in FORBIDDEN.items():
            matches = re.findall(pattern, page.content.decode(), re.IGNORECASE)
            assert not matches, (page.request["PATH_INFO"], name)


def test_scripts_cannot_read_the_session_cookie(alice, client):
    response = client.post("/admin/login/", {"username": "alice", "password": "old password"})

    cookie = response.cookies[settings.SESSION_COOKIE_NAME]

    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
