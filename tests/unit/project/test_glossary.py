"""The words of code and texts are those of `docs/glossary.md`: none from its column *Not*."""

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import polib

from opsconsole.environment import BASE_DIR

ENGLISH, CHINESE = BASE_DIR / "docs" / "glossary.md", BASE_DIR / "docs" / "glossary.zh.md"
#: Not read: the glossary itself, files that are not text, and locked requirements.
EXCLUDED = re.compile(r"docs/glossary.*\.md|requirements/.*|.*\.(png|svg|mo)")
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: What separates the words of a phrase: blanks and line breaks, also in identifiers and comments.
SEPARATORS = re.compile(r"[\s#_*`\"]+")


def banned(glossary: Path) -> list[str]:
    """The words in the last column of all tables."""
    cells = [line.split("|")[-2] for line in glossary.read_text().splitlines() if line[:1] == "|"]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def pattern(words: list[str]) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(sorted(map(re.escape, words), key=len, reverse=True))})\b")


def files() -> Iterator[Path]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=BASE_DIR, capture_output=True, text=True, check=True).stdout
    for name in sorted(set(found.splitlines())):
        path = BASE_DIR / name
        if path.is_file() and not EXCLUDED.fullmatch(name):
            yield path


def text_of(path: Path) -> str:
    """The words of a file and of its own path, in lower case, separated by single blanks."""
    if path.suffix == ".po":  # the English texts alone
        text = "\n".join(f"{entry.msgid}\n{entry.msgid_plural}" for entry in polib.pofile(path))
    else:
        text = path.read_text()
    words = CAMEL_CASE.sub(" ", f"{path.relative_to(BASE_DIR)}\n{text}")
    return SEPARATORS.sub(" ", words).lower()


def names_in(path: Path) -> set[str]:
    """The identifiers of a Python file."""
    if path.suffix != ".py":
        return set()
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def violations() -> dict[str, list[str]]:
    """The files that use a banned word, by word."""
    words = banned(ENGLISH)
    names = {word for word in words if not word.islower()}
    phrases = pattern([word for word in words if word.islower()])
    found: dict[str, list[str]] = {}
    for path in files():
        for word in {*phrases.findall(text_of(path)), *(names & names_in(path))}:
            found.setdefault(word, []).append(str(path.relative_to(BASE_DIR)))
    return found


def test_no_identifier_or_text_uses_a_banned_word():
    assert violations() == {}


def test_both_languages_ban_the_same_words():
    assert banned(ENGLISH) == banned(CHINESE)


def test_a_word_is_found_in_identifiers_and_across_lines():
    text = "class GreenTea: ...\ndef green_tea(): ...\n# green\n# tea"

    words = SEPARATORS.sub(" ", CAMEL_CASE.sub(" ", text)).lower()

    assert len(pattern(["green tea"]).findall(words)) == 3
