"""What `verify` looks at beside the segments: tip, cursors, quarantine, and what does not belong.

Owns the list of names that a journal directory may hold. Must not know segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.journal import ballast, cursor_file, owner, places, quarantine, scrub, tip
from forebay.journal.record import sha256
from forebay.journal.segment import parse_name
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forebay.journal.ledger import Place
    from forebay.journal.offline import OfflineJournal

KNOWN = frozenset(
    {
        owner.LOCK,
        owner.NAME,
        tip.NAME,
        ballast.NAME,
        "budgets",
        "cursors",
        "quarantine",
        "scrub.json",
        "manifest.json",
        *Stream,
    }
)


def tips(journal: OfflineJournal) -> tuple[Mapping[Stream, tip.Tip], str]:
    """Give the last position of each stream as the tip file has it, and what is wrong with it.

    Nothing for both if there is no such file.
    """
    if tip.NAME not in journal.names(""):
        return {}, ""
    data = journal.read_bytes(journal.directory / tip.NAME, tip.FILE_BYTES + 1) or b""
    slots = [data[at : at + tip.SLOT_BYTES] for at in tip.SLOT_OFFSETS]
    found = [tip.decode(slot) for slot in slots]
    newest = max((one for one in found if one), key=lambda one: one.number, default=None)
    word = ""
    if any(one is None and slot.strip(b"\0") for one, slot in zip(found, slots, strict=True)):
        word = "one of its two copies is damaged"
    elif len(data) != tip.FILE_BYTES or any(_beside(data)):
        word = "it has bytes that are not zero; nothing is lost by it"
    return newest.streams if newest else {}, word


def _beside(data: bytes) -> bytes:
    """Give what a tip file holds beside its two slots."""
    out, at = b"", 0
    for begin in tip.SLOT_OFFSETS:
        out, at = out + data[at:begin], begin + tip.SLOT_BYTES
    return out + data[at:]


def furthest(journal: OfflineJournal) -> Mapping[Stream, Place]:
    """Give how far the furthest consumer of each stream is.

    Nothing if a cursor is damaged, or if these are segments that were exported without them.
    """
    if "manifest.json" in journal.names(""):
        return {}
    names = [name for name in journal.names("cursors") if name.endswith(".json")]
    try:
        found = [
            cursor_file.parse(_read(journal, f"cursors/{name}", cursor_file.FILE_BYTES_MAX))
            for name in names
        ]
    except ValueError:
        return {}
    return places.furthest(found)


def problems(journal: OfflineJournal) -> Iterator[tuple[str, str]]:
    """Give what is damaged: a path within the directory, and what is wrong there."""
    for name in journal.names("cursors"):
        path = f"cursors/{name}"
        if name.endswith(".json") and not cursor_file.intact(
            _read(journal, path, cursor_file.FILE_BYTES_MAX)
        ):
            yield path, "it is damaged: this destination will be asked how far it is"
    for uplink in journal.names("quarantine"):
        for name in journal.names(f"quarantine/{uplink}"):
            path = f"quarantine/{uplink}/{name}"
            if name.endswith(".rec") and not _intact_copy(
                name, _read(journal, path, quarantine.MAX_FILE_BYTES)
            ):
                yield path, "it is damaged: it can be neither read nor sent"
    there = journal.names("")
    if ballast.NAME in there and _read(journal, ballast.NAME, ballast.BALLAST_BYTES_MOST).strip(
        b"\0"
    ):
        yield ballast.NAME, "it does not read as zeros; nothing is lost by it"
    if owner.NAME in there and not owner.decode(_read(journal, owner.NAME, owner.OWNER_BYTES_MAX)):
        yield owner.NAME, "it is damaged: the next gateway to start takes the journal for its own"
    if "scrub.json" in there and not scrub.decode(
        _read(journal, "scrub.json", scrub.STATE_BYTES_MAX)
    ):
        yield "scrub.json", "it is damaged: the scrub will begin anew"


def _read(journal: OfflineJournal, path: str, limit: int) -> bytes:
    """Give a file's content, nothing where it cannot be read."""
    return journal.read_bytes(journal.directory / path, limit) or b""


def notes(journal: OfflineJournal) -> Iterator[tuple[str, str]]:
    """Give what a person may want to know of."""
    for name in journal.names(""):
        if name not in KNOWN and not name.endswith(".new"):
            yield name, "it does not belong to the journal"
    for stream in Stream:
        before, names = journal.files(stream.value), journal.names(stream.value)
        files = {*before, *journal.files(stream.value)}  # segments come and go meanwhile
        for name in names:
            if name not in files:
                yield f"{stream.value}/{name}", "it is no file; nothing looks into it"
            elif name.endswith(".bad"):
                yield f"{stream.value}/{name}", "no record in it could be read; kept for people"
            elif parse_name(name.removesuffix(".new")) is None:
                yield f"{stream.value}/{name}", "it does not belong to the journal"


def _intact_copy(name: str, data: bytes) -> bool:
    """Whether a quarantined record is there to the last byte, under its own name."""
    found = quarantine.decode(data)
    if found is None:
        return False
    record, _ = found
    stream, epoch, seq = record.position
    named = name == f"{stream.value}-{epoch:016x}-{seq:016x}.rec"
    return named and (record.revision > 0 or sha256(record.payload) == record.hash)
