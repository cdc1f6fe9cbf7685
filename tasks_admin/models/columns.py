"""The columns that a user has selected."""

from django.conf import settings as django_settings
from django.db import models


class ColumnChoice(models.Model):
    """The columns of the list of results that a user has selected."""

    user = models.OneToOneField(
        django_settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+"
    )
    names = models.JSONField(default=list)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return ", ".join(self.names)
