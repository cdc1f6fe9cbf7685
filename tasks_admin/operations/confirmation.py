"""The confirmation of an operation: its actor, its reason, and properties such as a rate."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from tasks_admin.lib.errors import WrongState
from tasks_admin.lib.verbs import VERBS

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What the actor confirmed. The defaults are those of an operation that a program starts."""

    actor: "User | None" = None
    reason: str = ""
    #: Identifies the confirmation: the same key, posted twice, starts one operation.
    key: uuid.UUID = field(default_factory=uuid.uuid4)
    #: The fingerprint of the rows that the page showed; None: there was no page.
    shown: str | None = None
    #: Targets published each minute; None: no limit.
    rate: int | None = None
    #: One target runs first; the others follow when it has succeeded.
    canary: bool = False
    #: The values of the fields that the verb's own form adds, by their labels.
    answers: Mapping[str, str] = field(default_factory=dict)


def require_declared(verb: str, confirmation: Confirmation) -> None:
    """Raise `WrongState` when the confirmation uses a property that the verb does not declare."""
    declared = VERBS.get(verb)
    undeclared = []
    if confirmation.rate is not None and not (declared and declared.rate_limited):
        undeclared.append(_("a rate limit"))
    if confirmation.canary and not (declared and declared.canary):
        undeclared.append(_("a canary"))
    if undeclared:
        text = _("%(verb)s does not support %(properties)s. Nothing was changed.")
        label = declared.label if declared else verb
        raise WrongState(text % {"verb": label, "properties": ", ".join(undeclared)})
