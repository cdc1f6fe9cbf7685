"""The pages of operations: actor, reason, progress, and pause, resume and abort."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tasks_admin import operations
from tasks_admin.models import Operation, Target
from tests.conftest import grant
from tests.support.factories import make_operation, make_target
from tests.support.pages import OPERATIONS, page_text

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def client(as_user, alice):
    return as_user(alice)


@pytest.fixture
def operation(alice):
    return make_operation(3, actor=alice)


def perform(client, operation, verb, **fields):
    return client.post(
        f"{OPERATIONS}{operation.pk}/{verb}/", {"reason": "because"} | fields, follow=True
    )


def state_of(operation):
    return Operation.objects.get(pk=operation.pk).state


class TestList:
    """The list of operations, newest first."""

    def test_it_shows_verb_actor_and_state(self, client, operation):
        words = page_text(client.get(OPERATIONS))

        for word in ("Send reset emails", "alice", "running", "3 waiting"):
            assert word in words

    def test_the_list_is_filtered_by_state_and_verb(self, client, operation):
        assert "Send reset emails" in page_text(client.get(OPERATIONS, {"state": "running"}))
        assert "3 waiting" not in page_text(client.get(OPERATIONS, {"state": "paused"}))
        assert "3 waiting" not in page_text(client.get(OPERATIONS, {"verb": "retry_failed"}))

    @pytest.mark.parametrize("name", ["q", "state", "verb", "p", "id__in", "actor__password"])
    @pytest.mark.parametrize("value", ["", "x", "\x00", "'\"--", "9" * 30, "🦄" * 300])
    def test_invalid_parameters_cause_no_error(self, client, operation, name, value):
        assert client.get(OPERATIONS, {name: value}).status_code in {200, 302, 400}


class TestPage:
    """The page of one operation."""

    def test_it_shows_actor_reason_and_progress(self, client, operation):
        operation.targets.filter(subject=operation.targets.first().subject).settle("done")

        words = page_text(client.get(operation.get_absolute_url()))

        for word in ("alice", "Reason r", "1 of 3 finished", "waiting 2", "done 1", "u00000"):
            assert word in words, word

    def test_it_shows_the_excluded_rows(self, client, operation):
        Operation.objects.update(excluded={"inactive": 7})

        words = page_text(client.get(operation.get_absolute_url()))

        assert "Excluded at confirmation account inactive: 7" in words

    def test_targets_can_be_filtered_searched_and_paged(self, client, alice):
        operation = make_operation(60, prefix="p", actor=alice)
        url = operation.get_absolute_url()

        assert "p00049" in page_text(client.get(url))
        assert "p00050" not in page_text(client.get(url))
        after = operation.targets.order_by("pk")[49].pk
        assert f"?after={after}" in client.get(url).content.decode()
        assert "p00050" in page_text(client.get(url, {"after": after}))
        assert "p00055" in page_text(client.get(url, {"q": "p00055"}))
        assert "Find target" in page_text(client.get(url))
        assert "No target matches" in page_text(client.get(url, {"state": "failed"}))

    @pytest.mark.parametrize("name", ["q", "state", "after", "z"])
    @pytest.mark.parametrize("value", ["", "x", "\x00", "'\"--", "9" * 30, "🦄" * 300, "-1"])
    def test_invalid_parameters_cause_no_error(self, client, operation, name, value):
        for url in (operation.get_absolute_url(), f"{OPERATIONS}{operation.pk}/progress/"):
            assert client.get(url, {name: value}).status_code == 200

    @pytest.mark.parametrize("pk", ["0", "999", "x", "9" * 30, "1/2", "%00"])
    def test_an_unknown_operation_is_not_found(self, client, pk):
        for path in ("change/", "progress/", "target/1/"):
            assert client.get(f"{OPERATIONS}{pk}/{path}").status_code == 404
        assert client.post(f"{OPERATIONS}{pk}/pause/").status_code == 404

    def test_markup_is_escaped(self, client, operation):
        User.objects.filter(username="u00000").update(username=HOSTILE)
        Operation.objects.update(reason=HOSTILE, actor_name=HOSTILE)
        Target.objects.update(detail=HOSTILE, reason="<b>")

        page = client.get(operation.get_absolute_url(), {"q": HOSTILE, "state": HOSTILE})

        assert HOSTILE.encode() not in page.content
        assert b"<b>" not in page.content

    def test_the_progress_stops_polling_when_the_operation_has_finished(self, client, operation):
        url = f"{OPERATIONS}{operation.pk}/progress/"
        assert b"hx-trigger" in client.get(url).content

        operation.targets.all().settle("done")
        operations.finish_ended()

        page = client.get(url)
        assert b"hx-trigger" not in page.content
        assert b"hx-trigger" not in client.get(operation.get_absolute_url()).content

    def test_a_post_to_the_progress_is_not_allowed(self, client, operation):
        assert client.post(f"{OPERATIONS}{operation.pk}/progress/").status_code == 405

    def test_a_target_links_to_its_result(self, client):
        target = make_target("queued")

        page = client.get(f"{OPERATIONS}{target.operation_id}/target/{target.pk}/")

        assert page.url == f"/admin/tasks_admin/result/of/?id={target.task_id}"

    def test_a_target_of_another_operation_is_not_found(self, client, operation):
        other = make_target("queued")

        page = client.get(f"{OPERATIONS}{operation.pk}/target/{other.pk}/")

        assert page.status_code == 404

    def test_an_action_on_an_operation_has_its_own_page(self, client, operation, alice):
        record = operations.pause(operation=operation, actor=alice, reason="lunch")

        words = page_text(client.get(record.get_absolute_url()))

        assert "lunch" in words
        assert str(operation) in words
        assert "0 of 0" not in words

    def test_an_operation_with_an_unknown_verb(self, client):
        operation = Operation.objects.create(verb="from_the_future")

        assert client.get(operation.get_absolute_url()).status_code == 200
        assert client.get(OPERATIONS).status_code == 200

    @pytest.mark.parametrize("path", ["delete/", "change/"])
    def test_operations_cannot_be_edited_or_deleted(self, client, operation, path):
        client.post(f"{OPERATIONS}{operation.pk}/{path}", {"post": "yes", "state": "finished"})

        assert state_of(operation) == "running"

    def test_the_overview_shows_running_operations(self, client, operation):
        assert str(operation) in page_text(client.get("/admin/"))

    def test_the_overview_requires_the_permission_to_view(self, as_user, mallory, operation):
        assert str(operation) not in page_text(as_user(mallory).get("/admin/"))


class TestActions:
    """Pause, resume and abort require a reason and are recorded."""

    def test_pause_resume_abort(self, client, operation):
        for verb, state in (("pause", "paused"), ("resume", "running"), ("abort", "aborted")):
            page = perform(client, operation, verb)

            assert state_of(operation) == state
            assert f"{operation}: {state}" in page_text(page)
        records = Operation.objects.filter(parent=operation).order_by("pk")
        assert [(r.verb, r.actor_name, r.reason) for r in records] == [
            (verb, "alice", "because") for verb in ("pause", "resume", "abort")
        ]
        assert all(record.is_finished for record in records)

    def test_abort_cancels_targets_that_have_not_started(self, client, operation):
        running = operation.targets.first()
        Target.objects.filter(pk=running.pk).update(state="running")

        perform(client, operation, "abort")

        assert operation.counts() == {"running": 1, "cancelled": 2}
        assert set(
            operation.targets.filter(state="cancelled").values_list("reason", "lock_key")
        ) == {("aborted", None)}

    @pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
    @pytest.mark.parametrize("reason", ["", "  \n", "x" * 2001])
    def test_a_reason_is_required(self, client, operation, verb, reason):
        Operation.objects.update(state="paused" if verb == "resume" else "running")
        before = state_of(operation)

        page = perform(client, operation, verb, reason=reason)

        error = "at most 2000 characters" if len(reason) > 2000 else "field is required"
        assert error in page_text(page)
        assert state_of(operation) == before

    @pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
    def test_a_get_changes_nothing(self, client, operation, verb):
        response = client.get(f"{OPERATIONS}{operation.pk}/{verb}/", {"reason": "r"})

        assert response.status_code == 200
        assert state_of(operation) == "running"

    @pytest.mark.parametrize(
        ("state", "verb"),
        [("paused", "pause"), ("running", "resume"), ("aborted", "abort"), ("aborted", "resume"),
         ("aborted", "pause"), ("finished", "abort"), ("finished", "resume")],
    )  # fmt: skip
    def test_in_another_state_a_message_explains_it(self, client, operation, state, verb):
        Operation.objects.update(state=state)

        page = perform(client, operation, verb)

        assert f"is {state}. Nothing was changed" in page_text(page)
        assert state_of(operation) == state
        assert Operation.objects.count() == 1

    @pytest.mark.parametrize(
        ("state", "offered"),
        [("pending", {"approve", "throttle", "abort"}), ("running", {"pause", "throttle", "abort"}),
         ("paused", {"resume", "throttle", "abort"}), ("aborted", set()), ("finished", set())],
    )  # fmt: skip
    def test_only_possible_actions_are_offered(self, client, operation, state, offered):
        Operation.objects.update(state=state, actor=None)  # an actor cannot approve it

        page = client.get(operation.get_absolute_url()).content.decode()

        actions = set(re.findall(r'formaction="[^"]*/(\w+)/"', page))
        assert actions - {"edit"} == offered

    @pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
    def test_without_the_permission_an_action_is_neither_offered_nor_performed(
        self, as_user, charlie, operation, verb
    ):
        client = as_user(charlie)
        Operation.objects.update(state="paused" if verb == "resume" else "running")
        before = state_of(operation)

        assert b"formaction" not in client.get(operation.get_absolute_url()).content
        assert perform(client, operation, verb).status_code == 403
        assert state_of(operation) == before

    def test_the_permission_for_one_action_allows_no_other(self, as_user, charlie, operation):
        client = as_user(grant(charlie, "tasks_admin.pause"))

        assert perform(client, operation, "abort").status_code == 403
        perform(client, operation, "pause")

        assert state_of(operation) == "paused"

    def test_acting_requires_the_permission_to_view(self, as_user, mallory, operation):
        client = as_user(grant(mallory, "tasks_admin.pause"))

        assert perform(client, operation, "pause").status_code == 403
        assert state_of(operation) == "running"


def test_a_live_update_of_a_signed_out_user_reloads_the_whole_page(db):
    operation = make_operation(1)

    live = Client().get(f"{OPERATIONS}{operation.pk}/progress/", headers={"HX-Request": "true"})

    assert (live["HX-Refresh"], live.content) == ("true", b"")
