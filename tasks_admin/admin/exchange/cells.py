"""Cells: what a spreadsheet would run as a formula is put behind an apostrophe, and taken back."""

import re

#: What spreadsheets run, also behind spaces; apostrophes count, so that guarding can be undone.
FORMULA = re.compile(r"'*\s*[=+\-@\t\r\n＝＋－＠]")
GUARDED = re.compile(r"'+\s*[=+\-@\t\r\n＝＋－＠]")
#: What XML 1.0, and so XLSX, can't hold.
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def guard(value: object) -> object:
    """Return text that no spreadsheet runs and every format holds; anything else as it is."""
    if not isinstance(value, str):
        return value
    legal = ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", value)
    return f"'{legal}" if FORMULA.match(legal) else legal


def unguard(text: str) -> str:
    """Undo `guard`: remove the one apostrophe that it put in front."""
    return text[1:] if GUARDED.match(text) else text


def text(value: object) -> str:
    """Return a cell of a file as text; a spreadsheet's 12345.0 is 12345."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
