"""The console's settings, with an app of the project's own."""

from opsconsole.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.host"]  # noqa: F405
