"""Workers, as far as the database needs to know them."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Dispatcher(models.Model):
    """A dispatcher that is at work: it says so every few seconds."""

    name = models.CharField(max_length=255, primary_key=True)
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """A worker on the broker. No table yet: it gives the page its address and permission."""

    name = models.CharField(_("name"), max_length=255, primary_key=True)

    class Meta:
        managed = False
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name
