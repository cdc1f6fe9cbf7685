"""The console's pages in Django's admin. They translate, and never decide."""

from tasks_admin.admin import operations, results, users, workers  # noqa: F401 (they register)
