"""The configuration of the Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TasksAdminConfig(AppConfig):
    """Registers the system checks, and connects Celery's signals."""

    name = "tasks_admin"
    verbose_name = _("Tasks")

    def ready(self) -> None:
        """Register the checks and connect the receivers."""
        from celery.signals import (
            beat_embedded_init,
            beat_init,
            before_task_publish,
            celeryd_after_setup,
            task_prerun,
            task_received,
            worker_ready,
            worker_shutdown,
        )

        from tasks_admin import checks
        from tasks_admin.backend import starts, store_published
        from tasks_admin.integrations import control
        from tasks_admin.periodic import heartbeats
        from tasks_admin.workers import signals

        checks.register()
        before_task_publish.connect(
            store_published, weak=False, dispatch_uid="tasks_admin.store_published"
        )
        for beat_signal in (beat_init, beat_embedded_init):
            beat_signal.connect(
                heartbeats.start_heartbeat, weak=False, dispatch_uid="tasks_admin.beat"
            )
        celeryd_after_setup.connect(
            signals.exclude_paused_queues,
            weak=False,
            dispatch_uid="tasks_admin.celeryd_after_setup",
        )
        task_received.connect(
            control.count_taken, weak=False, dispatch_uid="tasks_admin.task_received"
        )
        worker_ready.connect(
            signals.start_heartbeat, weak=False, dispatch_uid="tasks_admin.worker_ready"
        )
        worker_shutdown.connect(
            signals.stop_heartbeat, weak=False, dispatch_uid="tasks_admin.worker_shutdown"
        )
        task_prerun.connect(starts.record_start, weak=False, dispatch_uid="tasks_admin.starts")
