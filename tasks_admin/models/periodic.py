"""Periodic tasks, as Celery beat knows them: it writes these rows itself."""

from datetime import timedelta
from typing import Self

from django.contrib.admin.utils import quote
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from tasks_admin.models.workers import SILENT


class BeatQuerySet(models.QuerySet["Beat"]):
    """Schedulers."""

    def online(self) -> Self:
        """Those that gave a sign of life a moment ago."""
        return self.filter(last_seen_at__gt=Now() - timedelta(seconds=SILENT))


class Beat(models.Model):
    """A Celery beat that is at work: it says so every few seconds."""

    name = models.CharField(max_length=255, primary_key=True)
    last_seen_at = models.DateTimeField(db_index=True)

    objects = BeatQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class PeriodicTask(models.Model):
    """An entry of a beat's schedule."""

    name = models.CharField(_("name"), max_length=255, primary_key=True)
    task = models.CharField(_("task"), max_length=255)
    #: When, in Celery's words.
    schedule = models.CharField(_("schedule"), max_length=255)
    #: When beat last queued it, and will next.
    last_at = models.DateTimeField(_("last"), null=True)
    next_at = models.DateTimeField(_("next"), null=True)
    #: How often, since beat began to count.
    runs = models.PositiveBigIntegerField(_("times"), default=0)
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("periodic task")
        verbose_name_plural = _("periodic tasks")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The list: there is no page of one."""
        return reverse("admin:tasks_admin_periodictask_changelist") + f"#{quote(self.name)}"
