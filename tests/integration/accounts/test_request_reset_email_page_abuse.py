"""Attacks and invalid requests to the page that requests a reset email."""

import json

import pytest
from django.test import Client, override_settings

from tasks_admin.lib.conf import Settings
from tasks_admin.models import Operation, Target

PAGE = "/user/reset/password/request/"
JSON = "application/json"
#: Seconds. The window ends in 2033, so no test crosses its end.
WINDOW = 10**9
pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(make_user):
    return make_user("ann")


def limited(scope, allowed):
    wide = dict.fromkeys(Settings.LIMITS, (10000, WINDOW))
    return override_settings(TASKS_ADMIN_LIMITS=wide | {scope: (allowed, WINDOW)})


class TestInvalidRequests:
    """The response to an invalid address is 400, and nothing is queued."""

    @pytest.mark.parametrize(
        "body",
        [
            "nonsense",
            "[]",
            "7",
            "null",
            "true",
            '"ann@mail.example"',
            "[" * 100000,
            '{"a":' * 100000,
            "{}",
            '{"email": null}',
            '{"email": 7}',
            '{"email": true}',
            '{"email": []}',
            '{"email": {}}',
            '{"email": ["ann@mail.example"]}',
            '{"email": ""}',
            '{"email": "ann@\\ud800.example"}',
            '{"email": "ann\\u0000@mail.example"}',
            '{"Email": "ann@mail.example"}',
            "9" * 10000,
            "NaN",
            '{"email": "a@b.example"',
        ],
        ids=lambda body: body[:30],
    )
    def test_json(self, client, ann, body):
        response = client.post(PAGE, body, content_type=JSON)

        assert response.status_code == 400
        assert response.json() == {"detail": "Enter a valid email address."}
        assert not Operation.objects.exists()

    @pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"\x80", "{}".encode("utf-16")])
    def test_json_that_is_not_utf8(self, client, body):
        assert client.post(PAGE, body, content_type=JSON).status_code == 400

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "ann",
            "@",
            "ann@",
            "ann@mail.example\x00",
            "a@b@mail.example",
            "ann @mail.example",
            "mıke@mail.example",
            "ａnn@mail.example",
            "ann@mail.example\nBcc: eve@x.example",
            "a" * 300 + "@mail.example",
            "x" * 1000000,
            "<script>alert(1)</script>",
            "' OR 1=1--",
            "ann@mail.example,eve@x.example",
            '"ann\\"@mail.example',
            "ann@mail.example\u2028x",
        ],
        ids=lambda address: ascii(address)[:30],
    )
    def test_the_form(self, client, ann, address):
        page = client.post(PAGE, {"email": address})

        assert page.status_code == 400
        assert "Enter a valid email address" in page.content.decode()
        assert "<script>alert" not in page.content.decode()
        assert not Operation.objects.exists()

    def test_an_empty_form(self, client):
        assert client.post(PAGE).status_code == 400

    @pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
    def test_other_methods(self, client, method):
        assert getattr(client, method)(PAGE).status_code == 405

    @pytest.mark.parametrize("method", ["get", "head", "options"])
    def test_safe_methods_queue_nothing(self, ann, as_user, method):
        assert getattr(as_user(ann), method)(f"{PAGE}?email=ann@mail.example").status_code == 200
        assert not Operation.objects.exists()

    @pytest.mark.parametrize(
        "accept", ["", "*/*", ";;;,,q=x", "text/html;q=abc", "image/png", "application/json;q=0"]
    )
    def test_any_accept_header(self, client, accept):
        assert client.post(PAGE, headers={"accept": accept}).status_code == 400

    @pytest.mark.parametrize("kind", ["multipart/form-data", "text/plain", "application/xml", "x"])
    def test_other_content_types(self, client, kind):
        assert client.post(PAGE, b"email=ann@mail.example", content_type=kind).status_code == 400


class TestCSRF:
    """Another site cannot submit the form."""

    @pytest.mark.parametrize("kind", [JSON, "application/x-www-form-urlencoded"])
    def test_a_request_without_a_csrf_token(self, ann, kind):
        client = Client(enforce_csrf_checks=True)
        client.force_login(ann)

        assert client.post(PAGE, "{}", content_type=kind).status_code == 403
        assert not Operation.objects.exists()

    def test_a_csrf_token_in_a_header(self, ann):
        client = Client(enforce_csrf_checks=True)
        client.force_login(ann)
        csrf_token = str(client.get(PAGE).context["csrf_token"])

        response = client.post(PAGE, content_type=JSON, headers={"x-csrftoken": csrf_token})

        assert response.status_code == 202


class TestRateLimits:
    """Limits per user, per address and per client. Above a limit, nothing is queued."""

    def test_per_user(self, ann, as_user, make_user):
        client = as_user(ann)
        with limited("request.user", 2):
            codes = [client.post(PAGE, content_type=JSON).status_code for _ in range(4)]
            other = as_user(make_user()).post(PAGE, content_type=JSON)

        assert codes == [202, 202, 429, 429]
        assert other.status_code == 202

    def test_per_address_in_any_case_and_with_or_without_an_account(self, ann):
        with limited("request.address", 2):
            for address in ("ann@mail.example", "no-account@mail.example"):
                spellings = [address, address.upper(), address.title(), address]
                codes = [Client().post(PAGE, {"email": one}).status_code for one in spellings]
                assert codes == [202, 202, 429, 429]

    def test_per_client_for_any_address(self):
        with limited("request.client", 2):
            codes = [
                Client().post(PAGE, {"email": f"a{n}@x.example"}).status_code for n in range(4)
            ]
            other = Client(REMOTE_ADDR="192.0.2.7").post(PAGE, {"email": "a@x.example"})

        assert codes == [202, 202, 429, 429]
        assert other.status_code == 202

    def test_a_forged_header_does_not_change_the_client(self):
        with limited("request.client", 1):
            codes = [
                Client(headers={"x-forwarded-for": f"192.0.2.{n}"})
                .post(PAGE, {"email": "a@x.example"})
                .status_code
                for n in range(3)
            ]

        assert codes == [202, 429, 429]

    @pytest.mark.parametrize("key", ["HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR"])
    def test_behind_a_proxy_the_address_that_it_appended_counts(self, settings, key):
        settings.TASKS_ADMIN_CLIENT_ADDRESS_KEY = key
        values = ["192.0.2.1", "evil, 192.0.2.1", "x,y,192.0.2.1", "192.0.2.2", "", ""]
        with limited("request.client", 1):
            clients = [Client(**{key: value}) for value in values]
            codes = [one.post(PAGE, {"email": "a@x.example"}).status_code for one in clients]

        assert codes == [202, 429, 429, 202, 202, 429]

    def test_invalid_requests_are_not_counted(self):
        with limited("request.client", 1):
            codes = [Client().post(PAGE, {"email": "nonsense"}).status_code for _ in range(3)]

        assert codes == [400, 400, 400]

    def test_the_message_states_what_to_do_next(self, ann, as_user):
        with limited("request.user", 0):
            json_response = as_user(ann).post(PAGE, content_type=JSON)
            page = as_user(ann).post(PAGE)

        assert (json_response.status_code, page.status_code) == (429, 429)
        assert json_response.json() == {
            "detail": "Too many attempts. Wait an hour, then try again."
        }
        assert "Wait an hour" in page.content.decode()
        assert not Target.objects.exists()


def test_the_entered_address_is_neither_stored_nor_logged(client, caplog):
    body = json.dumps({"email": "secret-name@mail.example"})
    client.post(PAGE, body, content_type=JSON)

    assert "secret-name" not in caplog.text
    assert "secret-name" not in str([*Operation.objects.values(), *Target.objects.values()])
