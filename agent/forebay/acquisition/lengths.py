"""How long a request may be where a device takes only shorter ones than its limits say. Pure.

Owns what lengths that were answered or refused tell together. Must not know tags or blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class Length(NamedTuple):
    """What is known of the longest request of one area.

    One of `good` places is answered, one of `refused` places is not. What lies between is tried.
    """

    good: int
    refused: int

    @property
    def most(self) -> int:
        """The longest request to make: in the middle while more than one length is open."""
        return (self.good + self.refused) // 2

    @property
    def open(self) -> bool:
        """Whether the longest is not known to the place."""
        return self.refused - self.good > 1

    def narrowed(self, answered: int, refused: Iterable[int], *, unhindered: bool) -> Length:
        """Give what is known after a scan whose longest answered request had `answered` places.

        `refused` are the lengths that were refused. Those that are no longer than an answered one
        were refused for another reason. `unhindered` says that no such reason kept requests shorter
        than allowed: then a scan without a refusal shows that `most` is harmless.
        """
        good = max(self.good, answered)
        told = [length for length in refused if length > good]
        if unhindered and not told:
            good = max(good, self.most)
        return Length(good, max(good + 1, min([self.refused, *told])))


class Answered:
    """The lengths of one scan, by area, together with those that are known."""

    def __init__(self, known: Mapping[str, Length]) -> None:
        """Begin a scan."""
        self.lengths = dict(known)
        self._longest: dict[str, int] = {}
        self._refused: dict[str, list[int]] = {}

    def good(self, area: str, count: int) -> None:
        """Note that a request of `count` places was answered."""
        self._longest[area] = max(count, self._longest.get(area, 0))

    def bad(self, area: str, count: int) -> None:
        """Note that one for several units was refused for good."""
        self._refused.setdefault(area, []).append(count)

    def longest(self, area: str) -> int:
        """Give the longest request of `area` that is known to be answered, 0 for none."""
        known = self.lengths.get(area)
        return max(self._longest.get(area, 0), known.good if known else 0)

    def too_long(self, area: str, count: int) -> bool:
        """Whether the length alone is held to be why a request of `count` places was refused."""
        return area in self.lengths and count > self.longest(area)

    def narrow(self, hindered: Collection[str]) -> None:
        """Narrow every known length by this scan; `hindered` are areas with searches of units."""
        for area, known in self.lengths.items():
            refused = self._refused.get(area, [])
            self.lengths[area] = known.narrowed(
                self._longest.get(area, 0), refused, unhindered=area not in hindered
            )

    def suspect(self, area: str, reach: int) -> None:
        """Hold the length to be why a request of `reach` places was refused, all of it good."""
        known, good = self.lengths.get(area), self.longest(area)
        self.lengths[area] = Length(good, reach if known is None else min(known.refused, reach))
