"""Permissions: each verb checks its own, in addition to the checks of pages."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from tasks_admin.lib.errors import NotAllowed
from tasks_admin.lib.verbs import VERBS
from tasks_admin.models.operations import Operation
from tasks_admin.operations.confirmation import Confirmation

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor


def require(actor: "Actor", verb: str) -> None:
    """Raise `NotAllowed` unless the actor is active and holds the verb's permission."""
    if not (actor.is_active and actor.has_perm(VERBS[verb].full_permission)):
        raise NotAllowed(
            _("You do not have the permission %(permission)s. Ask an administrator for it.")
            % {"permission": VERBS[verb].full_permission}
        )


def require_actor(confirmation: Confirmation, verb: str) -> "Actor":
    """The actor of the confirmation; raises `NotAllowed` without the verb's permission."""
    if confirmation.actor is None:
        raise NotAllowed(_("This action needs a user who confirms it."))
    require(confirmation.actor, verb)
    return confirmation.actor


def still_allowed(operation: Operation) -> bool:
    """Whether the operation's actor still has the permission of its verb."""
    verb_definition, actor = operation.verb_definition, operation.actor
    if verb_definition is None or not verb_definition.permission:
        return True
    return bool(actor and actor.is_active and actor.has_perm(verb_definition.full_permission))
