"""Paths of browse names, and the shell patterns that people write for them.

Owns the form of a path and what matches it. Pure.
"""

from __future__ import annotations

import re
from fnmatch import translate

ANY_DEPTH = "**"
_PART = re.compile(r"(?:&.|&$|[^/&])+")
MAX_PARTS = 64


class Pattern:
    """A pattern with one shell pattern for each part of a path; `**` is any number of parts.

    A walk down the tree carries the set of places in the pattern at which it may stand.
    """

    def __init__(self, text: str) -> None:
        """Compile `text`; empty stands for `*`. ValueError if it has too many parts."""
        parts = parts_of(text) or ["*"]
        if len(parts) > MAX_PARTS:
            raise ValueError(f"a pattern has at most {MAX_PARTS} parts")
        self._parts = parts
        self._matches = [re.compile(translate(part)).match for part in parts]

    def start(self) -> frozenset[int]:
        """Give where a walk stands before its first part."""
        return self._free({0})

    def step(self, places: frozenset[int], part: str) -> frozenset[int]:
        """Give where a walk may stand after one more part; empty if nothing can match below."""
        reached: set[int] = set()
        for place in places:
            if place == len(self._parts):
                continue
            if self._parts[place] == ANY_DEPTH:
                reached.add(place)
            elif self._matches[place](part):
                reached.add(place + 1)
        return self._free(reached)

    def complete(self, places: frozenset[int]) -> bool:
        """Whether a path that leads to `places` matches as a whole."""
        return len(self._parts) in places

    def names(self, places: frozenset[int], part: str) -> bool:
        """Whether the next part of the pattern is `part` to the letter."""
        return any(place < len(self._parts) and self._parts[place] == part for place in places)

    def goes_on(self, places: frozenset[int]) -> bool:
        """Whether anything below can match."""
        return any(place < len(self._parts) for place in places)

    def _free(self, places: set[int]) -> frozenset[int]:
        """Add the places behind a `**` that stands for no part at all."""
        out: set[int] = set()
        for place in places:
            out.add(place)
            while place < len(self._parts) and self._parts[place] == ANY_DEPTH:
                place += 1  # noqa: PLW2901 - walks on from each place
                out.add(place)
        return frozenset(out)


def parts_of(text: str) -> list[str]:
    """Split a path or a pattern; empty parts do not count."""
    return _PART.findall(text)


def path_part(browse_name: str) -> str:
    """Give a browse name as one part of a path: `/` is written `&/` (Part 4, Annex A.2)."""
    return browse_name.replace("&", "&&").replace("/", "&/")
