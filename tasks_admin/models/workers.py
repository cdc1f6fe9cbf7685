"""Workers, as far as the database needs to know them."""

from django.db import models
from django.utils.translation import gettext_lazy as _


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
