"""Operations: the actions that staff, users and programs started, with actor, time and reason."""

import uuid
from collections import Counter
from typing import Any

from django.conf import settings as django_settings
from django.db import models
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from tasks_admin.lib import celery_json, masks
from tasks_admin.lib.reasons import label
from tasks_admin.lib.verbs import PERMISSIONS, VERBS, TargetType, Verb


class OperationState(models.TextChoices):
    """The states of an operation. `ABORTED` precedes the end: running tasks may still finish."""

    PENDING = "pending", _("waiting for approval")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    ABORTED = "aborted", _("aborted")
    FINISHED = "finished", _("finished")


class OperationQuerySet(models.QuerySet["Operation"]):
    """Operations, by state."""

    def active(self) -> "OperationQuerySet":
        """The operations that have not finished."""
        return self.filter(finished_at=None)

    def running(self) -> "OperationQuerySet":
        """The operations whose targets may be published."""
        return self.filter(state=OperationState.RUNNING)


class Operation(models.Model):
    """One action on one or more targets: actor, time, reason, number of targets."""

    #: Identifies the confirmation that started it: posted twice, it still starts one operation.
    key = models.UUIDField(_("key"), default=uuid.uuid4, unique=True, editable=False)
    verb = models.CharField(_("action"), max_length=40)
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
        verbose_name=_("started by"),
    )
    #: Kept when the account is deleted.
    actor_name = models.CharField(_("started by"), max_length=255, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    total = models.PositiveIntegerField(_("targets"), default=0)
    #: The number of rows excluded at confirmation, by reason.
    excluded = models.JSONField(default=dict)
    #: The number of targets by state, stored when the operation finishes.
    outcome_counts = models.JSONField(default=dict)
    #: Targets published each minute; None: no limit.
    rate = models.PositiveIntegerField(_("rate"), null=True)
    #: The time up to which the allowance of the rate is used.
    paced_at = models.DateTimeField(null=True)
    #: One target is processed first; the others follow when it is done.
    canary = models.BooleanField(_("canary"), default=False)
    #: The arguments that replace those of the retried results: `args` and `kwargs` as JSON texts
    #: (a JSON column keeps neither floats nor the order of keys), and `changes`.
    arguments = models.JSONField(null=True)
    #: Why the console paused it automatically: a code of `reasons`.
    pause_reason = models.CharField(max_length=40, blank=True)
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="children", verbose_name=_("related to")
    )
    created_at = models.DateTimeField(pgettext_lazy("a moment", "started"), auto_now_add=True)
    finished_at = models.DateTimeField(pgettext_lazy("a moment", "finished"), null=True)

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
            ("view_metrics", _("View the metrics")),
            ("view_caught_mail", _("View caught emails")),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(finished_at=None), name="tasks_admin_op_active"
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
        """The type of its targets; `NONE` for a verb of another version."""
        return self.verb_definition.target_type if self.verb_definition else TargetType.NONE

    @property
    def retryable(self) -> bool:
        """Whether its failed targets can be retried."""
        return bool(self.verb_definition and self.verb_definition.retryable and self.total)

    @property
    def title(self) -> str:
        """The verb's title; its name for a verb of another version."""
        return str(self.verb_definition.title) if self.verb_definition else self.verb

    @property
    def is_finished(self) -> bool:
        """Whether its targets all have an outcome and staff can no longer change it."""
        return self.finished_at is not None

    @cached_property
    def edited_arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """The edited arguments of a retry; None: each result keeps its own."""
        if "args" not in (self.arguments or {}):
            return None
        stored = self.arguments or {}
        return celery_json.decode(stored["args"]), celery_json.decode(stored["kwargs"])

    @property
    def call(self) -> dict[str, Any] | None:
        """The call of a periodic task that staff run now: `task`, `queue`, `args`, `kwargs`."""
        stored = (self.arguments or {}).get("call")
        if stored is None:
            return None
        return {
            **stored,
            "args": celery_json.decode(stored["args"]),
            "kwargs": celery_json.decode(stored["kwargs"]),
        }

    @property
    def changes(self) -> list[dict[str, str | None]]:
        """The edited arguments, masked: `name`, `old`, `new` as JSON; None: unknown."""
        return [masks.mask(change) for change in (self.arguments or {}).get("changes", [])]

    @property
    def answers(self) -> dict[str, str]:
        """The values of the verb's own form fields by label, masked."""
        answers = (self.arguments or {}).get("answers", {})
        return {name: str(value) for name, value in masks.mask(answers).items()}

    @property
    def pause_explanation(self) -> str:
        """Why the console paused it automatically, as text; empty when staff paused it."""
        return (
            label(self.pause_reason)
            if self.pause_reason and self.state == OperationState.PAUSED
            else ""
        )

    def counts(self) -> Counter[str]:
        """The number of targets by state: stored once it cannot change, counted until then."""
        # A late reply may still change an unknown outcome.
        if self.is_finished and "unknown" not in self.outcome_counts:
            return Counter(self.outcome_counts)
        rows = self.targets.order_by().values_list("state").annotate(models.Count("pk"))
        return Counter(dict(rows))
