"""Request a reset email: signed in, or by an address without learning whether it has an account."""

import json

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tasks_admin.models import Operation, Target
from tasks_admin.models.targets import TargetState
from tests.support.reset_emails import (
    publish_and_claim,
    reload,
    request_email,
    run_task,
    send_email_to,
)

PAGE = "/user/reset/password/request/"
JSON = "application/json"
#: Seconds. The window ends in 2033, so no test crosses its end.
WINDOW = 10**9
pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(make_user):
    return make_user("ann")


@pytest.fixture
def unlimited(settings):
    """Rate limits that no test reaches."""
    from tasks_admin.lib.conf import Settings

    settings.TASKS_ADMIN_LIMITS = dict.fromkeys(Settings.LIMITS, (10000, WINDOW))


class TestSignedIn:
    """A signed-in user requests an email to themselves, and gets the ID of its task."""

    def test_json(self, ann, as_user, mailbox):
        response = as_user(ann).post(PAGE, content_type=JSON)

        target = Target.objects.get()
        assert response.status_code == 202
        assert response.json() == {
            "detail": "An email with a link is on its way to you.",
            "task_id": target.task_id_of(1),
        }
        assert run_task(target) == {"outcome": "done"}
        assert reload(target).task_id == response.json()["task_id"]
        assert mailbox.recipients == [ann.email]

    @pytest.mark.parametrize("body", ["", "{}", "[]", "nonsense", '{"email": "eve@x.example"}'])
    def test_the_body_is_ignored(self, ann, as_user, body):
        response = as_user(ann).post(PAGE, body, content_type=JSON)

        assert response.status_code == 202
        assert Target.objects.get().subject == str(ann.pk)

    def test_json_for_clients_that_accept_only_json(self, ann, as_user):
        response = as_user(ann).post(PAGE, headers={"accept": JSON})

        assert response.json()["task_id"]

    def test_the_form(self, ann, as_user):
        client = as_user(ann)
        assert "ann" in client.get(PAGE).content.decode()

        response = client.post(PAGE)

        assert response.status_code == 202
        assert "on its way to you" in response.content.decode()
        assert Target.objects.get().subject == str(ann.pk)

    def test_the_actor_is_recorded(self, ann, as_user):
        as_user(ann).post(PAGE)

        operation = Operation.objects.get()
        assert (operation.actor, operation.actor_name) == (ann, "ann")
        assert operation.verb == "request_reset_email"

    def test_a_repeated_request_returns_the_pending_task(self, ann, as_user):
        responses = [as_user(ann).post(PAGE, content_type=JSON).json() for _ in range(2)]

        assert responses[0] == responses[1]
        assert Target.objects.count() == 1

    @pytest.mark.parametrize("state", ["queued", "running", "waiting"])
    def test_the_task_id_belongs_to_the_unfinished_attempt(self, ann, as_user, state):
        target = request_email(ann)
        Target.objects.filter(pk=target.pk).update(attempt=2, state=state)

        response = as_user(ann).post(PAGE, content_type=JSON).json()

        assert response["task_id"] == target.task_id_of(3 if state == "waiting" else 2)

    def test_another_request_after_an_email_was_sent(self, ann, as_user, mailbox):
        send_email_to(ann)

        assert as_user(ann).post(PAGE, content_type=JSON).json()["task_id"]
        assert Target.objects.filter(state=TargetState.WAITING).count() == 1

    def test_an_inactive_user_is_anonymous(self, ann, as_user):
        client = as_user(ann)
        User.objects.filter(pk=ann.pk).update(is_active=False)

        assert client.post(PAGE, "{}", content_type=JSON).status_code == 400
        assert not Target.objects.exists()


def submit(address, **headers):
    """Request an email in a new anonymous session."""
    return Client(headers=headers).post(PAGE, {"email": address})


class TestAnonymous:
    """The response and the SQL statements do not depend on whether the account exists."""

    @pytest.fixture
    def addresses(self, make_user, ann):
        """One address of each kind."""
        make_user(email="inactive@mail.example", is_active=False)
        make_user(email="sso@mail.example", password="!")
        for _ in range(3):
            make_user(email="team@mail.example")
        request_email(make_user(email="waiting@mail.example"))
        return ["no-account@mail.example", ann.email, "team@mail.example"] + [
            f"{name}@mail.example" for name in ("inactive", "sso", "waiting")
        ]

    @pytest.mark.parametrize("kind", ["form", "json"])
    def test_the_response_is_the_same(self, addresses, unlimited, kind):
        responses = set()
        for address in addresses:
            body = {"email": address} if kind == "form" else json.dumps({"email": address})
            more = {} if kind == "form" else {"content_type": JSON}
            response = Client().post(PAGE, body, **more)
            page = response.content.decode().replace(address, "ADDRESS")
            headers = {k: v for k, v in response.headers.items() if k != "Expires"}  # the time
            responses.add((response.status_code, page, str(sorted(headers.items()))))

        assert len(responses) == 1
        assert responses.pop()[0] == 202

    def test_json_contains_no_task_id(self, ann):
        response = Client().post(PAGE, json.dumps({"email": ann.email}), content_type=JSON)

        assert set(response.json()) == {"detail"}

    def test_the_sql_statements_are_the_same(self, addresses, unlimited):
        recorded = []
        for address in ["warm-up@mail.example", *addresses]:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                submit(address)
            recorded.append([query["sql"].split()[0] for query in queries])

        assert all(statements == recorded[1] for statements in recorded[1:])
        assert "INSERT" in recorded[1]

    def test_the_email_goes_to_the_stored_address(self, make_user, mailbox):
        make_user(email="Ann.Bell@mail.example")

        submit("ANN.BELL@MAIL.EXAMPLE")

        assert run_task(Target.objects.get()) == {"outcome": "done"}
        assert mailbox.recipients == ["Ann.Bell@mail.example"]

    def test_each_user_who_shares_an_address_receives_an_email(self, make_user, mailbox):
        users = [make_user(email="team@mail.example") for _ in range(3)]

        submit("team@mail.example")

        for target in Target.objects.all():
            assert run_task(target) == {"outcome": "done"}
        texts = [message.get_body(("plain",)).get_content() for message in mailbox.messages]
        assert all(any(user.username in text for text in texts) for user in users)

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [({"is_active": False}, "inactive"), ({"password": "!"}, "no_password")],
    )
    def test_an_ineligible_user_is_skipped_without_notice_to_the_client(
        self, make_user, mailbox, fields, reason
    ):
        make_user("ann", **fields)

        submit("ann@mail.example")

        assert run_task(Target.objects.get()) == {"outcome": "skipped", "reason": reason}

    def test_an_anonymous_request_for_a_superuser(self, alice, mailbox):
        """Only the superuser receives the email."""
        submit(alice.email)

        run_task(Target.objects.get())

        assert mailbox.recipients == [alice.email]
        assert User.objects.get(pk=alice.pk).check_password("old password")

    def test_a_request_changes_neither_password_nor_sessions(self, ann, as_user):
        client = as_user(ann)

        submit(ann.email)

        assert User.objects.get(pk=ann.pk).check_password("old password")
        assert "ann" in client.get(PAGE).content.decode()

    def test_no_actor_is_recorded(self, ann):
        submit(ann.email)

        operation = Operation.objects.get()
        assert (operation.actor, operation.actor_name, operation.reason) == (None, "", "")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example"},
        {"x-forwarded-proto": "https", "forwarded": "host=evil.example"},
    ],
)
def test_the_link_does_not_depend_on_the_headers_of_the_request(ann, mailbox, settings, headers):
    settings.HOST_URL, settings.ALLOWED_HOSTS = "https://console.example", ["*"]

    assert submit(ann.email, **headers).status_code == 202

    run_task(Target.objects.get())
    assert "evil" not in str(mailbox.messages[0])
    assert "https://console.example/user/reset/password/?token=" in str(
        mailbox.messages[0].get_body(("plain",)).get_content()
    )


def test_a_request_while_the_email_is_being_sent(ann, as_user):
    target = publish_and_claim(request_email(ann))

    assert as_user(ann).post(PAGE, content_type=JSON).json()["task_id"] == target.task_id
