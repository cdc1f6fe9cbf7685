"""Fixtures for the tests of exports and imports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture(autouse=True)
def upload_dir(tmp_path: Path, settings: Any) -> Path:
    """The directory of uploaded files, in a data directory of its own."""
    settings.DATA_DIR = tmp_path
    return tmp_path / "imports"


@pytest.fixture
def client(as_user: Callable[[User], Client], alice: User) -> Client:
    """The client of a superuser, signed in."""
    return as_user(alice)
