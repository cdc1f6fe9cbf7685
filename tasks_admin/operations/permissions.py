"""Who may do what: checked in the verb, whatever the page thought."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from tasks_admin.lib.errors import NotAllowed
from tasks_admin.lib.verbs import VERBS
from tasks_admin.models.operations import Operation

if TYPE_CHECKING:
    from django.contrib.auth.models import User as Actor


def require(actor: "Actor", verb: str) -> None:
    """Raise `NotAllowed` unless the actor is active and holds the verb's permission."""
    if not (actor.is_active and actor.has_perm(VERBS[verb].full_permission)):
        raise NotAllowed(
            _("You lack the permission to do this (%(permission)s). Ask an administrator for it.")
            % {"permission": VERBS[verb].full_permission}
        )


def still_allowed(operation: Operation) -> bool:
    """Whether who started the operation may still do so: rights can be lost on the way."""
    verb_definition, actor = operation.verb_definition, operation.actor
    if verb_definition is None or not verb_definition.permission:
        return True
    return bool(actor and actor.is_active and actor.has_perm(verb_definition.full_permission))
