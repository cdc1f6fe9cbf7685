"""Arguments as a tree: long or nested values are folded, and open on a click, without a script."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

#: Characters of a folded text, of a name, and of an unfolded text.
MAX_PREVIEW_LENGTH, MAX_NAME_LENGTH, MAX_TEXT_LENGTH = 120, 200, 16_000
#: Items and characters of unfolded texts on one page; further items are counted only.
MAX_ITEMS, MAX_CHARACTERS = 1_000, 250_000


@dataclass(kw_only=True)
class Node:
    """One value and its name."""

    name: str
    #: The beginning of the value as JSON, so that the string "42" and the number 42 differ.
    preview: str
    #: The unfolded text if it is longer than the preview.
    text: str = ""
    items: list["Node"] = field(default_factory=list)
    #: The number of items that are not shown, as a text.
    more: str = ""


@dataclass(kw_only=True)
class _Budget:
    """The items and characters that the page can still show."""

    items: int = MAX_ITEMS
    characters: int = MAX_CHARACTERS


def tree(named: Iterable[tuple[str, Any]]) -> list[Node]:
    """The nodes of the named values, down to the leaves, within the limits of a page."""
    top = _parent("", "", list(named), _Budget())
    return top.items + ([Node(name="…", preview=top.more)] if top.more else [])


def _node(name: str, value: Any, budget: _Budget) -> Node:
    budget.items -= 1
    name = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…"
    if isinstance(value, Mapping) and value:
        preview = ngettext("%(n)s entry", "%(n)s entries", len(value)) % {"n": f"{len(value):,}"}
        return _parent(name, preview, [(str(key), item) for key, item in value.items()], budget)
    if isinstance(value, list) and value:
        preview = ngettext("%(n)s item", "%(n)s items", len(value)) % {"n": f"{len(value):,}"}
        return _parent(name, preview, [(str(i), item) for i, item in enumerate(value)], budget)
    return _leaf(name, json.dumps(value, ensure_ascii=False, default=str), budget)


def _leaf(name: str, text: str, budget: _Budget) -> Node:
    if len(text) <= MAX_PREVIEW_LENGTH:
        return Node(name=name, preview=text)
    shown = text[: max(min(MAX_TEXT_LENGTH, budget.characters), MAX_PREVIEW_LENGTH)]
    budget.characters -= len(shown)
    if len(shown) < len(text):
        shown += _(" … (%(n)s characters)") % {"n": f"{len(text):,}"}
    return Node(name=name, preview=f"{text[:MAX_PREVIEW_LENGTH]}…", text=shown)


def _parent(name: str, preview: str, pairs: list[tuple[str, Any]], budget: _Budget) -> Node:
    node = Node(name=name, preview=preview)
    for number, (key, item) in enumerate(pairs):
        if budget.items <= 0:
            rest = len(pairs) - number
            node.more = ngettext("and %(n)s more", "and %(n)s more", rest) % {"n": f"{rest:,}"}
            break
        node.items.append(_node(key, item, budget))
    return node
