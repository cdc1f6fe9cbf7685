"""What is typed into the search box of the results: an id, a user, or words of an exception."""

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

#: Users that one search means, characters of a search, and of a result that are looked through.
MOST_USERS, LONGEST, READ = 20, 500, 4_000
#: Failures that have the words in them and are looked at more closely.
MOST_MATCHES = 1_000


def search(results: QuerySet[Any], typed: str) -> QuerySet[Any]:
    """Keep what is meant: `user:` and `text:` say which; else it is told by its looks.

    Words are looked for in the newest `SEARCH_BOUND` failures, and not in what is masked there.
    """
    term = typed.replace("\x00", "").strip()[:LONGEST]
    kind, colon, rest = term.partition(":")
    if colon and kind in {"user", "text"}:
        return (_of_user if kind == "user" else _with_words)(results, rest.strip())
    if " " in term:
        return _with_words(results, term)
    if "@" in term or term.isdecimal():
        return _of_user(results, term)
    return results.filter(Q(task_id=term) | _runs_for(term))


def _of_user(results: QuerySet[Any], term: str) -> QuerySet[Any]:
    return results.filter(_runs_for(term))


def _runs_for(term: str) -> Q:
    """The reset mails for a user, by number, name or address."""
    keys = {*_keys(term), *([term] if term.isdecimal() else [])}
    written = [f"[{key}]" if key.isdecimal() else f'["{key}"]' for key in keys]
    if not written:
        return Q(pk__in=[])
    runs = Result.objects.alias(brief=ArgumentsPrefix()).filter(
        task_name=VERBS[SEND_RESET_EMAIL].task, brief__in=written
    )
    return Q(pk__in=list(runs.order_by("-pk").values_list("pk", flat=True)[:MOST_MATCHES]))


def _keys(term: str) -> list[str]:
    model = get_user_model()
    named = Q(**{model.USERNAME_FIELD: term})
    if "@" in term:  # reading all addresses takes a while
        named |= Q(**{f"{model.get_email_field_name()}__iexact": term})
    try:
        users = model._default_manager.filter(named).values_list("pk", flat=True)[:MOST_USERS]
        return [str(pk) for pk in users]
    except (ValueError, ValidationError):
        return []


def _with_words(results: QuerySet[Any], words: str) -> QuerySet[Any]:
    failed = Result.objects.filter(status=ResultState.FAILURE).order_by("-pk")
    newest = failed.values("pk")[: settings.SEARCH_BOUND]
    found = Result.objects.filter(pk__in=newest, result__icontains=words).order_by("-pk")
    texts = found.values_list("pk", Substr("result", 1, READ))[:MOST_MATCHES]
    shown = [pk for pk, text in texts if words.casefold() in mask_text(text).casefold()]
    return results.filter(pk__in=shown)
