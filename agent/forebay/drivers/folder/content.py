"""The bytes of one file, whole and as it was when it was found, or an error.

Owns reading; every call blocks. Must not know what becomes of the bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from forebay.drivers.folder.look import Signature

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from forebay.files import Folders

_READ_BYTES = 1 << 20


class Changed(OSError):
    """The file is not what it was: somebody still writes it, or took it away."""


class Content:
    """One file, open."""

    def __init__(self, folders: Folders, path: Path, signature: Signature) -> None:
        """Open it. OSError if it cannot be read; Changed if it is another one already."""
        self._folders, self._path, self._signature = folders, path, signature
        self._file = folders.open_regular(path)
        try:
            self.check()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._file.close()

    def check(self) -> None:
        """Raise Changed unless the file is as it was found."""
        seen = self._folders.seen(self._path)
        found = Signature(seen.size_bytes, seen.mtime_ns, seen.inode)
        if found != self._signature or self._file.size() != found.size_bytes:
            raise Changed("it changed while it was read")

    def sha256(self) -> str:
        """Give the digest of all of it, in hexadecimal."""
        digest, offset = hashlib.sha256(), 0
        while offset < self._signature.size_bytes:
            data = self.read(offset, _READ_BYTES)
            digest.update(data)
            offset += len(data)
        self.check()
        return digest.hexdigest()

    def read(self, offset: int, most: int) -> bytes:
        """Give `most` bytes from `offset`, fewer at the end only."""
        size = min(most, self._signature.size_bytes - offset)
        data = self._file.pread(size, offset)
        if len(data) != size:
            raise Changed("it became shorter while it was read")
        return data
