"""The search box of the results: a task id, a user, or words of an exception."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Substr

from tasks_admin.lib.conf import settings
from tasks_admin.lib.masks import mask_text
from tasks_admin.lib.verbs import SEND_RESET_EMAIL, VERBS
from tasks_admin.models import Result
from tasks_admin.models.expressions import ArgumentsPrefix
from tasks_admin.models.result_states import ResultState

#: Users that a term can match, characters of a term, and characters of a result that are searched.
MAX_USERS, MAX_TERM_LENGTH, MAX_TEXT_LENGTH = 20, 500, 4_000
#: Rows that a search can match.
MAX_MATCHES = 1_000


def search(results: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Keep the matching results. `user:` and `text:` name the kind of the term; else it is guessed.

    Words are searched in the latest `SEARCH_BOUND` failures, except in masked values.
    """
    term = term.replace("\x00", "").strip()[:MAX_TERM_LENGTH]
    kind, colon, rest = term.partition(":")
    if colon and kind in {"user", "text"}:
        text = rest.strip()
        return results.filter(_for_user(text)) if kind == "user" else _with_text(results, text)
    if " " in term:
        return _with_text(results, term)
    if "@" in term or term.isdecimal():
        return results.filter(_for_user(term))
    return results.filter(Q(task_id=term) | _for_user(term))


def _for_user(term: str) -> Q:
    """The reset emails for a user, by primary key, name or email address."""
    keys = {*_user_keys(term), *([term] if term.isdecimal() else [])}
    arguments = [f"[{key}]" if key.isdecimal() else f'["{key}"]' for key in keys]
    if not arguments:
        return Q(pk__in=[])
    rows = Result.objects.alias(arguments_prefix=ArgumentsPrefix()).filter(
        task_name=VERBS[SEND_RESET_EMAIL].task, arguments_prefix__in=arguments
    )
    return Q(pk__in=list(rows.order_by("-pk").values_list("pk", flat=True)[:MAX_MATCHES]))


def _user_keys(term: str) -> list[str]:
    model = get_user_model()
    matching = Q(**{model.USERNAME_FIELD: term})
    if "@" in term:  # without an index on the address, this reads all users
        matching |= Q(**{f"{model.get_email_field_name()}__iexact": term})
    try:
        users = model._default_manager.filter(matching).values_list("pk", flat=True)[:MAX_USERS]
        return [str(pk) for pk in users]
    except (ValueError, ValidationError):
        return []


def _with_text(results: QuerySet[Any], text: str) -> QuerySet[Any]:
    failed = Result.objects.filter(status=ResultState.FAILURE).order_by("-pk")
    latest = failed.values("pk")[: settings.SEARCH_BOUND]
    found = Result.objects.filter(pk__in=latest, result__icontains=text).order_by("-pk")
    rows = found.values_list("pk", Substr("result", 1, MAX_TEXT_LENGTH))[:MAX_MATCHES]
    # A masked value must not be found: a search would reveal it letter by letter.
    visible = [pk for pk, stored in rows if text.casefold() in mask_text(stored).casefold()]
    return results.filter(pk__in=visible)
