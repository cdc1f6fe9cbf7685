"""Arguments as a tree: short values whole, long ones folded, and a page of limited size."""

import pytest

from tasks_admin.admin.results import trees
from tests.support.factories import make_result
from tests.support.pages import RESULTS, page_text


def numbered(*values):
    return [(str(number), value) for number, value in enumerate(values, 1)]


def test_nested_values_have_nodes_down_to_the_leaves():
    (first, second) = trees.tree(numbered({"a": [1, "1"]}, []))

    assert [node.preview for node in first.items[0].items] == ["1", '"1"']
    assert (second.preview, second.items) == ("[]", [])


def test_a_long_text_is_folded_and_a_longer_one_cut():
    folded, cut = trees.tree(numbered("x" * 1_000, "y" * 100_000))

    assert (len(folded.preview), folded.text) == (trees.MAX_PREVIEW_LENGTH + 1, f'"{"x" * 1_000}"')
    assert len(cut.text) < trees.MAX_TEXT_LENGTH + 50 and "100,002 characters" in cut.text


@pytest.mark.parametrize(
    "arguments",
    [
        {"args": list(range(1_000_000))}, {"args": [list(range(1_000_000))]},
        {"args": ["x" * 16_000] * 300}, {"args": [{"a": ["<" * 500] * 10_000}]},
        {"kwargs": {f"{n}" * 1_000: n for n in range(1_000)}}, {"args": ["<" * 5_000_000]},
    ],
    ids=["many", "many in one", "many long ones", "markup", "long names", "one long one"],
)  # fmt: skip
def test_the_page_stays_small(arguments, as_user, alice):
    row = make_result(**arguments)

    page = as_user(alice).get(f"{RESULTS}{row.pk}/change/")

    assert page.status_code == 200
    assert len(page.content) < 3_000_000, len(page.content)


def test_hidden_items_are_counted(as_user, alice):
    row = make_result(args=list(range(1_500)))

    assert "and 500 more" in page_text(as_user(alice).get(f"{RESULTS}{row.pk}/change/"))
