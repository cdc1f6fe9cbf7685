"""The console's pages in Django's admin. They translate, and never decide."""

from tasks_admin.admin import (  # noqa: F401 (they register)
    causes,
    operations,
    periodic,
    queues,
    results,
    users,
    workers,
)
