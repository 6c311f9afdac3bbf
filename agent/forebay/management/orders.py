"""Whether a command is for this box, and what was done with those before it.

Owns `STATE/fleet/commands/`: a file for each command that was begun, with its result once there is
one, and `floor`: no command that ends by then is taken any more. Files are replaced by one rename,
so that a power cut leaves the one before or the one after. Must not know what commands do, nor how
they come.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetRefused
from forebay.management.offers import digest, is_signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from forebay.files import Disk

KIND = "command"
FOLDER, FLOOR = "commands", "floor"
DAY_NS = 86_400 * 10**9
MAX_COMMAND_BYTES, MAX_FILE_BYTES = 256 << 10, 4 << 20
MAX_KEPT = 1_000
"""Commands that are remembered; with so many whose time is not over, no other is taken."""
_ID = re.compile(r"[A-Za-z0-9-]{16,64}")
_ISSUER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CommandDropped(FleetRefused):
    """A command of which this box takes no note: nothing is done, no result is reported."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One command that was begun; `result` is a CommandResult, None while nobody knows.

    `payload` is the SHA-256 of what was signed, in hex; `not_after_ns` the wall clock, since 1970.
    """

    id: str
    payload: str
    not_after_ns: int
    result: bytes | None = None
    accepted: bool = False


def verify(signed: pb.Signed, gateway: str, keys: Sequence[bytes]) -> pb.Command:
    """Give the command in `signed`. Raises CommandDropped, with a `code` as of desired states."""
    if signed.kind != KIND or len(signed.payload) > MAX_COMMAND_BYTES:
        raise CommandDropped("it is no command", hint="compare the versions", code="kind")
    if not is_signed(signed, keys):
        hint = "the server's signing key may have changed: `forebay fleet enroll` again"
        raise CommandDropped(
            "no key that this box knows has signed it", hint=hint, code="signature"
        )
    command = pb.Command()
    try:
        command.ParseFromString(signed.payload)
    except DecodeError:
        raise CommandDropped(
            "it cannot be read", hint="compare the versions", code="kind"
        ) from None
    if command.gateway != gateway:
        text = f"it is for {command.gateway[:64]!r}"
        raise CommandDropped(text, hint="look for a proxy that mixes", code="gateway")
    if not _ID.fullmatch(command.id) or not _ISSUER.fullmatch(command.issuer):
        hint = "ids have 16 to 64 of A-Z a-z 0-9 -, issuers 1 to 64 of A-Z a-z 0-9 _ -"
        raise CommandDropped("its id or issuer is not sound", hint=hint, code="form")
    return command


class Orders:
    """The commands that this box knows. Calls block; one after the other."""

    def __init__(self, folder: Path, disk: Disk, now_ns: int) -> None:
        """Read what there is; a damaged file is a command of which nobody knows the end.

        Where the floor is damaged nothing is taken that was issued up to `now_ns`, the wall clock:
        for a day. Raises OSError.
        """
        self._folder, self._disk = folder, disk
        self._entries: dict[str, Entry] = {}
        self._floor_ns = 0
        disk.makedirs(folder)
        for name in disk.listdir(folder):
            if name == FLOOR:
                floor_ns = _number(disk.read_bytes(folder / name, 64))
                if floor_ns is None:  # nothing that was issued until now is taken, new or old
                    floor_ns = now_ns + DAY_NS
                    disk.write_atomic(folder / FLOOR, str(floor_ns).encode())
                self._floor_ns = floor_ns
            elif _ID.fullmatch(name):
                data = disk.read_bytes(folder / name, MAX_FILE_BYTES)
                self._entries[name] = _entry(name, data, now_ns + DAY_NS)

    def get(self, id_: str) -> Entry | None:
        """Give what is known of a command."""
        return self._entries.get(id_)

    def entries(self) -> Iterable[Entry]:
        """Give all, in the order in which they began here; those of earlier runs first."""
        return tuple(self._entries.values())

    def begin(self, entry: Entry) -> Entry | None:
        """Remember durably that a command is begun; None: now it may be executed, once.

        Gives what is known of it if it was begun before. Raises CommandDropped if it must not be
        begun, OSError if it cannot be.
        """
        known = self._entries.get(entry.id)
        if known is not None:
            if known.payload not in {entry.payload, ""}:
                raise CommandDropped("there are two of its id", hint="send it anew", code="mixed")
            return known
        if entry.not_after_ns <= self._floor_ns:
            text = "its time was over before others that are forgotten by now"
            raise CommandDropped(text, hint="send it anew", code="replay")
        if len(self._entries) >= MAX_KEPT:
            text = f"{MAX_KEPT} commands are remembered, and the time of none is over"
            raise CommandDropped(text, hint="wait until the oldest have expired", code="busy")
        self._write(entry)
        return None

    def note(self, id_: str, result: pb.CommandResult) -> None:
        """Remember durably how a command ended. Raises OSError."""
        made = replace(self._entries[id_], result=result.SerializeToString())
        self._entries[id_] = made  # it is told, even where the disk takes nothing
        self._write(made)

    def accept(self, id_: str) -> None:
        """Remember that the server has the result. Raises OSError."""
        known = self._entries.get(id_)
        if known is not None and known.result is not None and not known.accepted:
            self._write(replace(known, accepted=True))

    def tell_again(self, id_: str) -> None:
        """Have a result told once more: the server has lost it, or would not ask."""
        known = self._entries.get(id_)
        if known is not None and known.accepted:
            self._entries[id_] = replace(known, accepted=False)

    def forget(self, now_ns: int) -> None:
        """Let go of commands whose time was over a day ago. Raises OSError.

        The floor is durable first, so that none of them is ever taken for new, whatever the clock.
        """
        gone = [e for e in self._entries.values() if e.not_after_ns + DAY_NS < now_ns]
        if not gone:
            return
        floor_ns = max(self._floor_ns, *(entry.not_after_ns for entry in gone))
        self._disk.write_atomic(self._folder / FLOOR, str(floor_ns).encode())
        self._floor_ns = floor_ns
        for entry in gone:
            self._disk.unlink(self._folder / entry.id)
            del self._entries[entry.id]

    def _write(self, entry: Entry) -> None:
        result = None if entry.result is None else base64.b64encode(entry.result).decode()
        told = [entry.payload, entry.not_after_ns, result, entry.accepted]
        self._disk.write_atomic(self._folder / entry.id, json.dumps(told).encode())
        self._entries[entry.id] = entry


def made(command: pb.Command, signed: pb.Signed) -> Entry:
    """Give the entry of a command that is to begin."""
    return Entry(command.id, digest(signed), command.not_after_ns)


def _entry(name: str, data: bytes, latest_ns: int) -> Entry:
    """Give what the file says; a damaged one is of a command that ends at the latest then."""
    try:
        payload, not_after_ns, result, accepted = json.loads(data)
        known = None if result is None else base64.b64decode(result)
        return Entry(name, str(payload), int(not_after_ns), known, bool(accepted))
    except (ValueError, TypeError):
        return Entry(name, "", latest_ns)


def _number(data: bytes) -> int | None:
    """Give the floor, None if it is damaged."""
    try:
        return int(data)
    except ValueError:
        return None
