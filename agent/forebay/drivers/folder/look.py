"""Which of the files in a folder may be taken now.

Owns the rules for half-written files and for what is no file. Pure. Must not know how a folder is
looked at, nor what was taken before.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay.drivers.folder.config import FolderSettings
    from forebay.files import Seen


class Signature(NamedTuple):
    """What tells a file's state from another one without reading it."""

    size_bytes: int
    mtime_ns: int
    inode: int


class Ripe(NamedTuple):
    """A file that may be taken."""

    name: str
    signature: Signature


class Watch:
    """Since when each file has looked as it looks now."""

    def __init__(self, settings: FolderSettings) -> None:
        """Know no file yet."""
        self._settings = settings
        self._since: dict[str, tuple[Signature, float]] = {}

    def look(self, seen: Sequence[Seen], now_s: float) -> list[Ripe]:
        """Give what has not changed for `settle`, the oldest first; `now_s` is monotonic.

        Two looks at least, even where `settle` is 0: what is seen for the first time may grow.
        """
        names = {one.name for one in seen}
        since: dict[str, tuple[Signature, float]] = {}
        ripe = []
        for one in seen:
            if not one.regular or not self._wanted(one.name, names):
                continue
            signature = Signature(one.size_bytes, one.mtime_ns, one.inode)
            known = self._since.get(one.name)
            if known is None or known[0] != signature:
                since[one.name] = (signature, now_s)
                continue
            since[one.name] = known
            if now_s - known[1] >= self._settings.settle:
                ripe.append(Ripe(one.name, signature))
        self._since = since
        ripe.sort(key=lambda one: (one.signature.mtime_ns, one.name))
        return ripe

    def strange(self, seen: Iterable[Seen]) -> list[str]:
        """Give the names of what is wanted by its name, and is a link, a pipe, a device or such."""
        return [one.name for one in seen if one.strange and self._named(one.name)]

    def _wanted(self, name: str, names: set[str]) -> bool:
        marker = self._settings.marker
        if marker and (name.endswith(marker) or name + marker not in names):
            return False
        return self._named(name)

    def _named(self, name: str) -> bool:
        settings = self._settings
        return any(fnmatchcase(name, pattern) for pattern in settings.files) and not any(
            fnmatchcase(name, pattern) for pattern in settings.ignore
        )


def is_table(name: str, settings: FolderSettings) -> bool:
    """Whether a file is read as rows, if there are tags."""
    return any(fnmatchcase(name, pattern) for pattern in settings.tables)


def shown(name: str) -> str:
    r"""Give a name as text that every system takes: bytes that are no UTF-8 stand as `\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
