"""The overview on the index page: running operations and recent failures."""

import pytest

from tests.support.factories import make_failure_group, make_operation
from tests.support.pages import page_text


def test_both_lists_have_headings_and_counts_with_separators(as_user, alice):
    operation = make_operation(1)
    type(operation).objects.update(total=12_345)
    group = make_failure_group(exception="celery.exceptions.ChordError", task="")
    type(group).objects.update(count=1_234)

    page = page_text(as_user(alice).get("/admin/"))

    assert "Running operations" in page and "12,345 targets" in page
    assert "Recent failures (last 24 h)" in page and "1,234 failures" in page
    assert "ChordError (unknown task)" in page and "celery.exceptions" not in page


@pytest.mark.django_db
def test_empty_lists_have_no_headings(as_user, alice):
    page = page_text(as_user(alice).get("/admin/"))

    assert "Running operations" not in page and "Recent failures" not in page


def test_the_lists_require_view_permissions(as_user, mallory):
    make_operation(1)
    make_failure_group()

    page = page_text(as_user(mallory).get("/admin/"))

    assert "Running operations" not in page and "Recent failures" not in page
