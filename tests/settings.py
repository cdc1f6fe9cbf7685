"""The settings under which unit tests run: a directory of their own, plain static files."""

import os
import tempfile

os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="opsconsole-test-"))
os.environ.setdefault("SECRET_KEY", "only-for-tests-" * 4)

from opsconsole.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
TASKS_ADMIN_MAIL_SUMMARY = False  # one operation at a time is easier to look at
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405 (or whitenoise warns)
# A file, as in production: threads then wait for each other instead of failing on a shared cache.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "tests.sqlite3")}  # noqa: F405
