"""Reads the forms of a page, as a browser would send them."""

import re
from html.parser import HTMLParser
from typing import Any

from django.contrib import admin
from django.http import QueryDict
from django.urls import reverse

from tasks_admin.lib.verbs import VERBS

USERS = "/admin/auth/user/"
RESULTS = "/admin/tasks_admin/result/"
OPERATIONS = "/admin/tasks_admin/operation/"
FAILURE_GROUPS = "/admin/tasks_admin/failuregroup/"
WORKERS = "/admin/tasks_admin/worker/"
QUEUES = "/admin/tasks_admin/queue/"
PERIODIC = "/admin/tasks_admin/periodictask/"


def bulk_actions() -> dict[str, str]:
    """The verbs that are bulk actions of a list, with the URL of that list."""
    return {
        verb: reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model, registered in admin.site._registry.items()
        for verb in registered.actions or ()
        if verb in VERBS
    }


class _Inputs(HTMLParser):
    """Collects the hidden inputs of a page, and the names of its required fields."""

    def __init__(self) -> None:
        super().__init__()
        self.found, self.required = QueryDict(mutable=True), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "input" and known.get("type") == "hidden":
            self.found.appendlist(str(known["name"]), known.get("value") or "")
        elif "required" in known:
            self.required.append(str(known["name"]))


def hidden_fields(response: Any) -> dict[str, Any]:
    """What a page's form sends along by itself."""
    inputs = _Inputs()
    inputs.feed(response.content.decode())
    fields = {name: values for name, values in inputs.found.lists() if "csrf" not in name}
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


def required_fields(response: Any) -> list[str]:
    """The names of the fields that a page's form requires."""
    inputs = _Inputs()
    inputs.feed(response.content.decode())
    return inputs.required


def page_text(response: Any) -> str:
    """The words of a page."""
    plain = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", response.content.decode(), flags=re.S)
    return " ".join(plain.split())


def run_action(client: Any, path: str, action: str, rows: Any = (), **more: Any) -> Any:
    """Tick rows in a list and run an action: the first step."""
    data = {"action": action, "_selected_action": [row.pk for row in rows], "select_across": "0"}
    return client.post(path, data | {"index": "0"} | more)


def confirm(client: Any, page: Any, path: str, **more: Any) -> Any:
    """Submit a confirmation page, with a text in each required field: the second step."""
    answers = dict.fromkeys(["reason", *required_fields(page)], "because")
    return client.post(path, hidden_fields(page) | answers | {"confirm": "Yes"} | more)
