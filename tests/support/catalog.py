"""The Chinese message catalog, and the untranslated parts of a text."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polib

from opsconsole.environment import BASE_DIR

ROOT = BASE_DIR
CATALOG_DIR = Path("tasks_admin/locale/zh_Hans/LC_MESSAGES")
PO = polib.pofile(str(ROOT / CATALOG_DIR / "django.po"))
#: Not translated on purpose: commands, and captions that Django's catalog lacks.
UNTRANSLATED = {
    "Model name",
    "Add link",
    "Change or view list link",
    "celery -A opsconsole worker",
    "manage.py dispatch",
    "CSV UTF-8",
}
ENGLISH = re.compile(r"[A-Za-z][a-z’']+(?: [A-Za-z][a-z’']*)+")


def translations_of(entry: Any) -> list[str]:
    """Return the translation of an entry; all plural forms if it has several."""
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def not_chinese(texts: Iterable[str]) -> list[str]:
    """Return the texts that contain several Latin words, or are the source of an entry."""
    sources = {e.msgid.lower() for e in PO if e.msgid.lower() != translations_of(e)[0].lower()}
    return [
        text
        for text in texts
        if text.lower() in sources or ENGLISH.search(_remove_untranslated(text))
    ]


def _remove_untranslated(text: str) -> str:
    for phrase in UNTRANSLATED:
        text = text.replace(phrase, "·")
    return text
