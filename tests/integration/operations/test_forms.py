"""A verb with additional form fields: on its page, in the command, and in the audit trail."""

import dataclasses

import pytest
from django import forms
from django.core.management import CommandError, call_command

from tasks_admin.admin.shared.forms import ReasonForm
from tasks_admin.lib.verbs import REVOKE, VERBS
from tasks_admin.models import Operation
from tests.support.factories import make_result
from tests.support.pages import RESULTS, confirm, page_text, required_fields, run_action


class TicketForm(ReasonForm):
    """A reason, and a ticket."""

    ticket = forms.RegexField(r"^OPS-[0-9]+$", label="Ticket")


@pytest.fixture(autouse=True)
def form_with_a_ticket(monkeypatch):
    """The verb revoke uses `TicketForm`."""
    row = dataclasses.replace(VERBS[REVOKE], form=f"{__name__}:TicketForm")
    monkeypatch.setitem(VERBS, REVOKE, row)


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


def open_confirmation(client):
    return run_action(client, RESULTS, REVOKE, [make_result("PENDING")])


def test_the_page_shows_the_field(client):
    assert required_fields(open_confirmation(client)) == ["reason", "ticket"]


def test_the_operation_stores_and_shows_the_answer(client):
    response = confirm(client, open_confirmation(client), RESULTS, ticket="OPS-7")

    assert Operation.objects.get().answers == {"Ticket": "OPS-7"}
    assert "Ticket OPS-7" in page_text(client.get(response.url))


@pytest.mark.parametrize("ticket", ["", "7"])
def test_no_operation_starts_without_a_valid_answer(client, ticket):
    page = confirm(client, open_confirmation(client), RESULTS, ticket=ticket)

    assert b"errorlist" in page.content
    assert not Operation.objects.exists()


class TestCommand:
    """`manage.py ops` requires the same fields."""

    def revoke(self, *more):
        words = (make_result("PENDING").task_id, "--as", "alice", "--reason", "r")
        call_command("ops", "revoke", *words, *more)

    def test_it_stores_the_answer(self, alice):
        self.revoke("--answer", "ticket=OPS-7")

        assert Operation.objects.get().answers == {"Ticket": "OPS-7"}

    @pytest.mark.parametrize(
        ("answers", "problem"),
        [
            ((), "ticket: This field is required"),
            (("--answer", "ticket=7"), "ticket: Enter a valid value"),
            (("--answer", "ticket=OPS-7", "--answer", "color=red"), "revoke has no field color"),
        ],
    )
    def test_it_rejects_missing_invalid_and_unknown_answers(self, alice, answers, problem):
        with pytest.raises(CommandError, match=problem):
            self.revoke(*answers)
        assert not Operation.objects.exists()
