"""An upload is private, is confirmed once by the user who uploaded it, and is then deleted."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tasks_admin.admin.exchange import uploads
from tests.support.user_import import PROCESS, confirm, hidden, upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def erin(make_user: Any) -> User:
    """Another superuser."""
    erin: User = make_user("erin", is_staff=True, is_superuser=True)
    return erin


def test_uploads_are_private_and_read_once(client: Client, upload_dir: Path) -> None:
    upload_dir.mkdir(mode=0o755)
    page = upload(client, "username\nnew\n")
    (file,) = upload_dir.iterdir()
    assert oct(upload_dir.stat().st_mode)[-3:] == "700"
    assert oct(file.stat().st_mode)[-3:] == "600"
    confirm(client, page)
    assert "can no longer be confirmed" in confirm(client, page).content.decode()
    assert User.objects.filter(username="new").count() == 1


def test_only_the_user_who_uploaded_a_file_can_confirm_it(client: Client, erin: User) -> None:
    page = upload(client, "username\nnew\n")
    client.force_login(erin)
    assert "can no longer be confirmed" in confirm(client, page).content.decode()
    assert not User.objects.filter(username="new").exists()


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret_key", "secret_key", "", "\0", "x" * 999]
)
def test_no_other_file_can_be_named(name: str, client: Client, upload_dir: Path) -> None:
    (upload_dir.parent / "secret_key").write_text("username\nnew\n")
    form = hidden(upload(client, "username\nnew\n"))
    for spelling in (name, name + form["import_file_name"][44:]):
        response = client.post(PROCESS, {**form, "import_file_name": spelling}, follow=True)
        assert "can no longer be confirmed" in response.content.decode()
    assert (upload_dir.parent / "secret_key").exists()
    assert not User.objects.filter(username="new").exists()


@pytest.mark.parametrize(
    "change", [{"format": "1"}, {"format": "99"}, {"format": "x"}, {"resource": "9"}]
)
def test_the_form_cannot_change_the_format(change: dict[str, str], client: Client) -> None:
    form = hidden(upload(client, "username\nnew\n"))
    assert client.post(PROCESS, {**form, **change}).status_code == 302
    assert User.objects.filter(username="new").exists()


def test_unconfirmed_uploads_are_deleted(client: Client, upload_dir: Path) -> None:
    page = upload(client, "username\nnew\n")
    (file,) = upload_dir.iterdir()
    os.utime(file, (0, time.time() - uploads.TIMEOUT - 1))
    upload(client, "username,nonsense\nnew,1\n")
    assert list(upload_dir.iterdir()) == []
    assert "can no longer be confirmed" in confirm(client, page).content.decode()
