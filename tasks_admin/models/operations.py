"""Operations: what a member of staff (or a user, or a program) had done."""

import uuid
from collections import Counter
from typing import Any

from django.conf import settings as django_settings
from django.db import models
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from tasks_admin.lib import celery_json, masks
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import PERMISSIONS, VERBS, TargetType, Verb


class OperationState(models.TextChoices):
    """Where an operation stands."""

    PENDING = "pending", _("waiting for approval")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    ABORTED = "aborted", _("aborted")
    FINISHED = "finished", _("finished")


class OperationQuerySet(models.QuerySet["Operation"]):
    """Operations."""

    def active(self) -> "OperationQuerySet":
        """Those in which something may still happen."""
        return self.filter(finished_at=None)

    def running(self) -> "OperationQuerySet":
        """Those whose targets may be published."""
        return self.filter(state=OperationState.RUNNING)


class Operation(models.Model):
    """One thing that was done, to one or many targets: who, when, why, how many."""

    #: Names the confirmation that started it: posted twice, it still starts one operation.
    key = models.UUIDField(_("key"), default=uuid.uuid4, unique=True, editable=False)
    verb = models.CharField(_("what"), max_length=40)
    state = models.CharField(
        _("state"),
        max_length=10,
        choices=OperationState.choices,
        default=OperationState.RUNNING,
    )
    actor = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("who"),
    )
    #: Kept when the account is deleted.
    actor_name = models.CharField(_("who"), max_length=255, blank=True)
    reason = models.TextField(_("why"), blank=True)
    total = models.PositiveIntegerField(_("targets"), default=0)
    #: Left out when it was confirmed: a count by reason.
    excluded = models.JSONField(default=dict)
    #: Targets by state, written when the operation ends.
    outcome_counts = models.JSONField(default=dict)
    #: Targets a minute; None: as fast as it goes.
    rate = models.PositiveIntegerField(_("rate"), null=True)
    #: Up to when the rate's allowance was used.
    paced_at = models.DateTimeField(null=True)
    #: One target goes first; the others follow when it is done.
    canary = models.BooleanField(_("canary"), default=False)
    #: In place of those of the results that are retried: the texts `args` and `kwargs`, as Celery
    #: sends them (a JSON column forgets what is a float, and in which order it was), and `changes`.
    arguments = models.JSONField(null=True)
    #: Why it waits, when the console paused it by itself: a code of `reasons`.
    pause_reason = models.CharField(max_length=40, blank=True)
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="children", verbose_name=_("follows")
    )
    created_at = models.DateTimeField(_("when"), auto_now_add=True)
    finished_at = models.DateTimeField(_("ended"), null=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        verbose_name = _("operation")
        verbose_name_plural = _("operations")
        default_permissions = ("view",)
        permissions = [
            *PERMISSIONS,
            ("import_users", _("Import users")),
            ("export_users", _("Export users")),
            ("export_results", _("Export results")),
            ("export_operations", _("Export operations")),
            ("view_metrics", _("Look at the metrics")),
            ("view_caught_mail", _("Read the mails that the catcher kept")),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(finished_at=None), name="tasks_admin_op_going"
            ),
            models.Index(fields=["verb", "id"], name="tasks_admin_op_verb"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    def get_absolute_url(self) -> str:
        """The operation's page."""
        return reverse("admin:tasks_admin_operation_change", args=[self.pk])

    @property
    def verb_definition(self) -> Verb | None:
        """The verb's row in the table; None for a verb of another version."""
        return VERBS.get(self.verb)

    @property
    def target_type(self) -> TargetType:
        """What its targets are; `NONE` for a verb of another version."""
        return self.verb_definition.target_type if self.verb_definition else TargetType.NONE

    @property
    def retryable(self) -> bool:
        """Whether its failed targets can be retried."""
        return bool(self.verb_definition and self.verb_definition.retryable and self.total)

    @property
    def title(self) -> str:
        """What was done, for people."""
        return str(self.verb_definition.title) if self.verb_definition else self.verb

    @property
    def is_finished(self) -> bool:
        """Whether nothing will happen any more."""
        return self.finished_at is not None

    @cached_property
    def edited_arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """The arguments with which it retries; None: with those of each result."""
        if "args" not in (self.arguments or {}):
            return None
        kept = self.arguments or {}
        return celery_json.decode(kept["args"]), celery_json.decode(kept["kwargs"])

    @property
    def call(self) -> dict[str, Any] | None:
        """The task that a periodic task is run as by hand: `task`, `queue`, `args`, `kwargs`."""
        kept = (self.arguments or {}).get("call")
        if kept is None:
            return None
        return {
            **kept,
            "args": celery_json.decode(kept["args"]),
            "kwargs": celery_json.decode(kept["kwargs"]),
        }

    @property
    def changes(self) -> list[dict[str, str | None]]:
        """What was edited, masked: `name`, `old`, `new` as JSON; "" not given, None not known."""
        return [masks.mask(change) for change in (self.arguments or {}).get("changes", [])]

    @property
    def answers(self) -> dict[str, str]:
        """What was filled in besides the reason, by label, masked."""
        given = (self.arguments or {}).get("answers", {})
        return {name: str(value) for name, value in masks.mask(given).items()}

    @property
    def pause_explanation(self) -> str:
        """Why the console paused it by itself, in words; empty when staff did."""
        return (
            label(self.pause_reason)
            if self.pause_reason and self.state == OperationState.PAUSED
            else ""
        )

    def counts(self) -> Counter[str]:
        """Targets by state: stored when it is over, counted while anything may still change."""
        if (
            self.is_finished and "unknown" not in self.outcome_counts
        ):  # what nobody knew may become known
            return Counter(self.outcome_counts)
        rows = self.targets.order_by().values_list("state").annotate(models.Count("pk"))
        return Counter(dict(rows))
