"""Who may be sent a reset mail: one rule, in SQL, for the click and again for the sending."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Permission
from django.db.models import Case, CharField, Exists, OuterRef, Q, QuerySet, Value, When

from tasks_admin.models import Reset, Target
from tasks_admin.models.lock_keys import LockKind, lock_key_expression

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor

#: What may be an address, in the dialect that PostgreSQL's and Python's expressions share.
ADDRESS = r"\A[!-?A-~]+@[^@\s]+\Z"


def with_exclusion_reason(
    users: QuerySet[Any], *, actor: "Actor | None", again: bool = True
) -> QuerySet[Any]:
    """Annotate each user with `exclusion`, a code of `reasons`, or '' for who may be mailed.

    `again=False` leaves out who was mailed within `RESET_INTERVAL`, or waits for a mail.
    """
    model = get_user_model()
    address = model.get_email_field_name()
    cases = [
        When(_outranks(model, actor), then=Value("outranks")),
        When(is_active=False, then=Value("inactive")),
        When(Q(**{address: ""}) | Q(**{f"{address}__isnull": True}), then=Value("no_address")),
        When(~Q(**{f"{address}__regex": ADDRESS}), then=Value("bad_address")),
        When(
            Q(password="") | Q(password__startswith=UNUSABLE_PASSWORD_PREFIX),
            then=Value("no_password"),
        ),
    ]
    if not again:
        recent = Reset.objects.recent().filter(user=OuterRef("pk"))
        pending = Target.objects.filter(
            lock_key=lock_key_expression(LockKind.USER, OuterRef("pk"))
        ).open()
        cases += [
            When(Exists(recent), then=Value("recent")),
            When(Exists(pending), then=Value("pending")),
        ]
    exclusion_reason = Case(*cases, default=Value(""), output_field=CharField())
    chosen = model._default_manager.filter(pk__in=users.order_by().values("pk"))
    return chosen.annotate(exclusion_reason=exclusion_reason)


def _outranks(model: Any, actor: "Actor | None") -> Q:
    """Match the users that this actor may not touch: superusers, and who may do more."""
    if actor is None or actor.is_superuser:
        return Q(pk__in=[])
    names = {field.name for field in model._meta.get_fields()}
    more = Q(pk__in=[])
    if "is_superuser" in names:
        more |= Q(is_superuser=True)
    if {"user_permissions", "groups"} <= names:
        beyond = Permission.objects.exclude(_held(actor))
        more |= Q(pk__in=model._default_manager.filter(user_permissions__in=beyond).values("pk"))
        more |= Q(pk__in=model._default_manager.filter(groups__permissions__in=beyond).values("pk"))
    return more


def _held(actor: "Actor") -> Q:
    """Match the permissions that the actor holds, whichever backend grants them."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    for permission in actor.get_all_permissions():
        app, _dot, name = permission.partition(".")
        names[app].add(name)
    held = Q(pk__in=[])
    for app, codenames in names.items():
        held |= Q(content_type__app_label=app, codename__in=codenames)
    return held
