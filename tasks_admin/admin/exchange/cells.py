"""Cells: a text that a spreadsheet would run as a formula is prefixed with an apostrophe."""

import re

#: Formulas, also after spaces. Apostrophes count, so that the escape can be undone.
FORMULA = re.compile(r"'*\s*[=+\-@\t\r\n＝＋－＠]")
ESCAPED = re.compile(r"'+\s*[=+\-@\t\r\n＝＋－＠]")
#: Characters that XML 1.0, and therefore XLSX, cannot contain.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escape_formula(value: object) -> object:
    """Escape a text for spreadsheets, and replace characters that a format cannot contain."""
    if not isinstance(value, str):
        return value
    legal = NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", value)
    return f"'{legal}" if FORMULA.match(legal) else legal


def unescape_formula(text: str) -> str:
    """Undo `escape_formula`: remove the apostrophe that it added."""
    return text[1:] if ESCAPED.match(text) else text


def to_text(value: object) -> str:
    """The text of a cell; a spreadsheet's 12345.0 is 12345."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
