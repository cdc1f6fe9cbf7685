"""The main workflows in a browser, on the processes that `make demo` starts."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from opsconsole.environment import BASE_DIR
from tests.support.stack import WAIT_TIMEOUT, Stack, until

ALL = os.environ.get("OPSCONSOLE_TEST_ALL") == "1"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IMAGES = BASE_DIR / "docs" / "images"
#: Waits for the next poll of the live part of a page; true if the page suppressed it.
NEXT_POLL = """() => new Promise((resolve) =>
  document.addEventListener("htmx:beforeRequest",
    (event) => setTimeout(() => resolve(event.defaultPrevented)), {once: true}))"""
pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The processes that `make demo` starts, with sixty sample users."""
    stack = Stack(tmp_path_factory.mktemp("demo"), OPSCONSOLE_DEMO="1")
    stack.run("devserver", sys.executable, "-m", "opsconsole.devserver", "--demo", "60")
    stack.ready()
    yield stack
    stack.kill("devserver", signal.SIGTERM)
    stack.close()


@pytest.fixture
def page(demo: Stack) -> Iterator[Any]:
    """A page of Chromium, in the window size of a small laptop."""
    if CHROMIUM is None:
        if ALL:
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 860}, base_url=demo.url)
        page.set_default_timeout(WAIT_TIMEOUT * 1000)
        page.console_errors = []
        page.on("console", lambda message: _record_error(page, message))
        yield page
        assert page.console_errors == []
        browser.close()


def _record_error(page: Any, message: Any) -> None:
    """Record an error of the browser's console: a violated content policy, a broken script."""
    expected = "status of 4" in message.text  # responses that a test expects to be rejected
    if message.type == "error" and not expected:
        page.console_errors.append(message.text)


def screenshot(page: Any, name: str) -> None:
    """Save a screenshot for the README if OPSCONSOLE_PICTURES is set."""
    if os.environ.get("OPSCONSOLE_PICTURES"):
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(IMAGES / f"{name}.png"))


def sign_in(page: Any, name: str = "admin", password: str = "a password for tests") -> None:
    page.goto("/admin/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.click("input[type=submit]")


def test_staff_send_reset_emails_and_retry_failures(demo: Stack, page: Any) -> None:
    sign_in(page)
    page.goto("/admin/auth/user/?q=demo-0")
    page.check("#action-toggle")
    page.select_option("select[name=action]", "send_reset_email")
    screenshot(page, "users")
    page.click("button[name=index]")

    page.wait_for_selector(".consequence")
    assert "Account inactive" in page.inner_text(".excluded")
    screenshot(page, "confirm")
    page.fill("#id_reason", "The annual password change")
    page.click("input[name=confirm]")

    page.wait_for_selector("#progress")
    screenshot(page, "operation-running")
    page.wait_for_selector("#progress .badge.finished")  # live, without reloading
    screenshot(page, "operation")
    counts = page.inner_text("#progress .counts")
    assert "done" in counts and "failed" in counts

    page.goto("/admin/tasks_admin/result/?status=FAILURE")
    screenshot(page, "results")
    page.click("#result_list tbody tr:first-child th a")
    assert "550" in page.inner_text(".traceback")
    screenshot(page, "result")

    page.goto("/admin/tasks_admin/result/?status=FAILURE")
    page.check("#action-toggle")
    page.select_option("select[name=action]", "retry_failed")
    page.click("button[name=index]")
    page.wait_for_selector(".consequence")
    screenshot(page, "retry")
    page.fill("#id_reason", "The mailboxes should exist now")
    page.click("input[name=confirm]")
    page.wait_for_selector("#progress .badge.finished")
    assert "failed" in page.inner_text("#progress .counts")

    page.goto("/admin/tasks_admin/worker/")
    assert "mail" in page.inner_text("#content")
    screenshot(page, "workers")
    page.goto("/admin/mail/")
    screenshot(page, "caught-emails")


def confirm(page: Any, **fields: str) -> None:
    """Fill in the form of an action with a reason, submit it and open the operation's page."""
    for name, value in fields.items():
        page.fill(f"#id_{name}", value)
    page.fill("#id_reason", "A test")
    page.click("input[type=submit].default")
    page.wait_for_selector("#progress")


def test_staff_pause_purge_and_restore_a_queue(demo: Stack, page: Any) -> None:
    queue = "/admin/tasks_admin/queue/celery/change/"

    def wait_for_messages(number: str) -> None:
        until(lambda: page.inner_text("#queue dd >> nth=1") == number, f"{number} waiting messages")

    sign_in(page)
    page.goto(queue)
    page.click("text=Pause the queue")
    confirm(page)
    until(lambda: "celery, mail → mail" in page.inner_text("#progress"), "the worker's reply")
    page.goto("/admin/tasks_admin/periodictask/")
    page.click("tr:has-text('tasks_admin.housekeeping') >> text=Run now")
    confirm(page)
    operation = page.url

    page.goto(queue)
    wait_for_messages("1")
    assert "paused" in page.inner_text("#queue")
    page.click("text=Peek")
    assert "tasks_admin.housekeeping" in page.inner_text("#content")
    screenshot(page, "queue")
    page.click("text=Purge")
    confirm(page)
    page.wait_for_selector("#progress .badge.finished")
    page.goto(queue)
    wait_for_messages("0")
    page.click("text=Restore")
    confirm(page)
    page.wait_for_selector("#progress .badge.finished")
    page.goto(queue)
    wait_for_messages("1")
    page.click("text=Resume the queue")
    confirm(page)
    page.goto(operation)
    page.wait_for_selector("#progress .badge.finished")
    assert "1 done" in page.inner_text("#progress .counts").replace("done 1", "1 done")


def test_staff_grow_the_pool_of_an_unresponsive_worker(demo: Stack, page: Any) -> None:
    pid = demo.evaluate("Worker.objects.get().last_snapshot['pid']")
    sign_in(page)
    page.goto("/admin/tasks_admin/worker/")
    page.focus("#workers a")
    link = page.query_selector("#workers a")
    assert page.evaluate(NEXT_POLL), "the page polled although one of its links has the focus"
    assert link.evaluate("link => document.activeElement === link")
    page.evaluate("document.activeElement.blur()")
    until(lambda: not link.evaluate("link => link.isConnected"), "an updated list")

    page.check("input[name=all]")
    page.click("text=Grow the pool")
    confirm(page, n="1")
    page.wait_for_selector("text=2 → 3")

    page.goto("/admin/tasks_admin/worker/")
    page.check("input[name=name]")
    os.kill(pid, signal.SIGSTOP)
    page.click("text=Grow the pool")
    confirm(page, n="1")
    page.wait_for_selector("#progress .badge.unknown")
    assert "may still be applied when the worker recovers" in page.inner_text("#progress")
    os.kill(pid, signal.SIGCONT)
    page.wait_for_selector("text=3 → 4")  # live, when the worker has replied


def test_a_user_sets_a_new_password_and_signs_in_with_it(demo: Stack, page: Any) -> None:
    account = ("--username", "carol", "--email", "carol@mail.example")
    demo.manage("createsuperuser", "--noinput", *account)
    sign_in(page, "carol")
    page.goto("/user/reset/password/request/")
    page.click("input[type=submit]")
    page.wait_for_selector("[role=status]")
    email = until(lambda: _email_to(demo, "carol@mail.example"), "a reset email to carol")

    page.context.clear_cookies()
    page.goto(_link(email))
    assert "token" not in page.url
    screenshot(page, "set-password")
    page.fill("#id_new_password1", "a new and better password")
    page.fill("#id_new_password2", "a new and better password")
    page.click("input[type=submit]")
    page.wait_for_url("**/done/")
    assert page.goto(_link(email)).status == 410
    screenshot(page, "used-link")

    sign_in(page, "carol", "a new and better password")
    page.wait_for_selector("#user-tools")
    notice = until(lambda: _email_to(demo, "carol@mail.example", "changed"), "the notification")
    assert "token" not in notice.as_string()


def _email_to(stack: Stack, address: str, subject: str = "Reset your password") -> Any:
    for path in reversed(stack.emails()):
        email = message_from_bytes(path.read_bytes(), policy=policy.default)
        if email["To"] == address and subject in email["Subject"]:
            return email
    return None


def _link(email: Any) -> str:
    text = email.get_body(("plain",)).get_content()
    return re.search(r"http://\S+token=\S+", text)[0]  # type: ignore[index]


def test_all_processes_end_when_the_development_server_is_killed(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.run("devserver", sys.executable, "-m", "opsconsole.devserver")
    stack.ready()

    stack.processes["devserver"].kill()
    stack.processes["devserver"].wait()

    until(lambda: not _running_in(tmp_path), "the end of all processes")


def _running_in(directory: Path) -> list[str]:
    """Return the IDs of processes with that DATA_DIR in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"DATA_DIR={directory}\0".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DATA_DIR": "/proc/nowhere"}, "is not writable"),
        ({"PORT": "http"}, "PORT"),
        ({"DATABASE_URL": "mysql://x/y", "SECRET_KEY": "x" * 50}, "DATABASE_URL"),
    ],
)
def test_a_failed_start_is_reported_in_one_line(
    tmp_path: Path, environment: Any, expected: str
) -> None:
    stack = Stack(tmp_path, **environment)

    process = subprocess.run(
        [sys.executable, "-m", "opsconsole.devserver"],
        env=stack.environment, capture_output=True, text=True, timeout=WAIT_TIMEOUT,
    )  # fmt: skip

    assert process.returncode == 1
    assert expected in process.stderr and len(process.stderr.splitlines()) == 1


def test_a_port_in_use_is_reported_in_one_line(demo: Stack, tmp_path: Path) -> None:
    stack = Stack(tmp_path, PORT=str(demo.port))

    process = subprocess.run(
        [sys.executable, "-m", "opsconsole.devserver"],
        env=stack.environment, capture_output=True, text=True, timeout=WAIT_TIMEOUT,
    )  # fmt: skip

    assert process.returncode == 1
    assert "in use" in process.stderr and len(process.stderr.splitlines()) == 1
