"""Rate limits: a number of attempts per window, counted in the database for all web processes."""

import time
from datetime import UTC, datetime

from django.db.models import F
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from tasks_admin.lib.conf import settings
from tasks_admin.lib.errors import RateLimited
from tasks_admin.models.rate_limits import RateLimitCounter


def count_attempt(scope: str, value: object) -> None:
    """Count one attempt of `value` in `scope`; raises `RateLimited` above the scope's limit."""
    allowed, seconds = settings.LIMITS[scope]
    window = int(time.time() // seconds)
    key = salted_hmac(f"tasks_admin.limits.{scope}", f"{value}\x00{window}", algorithm="sha256")
    counter = RateLimitCounter.objects.filter(pk=key.hexdigest())
    if not counter.update(count=F("count") + 1):
        expires_at = datetime.fromtimestamp((window + 1) * seconds, tz=UTC)
        RateLimitCounter.objects.bulk_create(
            [RateLimitCounter(key=key.hexdigest(), expires_at=expires_at)], ignore_conflicts=True
        )
        counter.update(count=F("count") + 1)
    # None: its window has just ended, and `delete_expired` was faster.
    count = counter.values_list("count", flat=True).first()
    if (count or 1) > allowed:
        raise RateLimited(_("Too many attempts. Wait an hour, then try again."))


def delete_expired() -> int:
    """Delete the counters of past windows; return their number."""
    return RateLimitCounter.objects.filter(expires_at__lt=datetime.now(tz=UTC)).delete()[0]
