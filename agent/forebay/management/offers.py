"""What a fleet server says this box is to run: whether that is for this box, sound, and in time.

Pure, but for the file of what was seen: STATE/fleet/seen.json, durable before an offer is begun
with, so that an older state is told from a newer after any restart. Must not know the network, nor
how a configuration comes to run (`rollout`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from forebay._proto import fleet_pb2 as pb
from forebay.config.bundle import File, check_files, config_hash
from forebay.errors import FleetRefused, IdentityUnusable, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay.files import Disk

KIND = "desired-state"
MAX_STATE_BYTES = 1 << 20
MAX_SIGNATURES = 8
SEEN = "seen.json"
MAX_SEEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest state that was believed: its version, the hash of its payload, when it was made.

    `issued_ns` is the wall clock of the server, ns since 1970: it is at least as late now. It holds
    for one enrollment, `instance` (Identity.instance_uid in hex): another server counts anew.
    `begun` says that the rollout has had it.
    """

    version: int = 0
    payload: str = ""
    issued_ns: int = 0
    instance: str = ""
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """Whom states are for, whose signatures count (Ed25519, 32 bytes), what was seen already.

    `now_ns` is the wall clock, None while nobody vouches for it: then an end is held against the
    newest state's time alone.
    """

    gateway: str
    keys: Sequence[bytes]
    seen: Seen
    now_ns: int | None


class StateRefused(FleetRefused):
    """A state that this box does not take; `hash` and `offer_id` if they were readable."""

    def __init__(self, message: str, *, hint: str, code: str, state: pb.DesiredState) -> None:
        """Keep what it would have been."""
        super().__init__(message, hint=hint, code=code)
        self.hash, self.offer_id = bytes(state.config_hash[:32]), state.offer_id[:64]


def verify(signed: pb.Signed, expected: Expected) -> pb.DesiredState:
    """Give the state that `signed` holds, if this box is to believe it.

    Raises:
        StateRefused: it is of another kind, not signed by a known key, for another box, older than
            what was seen, at its end, or not sound.
    """
    state = pb.DesiredState()

    def no(code: str, message: str, hint: str) -> StateRefused:
        return StateRefused(message, hint=hint, code=code, state=state)

    if signed.kind != KIND or len(signed.payload) > MAX_STATE_BYTES:
        raise no("kind", "it is no desired state", "compare the versions of gateway and server")
    if not is_signed(signed, expected.keys):
        hint = "the server's signing key may have changed: `forebay fleet enroll` again"
        raise no("signature", "no key that this box knows has signed it", hint)
    try:
        state.ParseFromString(signed.payload)
    except DecodeError:
        raise no("kind", "it cannot be read", "compare the versions") from None
    if state.gateway != expected.gateway:
        raise no("gateway", f"it is for {state.gateway[:64]!r}", "look for a proxy that mixes")
    for fault in (_late(state, digest(signed), expected), _unsound(state)):
        if fault is not None:
            raise no(*fault)
    return state


def _late(state: pb.DesiredState, payload: str, expected: Expected) -> tuple[str, str, str] | None:
    """Say why a state comes too late: code, sentence, hint.

    The newest of those seen may come again beyond its end: it was taken in time.
    """
    seen = expected.seen
    if state.version < seen.version:
        text = f"it is a replay: version {state.version}, and {seen.version} was seen"
        return "replay", text, "was the server restored from a backup? push again"
    if state.version == seen.version:
        if payload == seen.payload:
            return None
        return "mixed", f"there are two of version {state.version}", "push again"
    # What a server's clock once said does not go before a clock that somebody vouches for.
    now_ns = expected.now_ns
    if now_ns is None:
        now_ns = max(seen.issued_ns, state.issued_ns)
    if state.expires_ns <= now_ns:
        return "expired", "it has expired", "push again; compare the clocks if it is new"
    return None


def _unsound(state: pb.DesiredState) -> tuple[str, str, str] | None:
    """Say why a state cannot be: code, sentence, hint."""
    files = files_of(state)
    if not files:
        return None
    try:
        check_files(files)
    except RequestInvalid as error:
        return "files", str(error), error.hint
    if config_hash(files) != state.config_hash:
        return "files", "its hash is not that of its files", "compare the versions"
    return None


def files_of(state: pb.DesiredState) -> tuple[File, ...]:
    """Give the files of a state."""
    return tuple(File(one.path, one.sha256, one.size_bytes) for one in state.files)


def state_of(signed: pb.Signed) -> pb.DesiredState:
    """Give what a state says of itself, believed or not; an empty one if it cannot be read."""
    state = pb.DesiredState()
    with contextlib.suppress(DecodeError):
        state.ParseFromString(signed.payload[:MAX_STATE_BYTES])
    return state


def digest(signed: pb.Signed) -> str:
    """Give what tells one payload from another."""
    return hashlib.sha256(signed.payload).hexdigest()


def is_signed(signed: pb.Signed, keys: Sequence[bytes]) -> bool:
    """Whether one of `keys` (Ed25519, 32 bytes each) has signed it, for its kind."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ed25519

    message = b"forebay " + signed.kind.encode() + b" v1\0" + signed.payload
    by_id = {hashlib.sha256(key).digest()[:8]: key for key in keys}
    for one in signed.signatures[:MAX_SIGNATURES]:
        key = by_id.get(one.key_id)
        if key is not None:
            with contextlib.suppress(InvalidSignature, ValueError):
                ed25519.Ed25519PublicKey.from_public_bytes(key).verify(one.signature, message)
                return True
    return False


def read_seen(folder: Path, disk: Disk, instance: str) -> Seen:
    """Give what was seen since this enrollment, nothing if that is no state.

    Raises:
        IdentityUnusable: it cannot be read.
    """
    path = folder / SEEN
    try:
        found = json.loads(disk.read_bytes(path, MAX_SEEN_BYTES))
        seen = Seen(
            int(found["version"]),
            str(found["payload"]),
            int(found["issued_ns"]),
            str(found["instance"]),
            bool(found.get("begun")),
        )
    except FileNotFoundError:
        return Seen(instance=instance)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "enroll anew; until then nothing is taken from the server"
        raise IdentityUnusable(f"{path}: {error}", hint=hint) from None
    return seen if seen.instance == instance else Seen(instance=instance)


def write_seen(folder: Path, disk: Disk, seen: Seen) -> None:
    """Keep it durably. Raises IdentityUnusable."""
    path = folder / SEEN
    temporary = path.with_name(SEEN + ".new")
    try:
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(temporary)
        file = disk.open(temporary, create=True, private=True)
        try:
            file.pwrite([json.dumps(asdict(seen)).encode()], 0)
            file.datasync()
        finally:
            file.close()
        disk.rename(temporary, path)
        disk.sync_dir(folder)
    except OSError as error:
        raise IdentityUnusable(f"{path}: {error.strerror}", hint="check the disk") from error
