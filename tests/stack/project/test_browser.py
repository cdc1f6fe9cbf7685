"""The main job, end to end, in a browser: `make demo`, select, send, look, retry, choose."""

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
from tests.support.stack import Stack, until

ALL = os.environ.get("OPSCONSOLE_TEST_ALL") == "1"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IMAGES = BASE_DIR / "docs" / "images"
pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make demo` starts, with sixty sample users."""
    stack = Stack(tmp_path_factory.mktemp("demo"), OPSCONSOLE_DEMO="1")
    stack.run("up", sys.executable, "-m", "opsconsole.devserver", "--demo", "60")
    stack.ready()
    yield stack
    stack.kill("up", signal.SIGTERM)


@pytest.fixture
def page(demo: Stack) -> Iterator[Any]:
    """A page of a real browser, at the size of a small laptop."""
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
        page.set_default_timeout(60_000)
        page.console_errors = []
        page.on("console", lambda said: _note(page, said))
        yield page
        assert page.console_errors == []
        browser.close()


def _note(page: Any, said: Any) -> None:
    """Remember what the browser complains about: a violated content policy, a broken script."""
    expected = "status of 4" in said.text  # the pages that are meant to refuse
    if said.type == "error" and not expected:
        page.console_errors.append(said.text)


def picture(page: Any, name: str) -> None:
    """Keep a picture of the page for the README, when asked to."""
    if os.environ.get("OPSCONSOLE_PICTURES"):
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(IMAGES / f"{name}.png"))


def sign_in(page: Any, name: str = "admin", password: str = "a password for tests") -> None:
    page.goto("/admin/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.click("input[type=submit]")


def test_staff_select_users_send_look_and_retry(demo: Stack, page: Any) -> None:
    sign_in(page)
    page.goto("/admin/auth/user/?q=demo-0")
    page.check("#action-toggle")
    page.select_option("select[name=action]", "send_reset_email")
    picture(page, "users")
    page.click("button[name=index]")

    page.wait_for_selector(".consequence")
    assert "not active" in page.inner_text(".left-out")
    picture(page, "confirm")
    page.fill("#id_reason", "The annual password change")
    page.click("input[name=confirm]")

    page.wait_for_selector("#progress")
    picture(page, "operation-running")
    page.wait_for_selector("#progress .badge.finished")  # live: nobody reloads
    picture(page, "operation")
    counts = page.inner_text("#progress .counts")
    assert "done" in counts and "failed" in counts

    page.goto("/admin/tasks_admin/result/?status=FAILURE")
    picture(page, "results")
    page.click("#result_list tbody tr:first-child th a")
    assert "550" in page.inner_text(".traceback")
    picture(page, "result")

    page.goto("/admin/tasks_admin/result/?status=FAILURE")
    page.check("#action-toggle")
    page.select_option("select[name=action]", "retry_failed")
    page.click("button[name=index]")
    page.wait_for_selector(".consequence")
    picture(page, "retry")
    page.fill("#id_reason", "The mailboxes should exist now")
    page.click("input[name=confirm]")
    page.wait_for_selector("#progress .badge.finished")
    assert "failed" in page.inner_text("#progress .counts")

    page.goto("/admin/tasks_admin/worker/")
    assert "mail" in page.inner_text("#content")
    picture(page, "workers")
    page.goto("/admin/mail/")
    picture(page, "caught-emails")


def confirm(page: Any, **fields: str) -> None:
    """Fill in a form of an act, say why, and send it."""
    for name, value in fields.items():
        page.fill(f"#id_{name}", value)
    page.fill("#id_reason", "A story")
    page.click("input[type=submit].default")


def test_staff_pause_purge_and_restore_a_queue(demo: Stack, page: Any) -> None:
    queue = "/admin/tasks_admin/queue/celery/change/"

    def wait_for(number: str) -> None:
        until(lambda: page.inner_text("#queue dd >> nth=1") == number, f"{number} wait")

    sign_in(page)
    page.goto(queue)
    page.click("text=Pause the queue")
    confirm(page)
    assert "celery, mail → mail" in page.inner_text("#progress")
    page.goto("/admin/tasks_admin/periodictask/")
    page.click("tr:has-text('tasks_admin.housekeeping') >> text=Run now")
    confirm(page)
    run = page.url

    page.goto(queue)
    wait_for("1")
    assert "paused" in page.inner_text("#queue")
    page.click("text=Look at the next messages")
    assert "tasks_admin.housekeeping" in page.inner_text("#content")
    picture(page, "queue")
    page.click("text=Purge")
    confirm(page)
    page.wait_for_selector("#progress .badge.finished")
    page.goto(queue)
    wait_for("0")
    page.click("text=Restore")
    confirm(page)
    page.wait_for_selector("#progress .badge.finished")
    page.goto(queue)
    wait_for("1")
    page.click("text=Resume the queue")
    confirm(page)
    page.goto(run)
    page.wait_for_selector("#progress .badge.finished")
    assert "1 done" in page.inner_text("#progress .counts").replace("done 1", "1 done")


def test_staff_grow_a_pool_that_is_silent(demo: Stack, page: Any) -> None:
    pid = demo.evaluate("Worker.objects.get().facts['pid']")
    sign_in(page)
    page.goto("/admin/tasks_admin/worker/")
    page.focus("#workers a")
    link = page.query_selector("#workers a")
    page.wait_for_timeout(6_000)
    assert link.evaluate("link => document.activeElement === link")  # not exchanged meanwhile
    page.evaluate("document.activeElement.blur()")
    until(lambda: not link.evaluate("link => link.isConnected"), "and now it is")

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
    assert "it may still be done when the worker wakes up" in page.inner_text("#progress")
    os.kill(pid, signal.SIGCONT)
    page.wait_for_selector("text=3 → 4")  # told by the worker, and nobody reloads


def test_a_user_chooses_a_new_password_and_signs_in_with_it(demo: Stack, page: Any) -> None:
    who = ("--username", "carol", "--email", "carol@mail.example")
    demo.manage("createsuperuser", "--noinput", *who)
    sign_in(page, "carol")
    page.goto("/user/reset/password/request/")
    page.click("input[type=submit]")
    page.wait_for_selector("[role=status]")
    mail = until(lambda: _mail_to(demo, "carol@mail.example"), "a mail to carol")

    page.context.clear_cookies()
    page.goto(_link(mail))
    assert "token" not in page.url
    picture(page, "choose")
    page.fill("#id_new_password1", "a new and better one")
    page.fill("#id_new_password2", "a new and better one")
    page.click("input[type=submit]")
    page.wait_for_url("**/done/")
    assert page.goto(_link(mail)).status == 410
    picture(page, "used")

    sign_in(page, "carol", "a new and better one")
    page.wait_for_selector("#user-tools")
    changed = until(lambda: _mail_to(demo, "carol@mail.example", "changed"), "the notice")
    assert "token" not in changed.as_string()


def _mail_to(stack: Stack, address: str, subject: str = "Choose") -> Any:
    for path in reversed(stack.emails()):
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        if mail["To"] == address and subject in mail["Subject"]:
            return mail
    return None


def _link(mail: Any) -> str:
    text = mail.get_body(("plain",)).get_content()
    return re.search(r"http://\S+token=\S+", text)[0]  # type: ignore[index]


def test_nothing_outlives_the_runner_when_it_is_killed(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.run("up", sys.executable, "-m", "opsconsole.devserver")
    stack.ready()

    stack.processes["up"].kill()
    stack.processes["up"].wait()

    until(lambda: not _left(tmp_path), "every process is gone")


def _left(directory: Path) -> list[str]:
    """The processes that have our directory in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"DATA_DIR={directory}\0".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DATA_DIR": "/proc/nowhere"}, "can't be written"),
        ({"PORT": "http"}, "PORT"),
        ({"DATABASE_URL": "mysql://x/y", "SECRET_KEY": "x" * 50}, "DATABASE_URL"),
    ],
)
def test_the_runner_refuses_in_one_line(tmp_path: Path, environment: Any, words: str) -> None:
    stack = Stack(tmp_path, **environment)

    done = subprocess.run(
        [sys.executable, "-m", "opsconsole.devserver"],
        env=stack.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 1
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_second_start_finds_a_port_in_use(demo: Stack, tmp_path: Path) -> None:
    stack = Stack(tmp_path, PORT=str(demo.port))

    done = subprocess.run(
        [sys.executable, "-m", "opsconsole.devserver"],
        env=stack.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 1
    assert "in use" in done.stderr and len(done.stderr.splitlines()) == 1
