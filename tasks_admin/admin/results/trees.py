"""Arguments as a tree that folds: what is long or deep opens on a click, without a script."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

#: Characters that are shown before a text is folded, of a name, and of any text at all.
BRIEF, NAME, LONGEST = 120, 200, 16_000
#: Items and characters that a page shows; what is beyond is counted.
MOST, MOST_CHARACTERS = 1_000, 250_000


@dataclass(kw_only=True)
class Node:
    """One value, under its name."""

    name: str
    #: The value as JSON: the text "42" and the number 42 must not look alike. Its beginning.
    brief: str
    #: All of it, when it is longer than its beginning.
    whole: str = ""
    items: list["Node"] = field(default_factory=list)
    #: Items that are not shown.
    hidden: str = ""


@dataclass(kw_only=True)
class _Room:
    """What is left of a page."""

    items: int = MOST
    characters: int = MOST_CHARACTERS


def tree(named: Iterable[tuple[str, Any]]) -> list[Node]:
    """Make a node of each named value, down to the leaves, as many as a page has room for."""
    top = _parent("", "", list(named), _Room())
    rest = [Node(name="…", brief=top.hidden)] if top.hidden else []
    return top.items + rest


def _node(name: str, value: Any, room: _Room) -> Node:
    room.items -= 1
    name = name if len(name) <= NAME else f"{name[:NAME]}…"
    if isinstance(value, Mapping) and value:
        brief = ngettext("%(n)d entry", "%(n)d entries", len(value)) % {"n": len(value)}
        return _parent(name, brief, [(str(key), item) for key, item in value.items()], room)
    if isinstance(value, list) and value:
        brief = ngettext("%(n)d item", "%(n)d items", len(value)) % {"n": len(value)}
        return _parent(name, brief, [(str(i), item) for i, item in enumerate(value)], room)
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= BRIEF:
        return Node(name=name, brief=text)
    whole = text[: max(min(LONGEST, room.characters), BRIEF)]
    room.characters -= len(whole)
    more = "" if len(whole) == len(text) else _(" … (%(n)d characters)") % {"n": len(text)}
    return Node(name=name, brief=f"{text[:BRIEF]}…", whole=whole + more)


def _parent(name: str, brief: str, pairs: list[tuple[str, Any]], room: _Room) -> Node:
    node = Node(name=name, brief=brief)
    for number, (key, item) in enumerate(pairs):
        if room.items <= 0:
            left = len(pairs) - number
            node.hidden = ngettext("and %(n)d more", "and %(n)d more", left) % {"n": left}
            break
        node.items.append(_node(key, item, room))
    return node
