"""Every page of the console requires a login and a permission."""

import uuid

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

pytestmark = pytest.mark.django_db
EXAMPLES = {"IntConverter": 1, "UUIDConverter": uuid.UUID(int=1)}


def admin_paths(patterns, prefix=""):
    """The URLs of all pages of the console, with example arguments."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from admin_paths(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and (pattern.name or "").startswith(
            ("tasks_admin_", "auth_user_")
        ):
            arguments = {
                name: EXAMPLES.get(type(converter).__name__, "1")
                for name, converter in pattern.pattern.converters.items()
            }
            if not pattern.pattern.regex.groups or arguments:
                yield reverse(f"admin:{pattern.name}", kwargs=arguments)


PATHS = sorted(set(admin_paths(admin.site.get_urls())))


assert len(PATHS) > 20


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_anonymous_users_are_sent_to_the_login_page(path, method):
    response = getattr(Client(), method)(path)

    assert response.status_code == 302
    assert "/admin/login/" in response.url


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_staff_without_permissions_see_no_page(as_user, mallory, no_broker, path, method):
    before = User.objects.values().get(pk=mallory.pk)

    response = getattr(as_user(mallory), method)(path)

    # Django redirects to the overview when the object of a history page does not exist.
    assert response.status_code in {403, 404, 405} or response.url == "/admin/"
    assert User.objects.values().get(pk=mallory.pk) | {"last_login": None} == before | {
        "last_login": None
    }
