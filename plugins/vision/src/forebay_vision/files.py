"""Files from their pieces, which come one at a time, perhaps twice, and over restarts.

Owns what is kept of files that are not whole yet: in the plugin's state directory, with limits. A
file is given when its SHA-256 is right. Must not know pictures.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

MAX_OPEN = 16
"""Files that may be in the making at once; the one that began first gives way."""
MAX_KNOWN = 1024
_ID = re.compile(r"[0-9a-f]{32}")


class Piece(NamedTuple):
    """One piece, as the driver `folder` gives it."""

    file: str
    id: str
    sha256: str
    offset: int
    total: int
    data: bytes


class Unusable(ValueError):
    """A piece or file that nothing can be made of."""


class Shelf:
    """Files in the making."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        """Keep pieces below `directory`; no file may be larger than `max_bytes`."""
        self._directory, self._max_bytes = directory / "pieces", max_bytes
        self._directory.mkdir(parents=True, exist_ok=True)
        self._done: deque[str] = deque(maxlen=MAX_KNOWN)

    def put(self, piece: Piece) -> bytes | None:
        """Take a piece; give the file if it is whole with it and was not given lately, else None.

        Raises:
            Unusable: the file is too large, its pieces do not fit, or its digest is wrong.
        """
        if piece.total > self._max_bytes:
            raise Unusable(f"{piece.file} has {piece.total} bytes; settings.max_bytes is less")
        if not _ID.fullmatch(piece.id) or piece.offset + len(piece.data) > piece.total:
            raise Unusable(f"a piece of {piece.file} is none")
        if piece.id in self._done:
            return None
        content = piece.data if len(piece.data) == piece.total else self._collect(piece)
        if content is None:
            return None
        self._done.append(piece.id)
        if hashlib.sha256(content).hexdigest() != piece.sha256:
            raise Unusable(f"{piece.file} is damaged: its digest is another")
        return content

    def _collect(self, piece: Piece) -> bytes | None:
        path = self._directory / piece.id
        if not path.exists():
            self._make_room()
            path.mkdir()
        part = path / f"{piece.offset:015d}"
        beside = part.with_suffix(".new")
        beside.write_bytes(piece.data)
        beside.replace(part)
        parts = sorted(one for one in path.iterdir() if not one.suffix)
        at = 0
        for one in parts:
            if int(one.name) != at:
                return None
            at += one.stat().st_size
        if at < piece.total:
            return None
        content = b"".join(one.read_bytes() for one in parts)
        _remove(path)
        return content

    def _make_room(self) -> None:
        waiting = sorted(self._directory.iterdir(), key=lambda one: one.stat().st_mtime_ns)
        for path in waiting[: max(0, len(waiting) - MAX_OPEN + 1)]:
            _remove(path)


def _remove(path: Path) -> None:
    for one in path.iterdir():
        one.unlink()
    path.rmdir()
