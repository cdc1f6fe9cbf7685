"""The state of each user's password resets."""

from datetime import timedelta

from django.conf import settings as django_settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib.conf import settings


class ResetQuerySet(models.QuerySet["Reset"]):
    """Filters of resets."""

    def recent(self) -> "ResetQuerySet":
        """The resets whose latest email was sent within `RESET_INTERVAL`."""
        return self.filter(sent_at__gt=timezone.now() - timedelta(seconds=settings.RESET_INTERVAL))


class Reset(models.Model):
    """The state of one user's resets.

    The generation makes links usable once: a link contains the generation that it was signed for;
    each newer email and each use of a link increases the generation (compare-and-set).
    """

    user = models.OneToOneField(
        django_settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+"
    )
    generation = models.PositiveIntegerField(default=0)
    #: The target that last increased the generation. No foreign key: targets expire.
    target_id = models.BigIntegerField(null=True)
    #: When the latest reset email was sent.
    sent_at = models.DateTimeField(null=True)

    objects = ResetQuerySet.as_manager()

    class Meta:
        verbose_name = _("password reset")
        verbose_name_plural = _("password resets")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.user_id}/{self.generation}"
