"""Expired results are deleted, unless a retry still needs them."""

from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from tasks_admin.lib.deletion import in_batches
from tasks_admin.models import Failure, Result, Target
from tasks_admin.models.lock_keys import LockKind, lock_key_expression
from tasks_admin.models.targets import OPEN


def delete_expired(before: timedelta) -> int:
    """Delete results that ended longer ago than `before`, except those with a waiting retry."""
    lock_key = lock_key_expression(LockKind.RESULT, OuterRef("task_id"))
    retries = Target.objects.filter(lock_key=lock_key, state__in=OPEN)
    old = Result.objects.filter(date_done__lt=Now() - before).filter(~Exists(retries))
    count = in_batches(lambda: old.order_by("date_done"))
    expired = Failure.objects.filter(failed_at__lt=Now() - before)
    in_batches(lambda: expired.order_by("failed_at"))
    return count
