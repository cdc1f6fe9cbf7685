"""Whether a user may receive a reset email: one rule in SQL, for confirmation and for sending."""

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

#: Matches plausible email addresses, in the syntax that PostgreSQL and Python have in common.
ADDRESS = r"\A[!-?A-~]+@[^@\s]+\Z"


def with_exclusion_reason(
    users: QuerySet[Any], *, actor: "Actor | None", again: bool = True
) -> QuerySet[Any]:
    """Annotate each user with `exclusion_reason`: a code of `reasons`, or '' if eligible.

    `again=False` also excludes users to whom a reset email was sent within `RESET_INTERVAL`, or is
    pending. Without an actor, no user is excluded because of their permissions.
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
        locked = Target.objects.filter(lock_key=lock_key_expression(LockKind.USER, OuterRef("pk")))
        cases += [
            When(Exists(recent), then=Value("recent")),
            When(Exists(locked.open()), then=Value("pending")),
        ]
    exclusion_reason = Case(*cases, default=Value(""), output_field=CharField())
    # By primary key, so that joins of the original query repeat no user.
    selected = model._default_manager.filter(pk__in=users.order_by().values("pk"))
    return selected.annotate(exclusion_reason=exclusion_reason)


def _outranks(model: Any, actor: "Actor | None") -> Q:
    """Match superusers, and users with a permission that the actor lacks."""
    if actor is None or actor.is_superuser:
        return Q(pk__in=[])
    names = {field.name for field in model._meta.get_fields()}
    matched = Q(pk__in=[])
    if "is_superuser" in names:
        matched |= Q(is_superuser=True)
    if {"user_permissions", "groups"} <= names:
        lacking = Permission.objects.exclude(_held_by(actor))
        users = model._default_manager
        matched |= Q(pk__in=users.filter(user_permissions__in=lacking).values("pk"))
        matched |= Q(pk__in=users.filter(groups__permissions__in=lacking).values("pk"))
    return matched


def _held_by(actor: "Actor") -> Q:
    """Match the permissions that the actor has, whichever backend grants them."""
    by_app: defaultdict[str, set[str]] = defaultdict(set)
    for permission in actor.get_all_permissions():
        app_label, _dot, codename = permission.partition(".")
        by_app[app_label].add(codename)
    held = Q(pk__in=[])
    for app_label, codenames in by_app.items():
        held |= Q(content_type__app_label=app_label, codename__in=codenames)
    return held
