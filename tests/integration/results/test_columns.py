"""The columns that a person chose are theirs: in every session, on every machine."""

import pytest
from django.test import Client

from tasks_admin.models import ColumnChoice
from tests.support.pages import RESULTS

CHOOSE = f"{RESULTS}columns/"


def shown(client):
    names = client.get(RESULTS).context_data["cl"].list_display
    return [name for name in names if name != "action_checkbox"]


def choose(client, *names, **more):
    return client.post(CHOOSE, {"column": names} | more)


def test_they_outlive_the_session(as_user, alice):
    choose(as_user(alice), "queue", "state", "nonsense")

    other = Client()
    other.force_login(alice)

    assert shown(other) == ["state", "queue"]


def test_they_are_one_persons(as_user, alice, charlie):
    usual = shown(as_user(alice))
    choose(as_user(alice), "queue")

    assert shown(as_user(charlie)) == usual


def test_none_means_the_usual_ones(as_user, alice):
    client = as_user(alice)
    usual = shown(client)
    choose(client, "queue")
    assert shown(client) == ["queue"]

    choose(client)

    assert shown(client) == usual


def test_a_get_changes_nothing(as_user, alice):
    response = as_user(alice).get(CHOOSE, {"column": "queue"})

    assert response.status_code == 302
    assert not ColumnChoice.objects.exists()


def test_only_who_may_look(as_user, mallory):
    assert choose(as_user(mallory), "queue").status_code in {302, 403}
    assert not ColumnChoice.objects.exists()


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_it_leads_back_to_the_list_only(as_user, alice, back):
    assert choose(as_user(alice), "queue", next=back).url == RESULTS


def test_they_go_with_the_account(as_user, alice, bob):
    choose(as_user(bob), "queue")

    bob.delete()

    assert not ColumnChoice.objects.exists()
