"""The Chinese message catalog is complete, well-formed and compiled."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter

import polib
import pytest
from django.utils import translation
from django.utils.translation import trans_real

from tasks_admin.lib import reasons, verbs
from tests.support.catalog import CATALOG_DIR, PO, ROOT, translations_of
from tests.support.servers import need

SOURCES = ("tasks_admin", "opsconsole", "templates")

PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?[-#0 +]*\d*(?:\.\d+)?([a-zA-Z%])|\{(\w*)\}")
TAG_OR_LINE = re.compile(r"</?\w+[^>]*>|\n")
GETTEXT = re.compile(r"_|n?p?gettext(_lazy)?")


def key(entry):
    """Return the parts that identify an entry."""
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def matches(pattern, text):
    """Count the matches of a pattern, regardless of their order."""
    return Counter(pattern.findall(text))


class TestCatalog:
    def test_no_entry_is_obsolete(self):
        assert not PO.obsolete_entries()

    def test_it_has_one_plural_form(self):
        assert PO.metadata["Plural-Forms"] == "nplurals=1; plural=0;"
        assert all(set(entry.msgstr_plural) == {0} for entry in PO if entry.msgid_plural)

    def test_locations_are_relative_paths(self):
        paths = {path for entry in PO for path, _line in entry.occurrences}

        assert {path.partition("/")[0] for path in paths} <= set(SOURCES)

    def test_every_entry_is_translated_and_not_fuzzy(self):
        assert [
            e.msgid for e in PO if e.fuzzy or not all(text.strip() for text in translations_of(e))
        ] == []

    def test_placeholders_equal_those_of_the_source(self):
        wrong = [
            translation
            for entry in PO
            for translation in translations_of(entry)
            if matches(PLACEHOLDER, translation)
            != matches(PLACEHOLDER, entry.msgid_plural or entry.msgid)
        ]

        assert wrong == []

    def test_tags_and_line_breaks_equal_those_of_the_source(self):
        wrong = [
            translation
            for entry in PO
            for translation in translations_of(entry)
            if matches(TAG_OR_LINE, translation)
            != matches(TAG_OR_LINE, entry.msgid_plural or entry.msgid)
        ]

        assert wrong == []

    def test_the_compiled_catalog_is_up_to_date(self):
        compiled = polib.mofile(str(ROOT / CATALOG_DIR / "django.mo"))

        assert {key(e): translations_of(e) for e in compiled} == {
            key(e): translations_of(e) for e in PO
        }
        metadata = {name: text for name, text in PO.metadata.items() if name != "POT-Creation-Date"}
        compiled.metadata.pop("POT-Creation-Date", None)  # newer versions of msgfmt omit it
        assert compiled.metadata == metadata

    def test_it_contains_every_string_of_the_sources(self, tmp_path):
        need(shutil.which("xgettext") and shutil.which("msgmerge"), "gettext", "gettext")
        for name in SOURCES:
            caches = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tmp_path / name, ignore=caches)
        shutil.copy(ROOT / "manage.py", tmp_path)
        settings = {"DJANGO_SETTINGS_MODULE": "opsconsole.settings", "SECRET_KEY": "x" * 50}
        subprocess.run(
            [sys.executable, "manage.py", *makemessages()],
            cwd=tmp_path,
            env=os.environ | settings | {"DATA_DIR": str(tmp_path / "var")},
            check=True,
            capture_output=True,
            timeout=300,
        )

        collected = polib.pofile(str(tmp_path / CATALOG_DIR / "django.po"))

        assert {key(entry) for entry in collected} == {key(entry) for entry in PO}


def makemessages():
    """Return the arguments of makemessages in `make messages`."""
    recipe = (ROOT / "Makefile").read_text().partition("\nmessages:")[2].partition("\n\n")[0]
    commands = recipe.replace("\\\n", " ").splitlines()
    command = next(line for line in commands if " makemessages " in line)
    return shlex.split(command.partition("manage.py ")[2])


def test_no_message_is_formatted_before_it_is_translated():
    """gettext looks up its argument unchanged: no catalog contains an f-string's value."""
    wrong = []
    for path in (path for name in SOURCES for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            formatted = any(isinstance(text, (ast.JoinedStr, ast.BinOp)) for text in node.args[:2])
            if GETTEXT.fullmatch(function) and formatted:
                wrong.append(f"{path}:{node.lineno}")

    assert not wrong


@pytest.mark.parametrize(
    "lazy",
    [
        *reasons.REASONS.values(),
        *(word for verb in verbs.VERBS.values() for word in (verb.label, verb.title)),
    ],
    ids=str,
)
def test_reasons_and_verbs_are_translated(lazy):
    with translation.override("en"):
        source = str(lazy)
    with translation.override("zh-hans"):
        assert str(lazy) != source


def test_both_languages_are_available(settings):
    codes = [code for code, _name in settings.LANGUAGES]

    assert codes == ["en", "zh-hans"]
    assert trans_real.get_supported_language_variant("zh-cn") == "zh-hans"
