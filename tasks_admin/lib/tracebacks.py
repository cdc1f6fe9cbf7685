"""Tracebacks as text: which frames are the project's own. No module in them is imported."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FRAME = re.compile(r'^[ |]*File "(?P<file>[^"\n]+)", line \d+(?:, in (?P<function>.*))?$')
_LIBRARY = re.compile(r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib[\\/]python3\.\d+[\\/]|^<")
#: The source line of a frame, and the markers below it, are indented deeper than the frame.
_SOURCE = re.compile(r"^[ |]{4,}")


@dataclass(kw_only=True)
class FrameGroup:
    """Consecutive lines of a traceback: library frames, or anything else."""

    library: bool
    text: str
    #: The number of frames in it.
    frames: int = 0


def frame_groups(traceback: str) -> list[FrameGroup]:
    """Split a traceback into groups of library frames and the rest, in order, without loss."""
    groups: list[FrameGroup] = []
    library = False
    for line in traceback.splitlines():
        frame = _FRAME.match(line)
        if frame:
            library = bool(_LIBRARY.search(frame["file"]))
        elif not _SOURCE.match(line):
            library = False
        if not groups or groups[-1].library is not library:
            groups.append(FrameGroup(library=library, text=line))
        else:
            groups[-1].text += f"\n{line}"
        groups[-1].frames += bool(frame)
    return groups


def frames(traceback: str) -> Iterator[tuple[str, str, bool]]:
    """Yield file, function and whether it is library code, for each frame, outermost first."""
    for line in traceback.splitlines():
        if match := _FRAME.match(line):
            yield match["file"], match["function"] or "", bool(_LIBRARY.search(match["file"]))
