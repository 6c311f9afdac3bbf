"""Configurations on disk: each whole before anything names it, and one file that says which runs.

Owns STATE/config:

    book.json       what runs, what is on trial, history (`management.book`); replaced by one rename
    committed.json  the number of the generation that proved itself last: a second witness, read
                    only where book.json is damaged
    gen-N/          the files of one configuration, mode 0600, and manifest.json, which is written
                    last and says the hash of each
    current         a symbolic link to what runs, for the paths that running parts keep; whatever it
                    says, book.json is what counts

A change is true once book.json is replaced, and everything else follows from it: so a power cut at
any point leaves what was before or what comes after. All calls block. Must not know what a
configuration means, nor when one is good.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from forebay.config.bundle import MAIN, MAX_FILE_BYTES, File, config_hash
from forebay.errors import GenerationDamaged
from forebay.management import book as books
from forebay.management.book import FILE, Book

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from forebay.files import Disk

FOLDER = "config"
BOOK, COMMITTED, MANIFEST, CURRENT = "book.json", "committed.json", "manifest.json", "current"
MAX_BOOK_BYTES = 16 << 20
Known = Mapping[bytes, Sequence[tuple[int, File]]]
_GENERATION = re.compile(r"gen-([1-9][0-9]{0,9})")
_HINT = "roll on with `forebay config apply FILE`, and check the disk"


class Generations:
    """The configurations of one box."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        """Touch nothing; `folder` is STATE/config."""
        self.folder, self._disk = folder, disk

    def read(self) -> Book:
        """Give the book; of a damaged one what is left of it: what runs, and no history.

        Raises OSError.
        """
        try:
            data = self._disk.read_bytes(self.folder / BOOK, MAX_BOOK_BYTES)
        except FileNotFoundError:
            return Book()
        try:
            return books.decode(data)
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._rebuilt()

    def _rebuilt(self) -> Book:
        """Give a book from the second witness and what lies on disk."""
        number = FILE
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = self._disk.read_bytes(self.folder / COMMITTED, MAX_BOOK_BYTES)
            number = int(json.loads(data)["generation"])
        there = dict(self._there())
        kept = {
            found: books.Kept(config_hash(files).hex(), "", proved=found == number)
            for found, files in there.items()
        }
        running = number if number in there else FILE
        return Book(running=running, next=max(self._numbers(), default=0) + 1, kept=kept)

    def write(self, book: Book) -> None:
        """Make `book` true, durably; then let `current` and the second witness follow.

        Raises OSError: the book before is still true, or this one is.
        """
        self._disk.makedirs(self.folder)
        self._disk.write_atomic(self.folder / BOOK, books.encode(book))
        self.follow(book)

    def follow(self, book: Book) -> None:
        """Let all else say what `book` says. Raises OSError."""
        if book.running != FILE and self._disk.pointed(self.folder / CURRENT) != _name(
            book.running
        ):
            self._disk.point(self.folder / CURRENT, _name(book.running))
        if book.trial is None and self._witness() != book.running:
            data = json.dumps({"generation": book.running}).encode()
            self._disk.write_atomic(self.folder / COMMITTED, data)

    def _witness(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = self._disk.read_bytes(self.folder / COMMITTED, MAX_BOOK_BYTES)
            return int(json.loads(data)["generation"])
        return None

    def main(self, number: int) -> Path:
        """Give the main file of a generation: through `current`, if that leads there."""
        if self._disk.pointed(self.folder / CURRENT) == _name(number):
            return self.folder / CURRENT / MAIN
        return self.place(number) / MAIN

    def place(self, number: int) -> Path:
        """Give the directory of a generation."""
        return self.folder / _name(number)

    # --- One generation ------------------------------------------------------------------------

    def begin(self, number: int, files: Iterable[File] = ()) -> set[str]:
        """Make the directory of a new generation; give the paths of `files` that are there whole.

        Of what an attempt before has left there, nothing else stays. Raises OSError.
        """
        place, wanted = self.place(number), {file.path: file for file in files}
        if not self._disk.exists(place):
            self._disk.makedirs(place)
            return set()
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(place / MANIFEST)
        return self._weeded(number, place, wanted)

    def _weeded(self, number: int, folder: Path, wanted: Mapping[str, File]) -> set[str]:
        """Remove from a directory what is not `wanted`, or not whole; give what stays."""
        stays: set[str] = set()
        files = set(self._disk.files(folder))
        for name in files:
            file = wanted.get((folder / name).relative_to(self.place(number)).as_posix())
            if file is not None and self._whole(number, file):
                stays.add(file.path)
            else:
                self._disk.unlink(folder / name)
        for name in set(self._disk.listdir(folder)) - files:
            stays |= self._weeded(number, folder / name, wanted)
            if not self._disk.listdir(folder / name):
                self._disk.rmdir(folder / name)
        return stays

    def _whole(self, number: int, file: File) -> bool:
        try:
            self.content(number, file)
        except GenerationDamaged:
            return False
        return True

    def put(self, number: int, file: File, content: bytes) -> None:
        """Write one of its files, durably but for its name. Raises OSError."""
        path = self.place(number) / file.path
        self._disk.makedirs(path.parent)
        self._create(path, content)

    def seal(self, number: int, files: tuple[File, ...]) -> None:
        """Make a generation whole: names, and what it consists of. Raises OSError."""
        place = self.place(number)
        entries = [[file.path, file.sha256.hex(), file.size_bytes] for file in files]
        for folder in sorted({(place / file.path).parent for file in files} | {place}):
            self._disk.sync_dir(folder)
        body = json.dumps({"version": books.VERSION, "files": entries}).encode()
        self._create(place / (MANIFEST + ".new"), body)
        self._disk.rename(place / (MANIFEST + ".new"), place / MANIFEST)
        self._disk.sync_dir(place)
        self._disk.sync_dir(self.folder)

    def _create(self, path: Path, content: bytes) -> None:
        file = self._disk.open(path, create=True, private=True)
        try:
            file.pwrite([content], 0)
            file.datasync()
        finally:
            file.close()

    def files(self, number: int) -> tuple[File, ...]:
        """Give what a generation consists of.

        Raises:
            GenerationDamaged: it is not there, or was never whole.
        """
        path = self.place(number) / MANIFEST
        try:
            inner = json.loads(self._disk.read_bytes(path, MAX_BOOK_BYTES))
            return tuple(
                File(name, bytes.fromhex(digest), size) for name, digest, size in inner["files"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GenerationDamaged(
                f"generation {number} of the configuration is not whole: {error}", hint=_HINT
            ) from error

    def content(self, number: int, file: File) -> bytes:
        """Give one of its files.

        Raises:
            GenerationDamaged: it is not what it was.
        """
        try:
            data = self._disk.read_bytes(self.place(number) / file.path, MAX_FILE_BYTES + 1)
        except OSError as error:
            raise GenerationDamaged(
                f"{file.path} of generation {number} cannot be read: {error.strerror}", hint=_HINT
            ) from error
        if hashlib.sha256(data).digest() != file.sha256:
            raise GenerationDamaged(
                f"{file.path} of generation {number} is not what it was", hint=_HINT
            )
        return data

    def check(self, number: int) -> bytes:
        """Read all of a generation, and give its hash. Raises GenerationDamaged."""
        files = self.files(number)
        for file in files:
            self.content(number, file)
        return config_hash(files)

    def known(self) -> Known:
        """Give where each content is, by its SHA-256; the newest generation first."""
        found: dict[bytes, list[tuple[int, File]]] = {}
        for number, files in self._there():
            for file in files:
                found.setdefault(file.sha256, []).append((number, file))
        return found

    def find(self, known: Known, wanted: bytes) -> bytes | None:
        """Give the content with this SHA-256; None if no generation has it, or not any more."""
        for number, file in known.get(wanted, ()):
            with contextlib.suppress(GenerationDamaged):
                return self.content(number, file)
        return None

    def prune(self, book: Book) -> None:
        """Remove every generation that the book does not keep. Raises OSError.

        What `current` leads to stays: running parts may read there, though the file runs. So does
        what is still being made: its number is the next.
        """
        stays = {*book.kept, book.running}
        pointed = self._disk.pointed(self.folder / CURRENT)
        for number in self._numbers():
            if number < book.next and number not in stays and _name(number) != pointed:
                self._remove(self.place(number))
                self._disk.sync_dir(self.folder)

    def _remove(self, folder: Path) -> None:
        """Remove a directory; the manifest first, so that half of it is never taken for whole."""
        files = set(self._disk.files(folder))
        for name in sorted(files, key=lambda one: one != MANIFEST):
            self._disk.unlink(folder / name)
        self._disk.sync_dir(folder)
        for name in self._disk.listdir(folder):
            self._remove(folder / name)
        self._disk.rmdir(folder)

    def _numbers(self) -> list[int]:
        try:
            names = self._disk.listdir(self.folder)
        except OSError:
            return []
        return sorted(int(found[1]) for name in names if (found := _GENERATION.fullmatch(name)))

    def _there(self) -> Iterator[tuple[int, tuple[File, ...]]]:
        """Give every whole generation with its files, newest first."""
        for number in reversed(self._numbers()):
            with contextlib.suppress(GenerationDamaged):
                yield number, self.files(number)


def _name(number: int) -> str:
    return f"gen-{number}"
