"""Selected columns are stored per user, for every session."""

import pytest
from django.test import Client

from tasks_admin.models import ColumnChoice
from tests.support.pages import RESULTS

COLUMNS = f"{RESULTS}columns/"


def shown(client):
    names = client.get(RESULTS).context_data["cl"].list_display
    return [name for name in names if name != "action_checkbox"]


def select(client, *names, **more):
    return client.post(COLUMNS, {"column": names} | more)


def test_they_are_loaded_into_new_sessions(as_user, alice):
    select(as_user(alice), "queue", "state", "nonsense")

    other = Client()
    other.force_login(alice)

    assert shown(other) == ["state", "queue"]


def test_other_users_keep_the_default_columns(as_user, alice, charlie):
    default = shown(as_user(alice))
    select(as_user(alice), "queue")

    assert shown(as_user(charlie)) == default


def test_an_empty_selection_means_the_default_columns(as_user, alice):
    client = as_user(alice)
    default = shown(client)
    select(client, "queue")
    assert shown(client) == ["queue"]

    select(client)

    assert shown(client) == default


def test_a_get_changes_nothing(as_user, alice):
    response = as_user(alice).get(COLUMNS, {"column": "queue"})

    assert response.status_code == 302
    assert not ColumnChoice.objects.exists()


def test_the_view_permission_is_required(as_user, mallory):
    assert select(as_user(mallory), "queue").status_code in {302, 403}
    assert not ColumnChoice.objects.exists()


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_redirects_stay_on_the_site(as_user, alice, back):
    assert select(as_user(alice), "queue", next=back).url == RESULTS


def test_they_are_deleted_with_the_user(as_user, alice, bob):
    select(as_user(bob), "queue")

    bob.delete()

    assert not ColumnChoice.objects.exists()
