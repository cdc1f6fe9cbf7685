"""The console's pages in Django's admin. They translate, and never decide."""

import tasks_admin.admin.failure_groups.pages
import tasks_admin.admin.operations.pages
import tasks_admin.admin.periodic
import tasks_admin.admin.queues
import tasks_admin.admin.results.pages
import tasks_admin.admin.users
import tasks_admin.admin.workers.pages  # noqa: F401 (they register)
