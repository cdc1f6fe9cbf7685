"""Asking for a reset mail: for oneself, or by address without being told whose it is."""

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
pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(make_user):
    return make_user("ann")


@pytest.fixture
def unlimited(settings):
    """So many tries that no limit is met."""
    from tasks_admin.lib.conf import Settings

    settings.TASKS_ADMIN_LIMITS = dict.fromkeys(Settings.LIMITS, (10000, 3600))


class TestSignedIn:
    """One's own mail, and the id of the task that sends it."""

    def test_json(self, ann, as_user, mailbox):
        answer = as_user(ann).post(PAGE, content_type=JSON)

        target = Target.objects.get()
        assert answer.status_code == 202
        assert answer.json() == {
            "detail": "An email with a link is on its way to you.",
            "task_id": target.task_id_of(1),
        }
        assert run_task(target) == {"outcome": "done"}
        assert reload(target).task_id == answer.json()["task_id"]
        assert mailbox.recipients == [ann.email]

    @pytest.mark.parametrize("body", ["", "{}", "[]", "nonsense", '{"email": "eve@x.example"}'])
    def test_what_the_body_says_does_not_matter(self, ann, as_user, body):
        answer = as_user(ann).post(PAGE, body, content_type=JSON)

        assert answer.status_code == 202
        assert Target.objects.get().subject == str(ann.pk)

    def test_json_for_who_accepts_nothing_else(self, ann, as_user):
        answer = as_user(ann).post(PAGE, headers={"accept": JSON})

        assert answer.json()["task_id"]

    def test_the_form(self, ann, as_user):
        client = as_user(ann)
        assert "ann" in client.get(PAGE).content.decode()

        answer = client.post(PAGE)

        assert answer.status_code == 202
        assert "on its way to you" in answer.content.decode()
        assert Target.objects.get().subject == str(ann.pk)

    def test_it_is_recorded_who_asked(self, ann, as_user):
        as_user(ann).post(PAGE)

        operation = Operation.objects.get()
        assert (operation.actor, operation.actor_name) == (ann, "ann")
        assert operation.verb == "request_reset_email"

    def test_asked_twice_one_mail_goes_out_and_both_know_its_task(self, ann, as_user):
        answers = [as_user(ann).post(PAGE, content_type=JSON).json() for _ in range(2)]

        assert answers[0] == answers[1]
        assert Target.objects.count() == 1

    @pytest.mark.parametrize("state", ["queued", "running", "waiting"])
    def test_the_task_is_the_one_that_is_still_to_end(self, ann, as_user, state):
        target = request_email(ann)
        Target.objects.filter(pk=target.pk).update(attempt=2, state=state)

        answer = as_user(ann).post(PAGE, content_type=JSON).json()

        assert answer["task_id"] == target.task_id_of(3 if state == "waiting" else 2)

    def test_who_was_mailed_can_ask_again(self, ann, as_user, mailbox):
        send_email_to(ann)

        assert as_user(ann).post(PAGE, content_type=JSON).json()["task_id"]
        assert Target.objects.filter(state=TargetState.WAITING).count() == 1

    def test_who_was_suspended_is_a_stranger(self, ann, as_user):
        client = as_user(ann)
        User.objects.filter(pk=ann.pk).update(is_active=False)

        assert client.post(PAGE, "{}", content_type=JSON).status_code == 400
        assert not Target.objects.exists()


def visit(address, **headers):
    """Ask as an anonymous browser that was never here before."""
    return Client(headers=headers).post(PAGE, {"email": address})


class TestAnonymous:
    """The same answer, by the same statements, whoever's address it is."""

    @pytest.fixture
    def addresses(self, make_user, ann):
        """One of each kind."""
        make_user(email="nobody-active@mail.example", is_active=False)
        make_user(email="elsewhere@mail.example", password="!")
        for _ in range(3):
            make_user(email="team@mail.example")
        request_email(make_user(email="waiting@mail.example"))
        return ["nobody-at-all@mail.example", ann.email, "team@mail.example"] + [
            f"{name}@mail.example" for name in ("nobody-active", "elsewhere", "waiting")
        ]

    @pytest.mark.parametrize("kind", ["form", "json"])
    def test_the_answer_is_the_same(self, addresses, unlimited, kind):
        answers = set()
        for address in addresses:
            body = {"email": address} if kind == "form" else json.dumps({"email": address})
            more = {} if kind == "form" else {"content_type": JSON}
            answer = Client().post(PAGE, body, **more)
            page = answer.content.decode().replace(address, "ADDRESS")
            headers = {k: v for k, v in answer.headers.items() if k != "Expires"}  # the time
            answers.add((answer.status_code, page, str(sorted(headers.items()))))

        assert len(answers) == 1
        assert answers.pop()[0] == 202

    def test_json_tells_no_task(self, ann):
        answer = Client().post(PAGE, json.dumps({"email": ann.email}), content_type=JSON)

        assert set(answer.json()) == {"detail"}

    def test_the_statements_are_the_same(self, addresses, unlimited):
        seen = []
        for address in ["warm-up@mail.example", *addresses]:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                visit(address)
            seen.append([query["sql"].split()[0] for query in queries])

        assert all(statements == seen[1] for statements in seen[1:])
        assert "INSERT" in seen[1]

    def test_the_mail_goes_to_the_address_on_record(self, make_user, mailbox):
        make_user(email="Ann.Bell@mail.example")

        visit("ANN.BELL@MAIL.EXAMPLE")

        assert run_task(Target.objects.get()) == {"outcome": "done"}
        assert mailbox.recipients == ["Ann.Bell@mail.example"]

    def test_everybody_who_shares_an_address_gets_a_mail_of_their_own(self, make_user, mailbox):
        users = [make_user(email="team@mail.example") for _ in range(3)]

        visit("team@mail.example")

        for target in Target.objects.all():
            assert run_task(target) == {"outcome": "done"}
        texts = [message.get_body(("plain",)).get_content() for message in mailbox.messages]
        assert all(any(user.username in text for text in texts) for user in users)

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [({"is_active": False}, "inactive"), ({"password": "!"}, "no_password")],
    )
    def test_who_may_not_be_mailed_is_left_out_where_nobody_sees_it(
        self, make_user, mailbox, fields, reason
    ):
        make_user("ann", **fields)

        visit("ann@mail.example")

        assert run_task(Target.objects.get()) == {"outcome": "skipped", "reason": reason}

    def test_a_stranger_resets_a_superuser_no_more_than_anybody_else(self, alice, mailbox):
        """They ask; the mail goes to the superuser."""
        visit(alice.email)

        run_task(Target.objects.get())

        assert mailbox.recipients == [alice.email]
        assert User.objects.get(pk=alice.pk).check_password("old password")

    def test_the_old_password_and_the_sessions_stay(self, ann, as_user):
        client = as_user(ann)

        visit(ann.email)

        assert User.objects.get(pk=ann.pk).check_password("old password")
        assert "ann" in client.get(PAGE).content.decode()

    def test_nobody_is_recorded_as_who_asked(self, ann):
        visit(ann.email)

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
def test_the_link_leads_to_us_whatever_the_request_says(ann, mailbox, settings, headers):
    settings.HOST_URL, settings.ALLOWED_HOSTS = "https://console.example", ["*"]

    assert visit(ann.email, **headers).status_code == 202

    run_task(Target.objects.get())
    assert "evil" not in str(mailbox.messages[0])
    assert "https://console.example/user/reset/password/?token=" in str(
        mailbox.messages[0].get_body(("plain",)).get_content()
    )


def test_a_claimed_target_is_not_asked_for_again(ann, as_user):
    target = publish_and_claim(request_email(ann))

    assert as_user(ann).post(PAGE, content_type=JSON).json()["task_id"] == target.task_id
