"""Tracebacks as text: which of their frames are the project's own. Nothing in them is imported."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FRAME = re.compile(r'^[ |]*File "(?P<file>[^"\n]+)", line \d+(?:, in (?P<function>.*))?$')
_LIBRARY = re.compile(r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib[\\/]python3\.\d+[\\/]|^<")
#: The line that a frame points at, and the marks below it, stand deeper than the frame.
_BELOW = re.compile(r"^[ |]{4,}")


@dataclass(kw_only=True)
class Piece:
    """Neighbouring lines of a traceback: frames of libraries, or anything else."""

    library: bool
    text: str
    #: How many frames it shows.
    frames: int = 0


def pieces(traceback: str) -> list[Piece]:
    """Part a traceback into frames of libraries and the rest, in order; nothing is left out."""
    found: list[Piece] = []
    library = False
    for line in traceback.splitlines():
        frame = _FRAME.match(line)
        if frame:
            library = bool(_LIBRARY.search(frame["file"]))
        elif not _BELOW.match(line):
            library = False
        if not found or found[-1].library is not library:
            found.append(Piece(library=library, text=line))
        else:
            found[-1].text += f"\n{line}"
        found[-1].frames += bool(frame)
    return found


def frames(traceback: str) -> Iterator[tuple[str, str, bool]]:
    """Yield file, function and whether it is a library's, for each frame, outermost first."""
    for line in traceback.splitlines():
        if match := _FRAME.match(line):
            yield match["file"], match["function"] or "", bool(_LIBRARY.search(match["file"]))
