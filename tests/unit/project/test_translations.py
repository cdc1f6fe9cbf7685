"""The Chinese translation: whole, well-formed and compiled."""

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
from tests.support.catalog import PLACE, PO, ROOT, said
from tests.support.servers import need

SOURCES = ("tasks_admin", "opsconsole", "templates")

PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?[-#0 +]*\d*(?:\.\d+)?([a-zA-Z%])|\{(\w*)\}")
TAG_OR_LINE = re.compile(r"</?\w+[^>]*>|\n")
GETTEXT = re.compile(r"_|n?p?gettext(_lazy)?")


def key(entry):
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def found(pattern, text):
    """How often what occurs, in whatever order."""
    return Counter(pattern.findall(text))


class TestCatalog:
    def test_no_entry_is_left_over(self):
        assert not PO.obsolete_entries()

    def test_it_is_for_one_form_of_plural(self):
        assert PO.metadata["Plural-Forms"] == "nplurals=1; plural=0;"
        assert all(set(entry.msgstr_plural) == {0} for entry in PO if entry.msgid_plural)

    def test_no_path_of_somebodys_machine_is_in_it(self):
        paths = {path for entry in PO for path, _line in entry.occurrences}

        assert {path.partition("/")[0] for path in paths} <= set(SOURCES)

    def test_every_entry_is_translated_and_looked_at(self):
        assert [e.msgid for e in PO if e.fuzzy or not all(text.strip() for text in said(e))] == []

    def test_placeholders_are_those_of_the_source(self):
        wrong = [
            one
            for entry in PO
            for one in said(entry)
            if found(PLACEHOLDER, one) != found(PLACEHOLDER, entry.msgid_plural or entry.msgid)
        ]

        assert wrong == []

    def test_tags_and_lines_are_those_of_the_source(self):
        wrong = [
            one
            for entry in PO
            for one in said(entry)
            if found(TAG_OR_LINE, one) != found(TAG_OR_LINE, entry.msgid_plural or entry.msgid)
        ]

        assert wrong == []

    def test_what_is_compiled_is_what_is_written(self):
        compiled = polib.mofile(str(ROOT / PLACE / "django.mo"))

        assert {key(e): said(e) for e in compiled} == {key(e): said(e) for e in PO}
        written = {name: text for name, text in PO.metadata.items() if name != "POT-Creation-Date"}
        compiled.metadata.pop("POT-Creation-Date", None)  # which msgfmt leaves out, in newer ones
        assert compiled.metadata == written

    def test_every_string_of_the_sources_is_in_it(self, tmp_path):
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
            timeout=60,
        )

        collected = polib.pofile(str(tmp_path / PLACE / "django.po"))

        assert {key(entry) for entry in collected} == {key(entry) for entry in PO}


def makemessages():
    """The arguments with which `make messages` collects."""
    recipe = (ROOT / "Makefile").read_text().partition("\nmessages:")[2].partition("\n\n")[0]
    commands = recipe.replace("\\\n", " ").splitlines()
    command = next(line for line in commands if " makemessages " in line)
    return shlex.split(command.partition("manage.py ")[2])


def test_nothing_is_put_into_a_string_before_it_is_translated():
    """What gettext is given is looked up as it is: an f-string is found in no catalog."""
    wrong = []
    for path in (path for name in SOURCES for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            made = any(isinstance(text, (ast.JoinedStr, ast.BinOp)) for text in node.args[:2])
            if GETTEXT.fullmatch(called) and made:
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
def test_what_is_declared_once_is_said_in_each_readers_language(lazy):
    with translation.override("en"):
        source = str(lazy)
    with translation.override("zh-hans"):
        assert str(lazy) != source


def test_both_languages_are_offered(settings):
    codes = [code for code, _name in settings.LANGUAGES]

    assert codes == ["en", "zh-hans"]
    assert trans_real.get_supported_language_variant("zh-cn") == "zh-hans"
