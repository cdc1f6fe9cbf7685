"""The permission check of the operations API, and permissions that are lost meanwhile."""

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User

from tasks_admin import operations
from tasks_admin.lib.errors import NotAllowed
from tasks_admin.lib.verbs import PERMISSIONS, VERBS
from tasks_admin.models import Operation
from tests.support.factories import make_operation

STAFF_VERBS = sorted(verb.name for verb in VERBS.values() if verb.permission)


class TestRequire:
    """`operations.require`, for callers other than pages."""

    @pytest.mark.parametrize("verb", STAFF_VERBS)
    def test_the_error_names_the_permission(self, mallory, verb):
        with pytest.raises(NotAllowed, match=f"tasks_admin.{VERBS[verb].permission}"):
            operations.require(mallory, verb)

    def test_an_anonymous_user_is_refused(self):
        with pytest.raises(NotAllowed):
            operations.require(AnonymousUser(), "pause")

    @pytest.mark.parametrize("change", ["permission", "account", "activity"])
    def test_an_actor_can_lose_the_permission_meanwhile(self, bob, change):
        operation = make_operation(1, actor=bob)
        assert operations.still_allowed(operation)

        if change == "permission":
            bob.user_permissions.clear()
        elif change == "activity":
            User.objects.filter(pk=bob.pk).update(is_active=False)
        else:
            bob.delete()

        assert not operations.still_allowed(Operation.objects.get(pk=operation.pk))

    def test_every_permission_exists(self, db):
        for codename, _label in PERMISSIONS:
            assert Permission.objects.filter(
                codename=codename, content_type__app_label="tasks_admin"
            ).exists()
