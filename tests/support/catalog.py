"""The Chinese catalog, and what in a text is not Chinese."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polib

from opsconsole.environment import BASE_DIR

ROOT = BASE_DIR
PLACE = Path("tasks_admin/locale/zh_Hans/LC_MESSAGES")
PO = polib.pofile(str(ROOT / PLACE / "django.po"))
#: What is not translated on purpose: commands, and captions that Django has no Chinese for.
LATIN = {
    "Model name",
    "Add link",
    "Change or view list link",
    "celery -A opsconsole worker",
    "manage.py dispatch",
    "CSV UTF-8",
}
ENGLISH = re.compile(r"[A-Za-z][a-z’']+(?: [A-Za-z][a-z’']*)+")


def said(entry: Any) -> list[str]:
    """All that a reader may see of an entry."""
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def not_chinese(texts: Iterable[str]) -> list[str]:
    """The texts with several Latin words, or that are a word which we translate."""
    ours = {e.msgid.lower() for e in PO if e.msgid.lower() != said(e)[0].lower()}
    return [one for one in texts if one.lower() in ours or ENGLISH.search(_without_latin(one))]


def _without_latin(text: str) -> str:
    for latin in LATIN:
        text = text.replace(latin, "·")
    return text
