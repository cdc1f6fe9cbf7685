"""Rate limits: so many tries in a window, counted in the database, for all web processes."""

import time
from datetime import UTC, datetime

from django.db.models import F
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import RateLimited
from tasks_admin.models.rate_limits import RateLimitCounter


def hit(scope: str, value: object) -> None:
    """Count one try of `value` in `scope`; raises `TooMany` above the scope's limit."""
    allowed, seconds = settings.LIMITS[scope]
    window = int(time.time() // seconds)
    key = salted_hmac(f"tasks_admin.limits.{scope}", f"{value}\x00{window}", algorithm="sha256")
    attempt = RateLimitCounter.objects.filter(pk=key.hexdigest())
    if not attempt.update(count=F("count") + 1):
        ends = datetime.fromtimestamp((window + 1) * seconds, tz=UTC)
        RateLimitCounter.objects.bulk_create(
            [RateLimitCounter(key=key.hexdigest(), expires_at=ends)], ignore_conflicts=True
        )
        attempt.update(count=F("count") + 1)
    count = attempt.values_list("count", flat=True).first()  # None: deleted, its window just ended
    if (count or 1) > allowed:
        raise RateLimited(_("That was tried too often. Wait an hour, then try again."))


def forget_expired() -> int:
    """Delete the counts of windows that are over."""
    return RateLimitCounter.objects.filter(expires_at__lt=datetime.now(tz=UTC)).delete()[0]
