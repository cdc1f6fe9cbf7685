"""What is known of a user's password resets."""

from datetime import timedelta

from django.conf import settings as django_settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.conf import settings


class ResetQuerySet(models.QuerySet["Reset"]):
    """Resets."""

    def recent(self) -> "ResetQuerySet":
        """Those whose mail went out within `RESET_INTERVAL`."""
        return self.filter(
            mailed_at__gt=timezone.now() - timedelta(seconds=settings.RESET_INTERVAL)
        )


class Reset(models.Model):
    """The state of one user's resets.

    The generation is what makes a link usable once: a link carries the generation that it was
    made for, every newer request raises it, and so does using the link (compare-and-set).
    """

    user = models.OneToOneField(
        django_settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+"
    )
    generation = models.PositiveIntegerField(default=0)
    #: The target that raised the generation last; no foreign key, targets are cleaned up.
    target_id = models.BigIntegerField(null=True)
    mailed_at = models.DateTimeField(null=True)

    objects = ResetQuerySet.as_manager()

    class Meta:
        verbose_name = _("password reset")
        verbose_name_plural = _("password resets")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.user_id}/{self.generation}"
