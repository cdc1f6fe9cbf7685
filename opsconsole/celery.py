"""The Celery app, as in Celery's guide for Django."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")

app = Celery("opsconsole", task_cls="tasks_admin.tasks:TargetTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
