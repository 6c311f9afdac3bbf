"""The online half: what the server gives boxes, in DATA/artifacts.

    metadata/N.root.json, N.targets.json    signed by people, copied as they are
    metadata/N.snapshot.json, timestamp.json    signed by the server's key, renewed before their end
    targets/SHA256    the archives
    online.key        the server's key, Ed25519

Owns these files. A lock keeps a publishing command and the renewing server apart. Blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from forebay_fleet.artifacts import keys
from forebay_fleet.artifacts.repository import Artifact, Repository, described, digest
from forebay_fleet.errors import StoreError, StoreFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner, SSlibKey

FOLDER, METADATA, TARGETS, KEY, LOCK = "artifacts", "metadata", "targets", "online.key", "lock"
TIMESTAMP_S, SNAPSHOT_S = 86_400.0, 7 * 86_400.0
"""How long the server's own signatures are good; each is renewed when half of that is over."""
FIRST_ROOT, TIMESTAMP_FILE = "1.root.json", "timestamp.json"
MAX_BYTES = 5 << 20
_SERVED = re.compile(r"(?:[1-9][0-9]{0,8}\.(?:root|targets|snapshot)|timestamp)\.json")


class _Made(NamedTuple):
    """What the server has signed at one time."""

    snapshot: Metadata[Any]
    timestamp: Metadata[Any]

    @property
    def name(self) -> str:
        """Of the snapshot's file."""
        return f"{self.snapshot.signed.version}.snapshot.json"


class Published:
    """What one data directory gives."""

    def __init__(self, data: Path) -> None:
        """Touch nothing."""
        self.home = data / FOLDER

    # --- for boxes --------------------------------------------------------------------------------

    def metadata(self, name: str) -> bytes | None:
        """Give a metadata file by its name, None if there is none of that name."""
        if not _SERVED.fullmatch(name):
            return None
        try:
            with (self.home / METADATA / name).open("rb") as file:
                return file.read(MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreFailed(f"{name}: {error.strerror}", hint="check the disk") from error

    def part(self, sha256: bytes, offset: int, size: int) -> tuple[int, bytes] | None:
        """Give the whole size and at most `size` bytes from `offset` of an archive."""
        try:
            with (self.home / TARGETS / sha256.hex()).open("rb") as file:
                whole = os.fstat(file.fileno()).st_size
                file.seek(min(offset, whole))
                return whole, file.read(size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreFailed(str(error.strerror), hint="check the disk") from error

    def target(self, sha256: bytes) -> Path:
        """Give where an archive lies."""
        return self.home / TARGETS / sha256.hex()

    def carried(self, until_ns: int) -> dict[str, bytes]:
        """Give all metadata by name, for a box without a line; the server's are good until then.

        Boxes with a line get newer ones that end as soon as ever. Raises StoreError, StoreFailed.
        """
        until = datetime.fromtimestamp(until_ns // 10**9, UTC)
        with self._locked():
            targets, root = self._newest(Targets), self._newest(Root)
            if targets is None or root is None:
                raise StoreError("nothing is published", hint="forebay-fleet artifacts publish")
            made = self._made(targets, _now(), until)
            # Newer ones before these leave: no version ever stands for two things.
            self._put(self._made(targets, _now(), after=made))
            names = [f"{number}.root.json" for number in range(1, root.signed.version + 1)]
            names.append(f"{targets.signed.version}.targets.json")
            found = {name: self.metadata(name) for name in names}
        found |= {made.name: _bytes(made.snapshot), TIMESTAMP_FILE: _bytes(made.timestamp)}
        return {name: data for name, data in found.items() if data is not None}

    def root(self) -> bytes:
        """Give the first root, which a box trusts from its enrollment on; empty if there is none.

        Later ones it finds by the chain, which people signed.
        """
        return self.metadata(FIRST_ROOT) or b""

    def root_since_ns(self) -> int:
        """Give when the first root was published, since 1970; 0 if there is none."""
        try:
            return (self.home / METADATA / FIRST_ROOT).stat().st_mtime_ns
        except OSError:
            return 0

    def artifacts(self) -> list[Artifact]:
        """Give what is published, by path."""
        targets = self._newest(Targets)
        return described(targets.signed) if targets is not None else []

    def ending(self, within_s: float) -> dict[str, datetime]:
        """Give what people signed and ends within a time, or has ended: "root", "targets".

        From then on no box begins with a package. Raises StoreError, StoreFailed.
        """
        end, newest = _now() + timedelta(seconds=within_s), (Root, Targets)
        found = {kind.type: self._newest(kind) for kind in newest}
        return {
            name: one.signed.expires
            for name, one in found.items()
            if one is not None and one.signed.expires <= end
        }

    # --- by people --------------------------------------------------------------------------------

    def online(self) -> SSlibKey:
        """Give the server's public key; it is made the first time."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.home / KEY
        if not path.exists():
            with contextlib.suppress(UsageError):  # another command was first
                return keys.make(path, None)
        return self._signer().public_key

    def online_pem(self) -> bytes:
        """Give it as PEM, for who begins a repository."""
        self.online()
        return keys.pem(self.home / KEY)

    def publish(self, repository: Repository) -> list[Artifact]:
        """Give boxes what is signed in `repository`.

        Raises UsageError: it is not signed by enough, is older than what is published, does not
        follow from it, or an archive is not what it was.
        """
        root, targets = repository.signed()
        with self._locked():
            self._follows(repository, root, targets)
            for artifact in described(targets.signed):
                self._copy(repository.target(artifact), artifact)
            for version in range(1, root.signed.version + 1):
                one, name = repository.published(version), f"{version}.root.json"
                if one is not None and self.metadata(name) is None:
                    self._write(name, one.to_bytes(JSONSerializer()))
            version = targets.signed.version
            self._write(f"{version}.targets.json", targets.to_bytes(JSONSerializer()))
            self._renew(anew=True)
        return self.artifacts()

    def renew(self) -> bool:
        """Sign snapshot and timestamp anew where half of their time is over; say whether any was.

        Raises StoreError, StoreFailed.
        """
        if self._newest(Targets) is None:
            return False
        with self._locked():
            return self._renew(anew=False)

    def _follows(
        self, repository: Repository, root: Metadata[Root], targets: Metadata[Targets]
    ) -> None:
        """See that boxes that trust what is published can follow."""
        there = self._newest(Root)
        if there is not None:
            for version in range(there.signed.version, root.signed.version + 1):
                one = repository.published(version)
                if one is None or self._other(f"{version}.root.json", one):
                    hint = "publish from the repository that the first came from"
                    raise UsageError(f"root {version} is not the one that is published", hint=hint)
            if root.signed.version < there.signed.version:
                raise UsageError("a newer root is published", hint="use the newest repository")
        before = self._newest(Targets)
        newest = before.signed.version if before is not None else 0
        if targets.signed.version < newest or self._other(
            f"{targets.signed.version}.targets.json", targets
        ):
            raise UsageError(
                f"targets {targets.signed.version} do not follow {newest}",
                hint="use the newest copy of the repository",
            )
        if self.online().keyid not in root.signed.roles["timestamp"].keyids:
            hint = "forebay-fleet artifacts online, then init with that key"
            raise UsageError("the root names another server's key", hint=hint)

    def _other(self, name: str, metadata: Metadata[Any]) -> bool:
        """Whether something else is published under this name."""
        there = self.metadata(name)
        return there is not None and Metadata.from_bytes(there).signed != metadata.signed

    def _copy(self, source: Path, artifact: Artifact) -> None:
        target = self.home / TARGETS / artifact.sha256.hex()
        if target.exists():
            return
        try:
            if digest(source) != artifact.sha256:
                raise UsageError(f"{source} is not what was added", hint="add it anew")
            target.parent.mkdir(mode=0o700, exist_ok=True)
            fresh = target.with_name(target.name + ".new")
            shutil.copyfile(source, fresh)
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            fresh.replace(target)
            _flush(target.parent)
        except OSError as error:
            raise UsageError(
                f"{artifact.path}: {error.strerror}", hint="check both disks"
            ) from error

    # --- the server's own -------------------------------------------------------------------------

    def _renew(self, *, anew: bool) -> bool:
        now, targets = _now(), self._newest(Targets)
        assert targets is not None
        snapshot = self._newest(Snapshot)
        if anew or snapshot is None or _old(snapshot, now, SNAPSHOT_S):
            snapshot = None
        elif not _old(self._timestamp(), now, TIMESTAMP_S):
            return False
        self._put(self._made(targets, now, snapshot=snapshot))
        return True

    def _made(
        self,
        targets: Metadata[Any],
        now: datetime,
        until: datetime | None = None,
        *,
        snapshot: Metadata[Any] | None = None,
        after: _Made | None = None,
    ) -> _Made:
        """Sign a timestamp, and a snapshot where none is given, newer than all there are.

        They are good until `until`, else as long as ever.
        """
        signer = self._signer()
        if snapshot is None:
            before = after.snapshot if after is not None else self._newest(Snapshot)
            snapshot = Metadata(
                Snapshot(
                    version=_next(before, now),
                    expires=until or now + timedelta(seconds=SNAPSHOT_S),
                    meta={"targets.json": MetaFile(version=targets.signed.version)},
                )
            )
            snapshot.sign(signer)
        last = after.timestamp if after is not None else self._timestamp()
        timestamp = Metadata(
            Timestamp(
                version=_next(last, now),
                expires=until or now + timedelta(seconds=TIMESTAMP_S),
                snapshot_meta=MetaFile(version=snapshot.signed.version),
            )
        )
        timestamp.sign(signer)
        return _Made(snapshot, timestamp)

    def _put(self, made: _Made) -> None:
        self._write(made.name, _bytes(made.snapshot))
        self._write(TIMESTAMP_FILE, _bytes(made.timestamp))

    def _signer(self) -> CryptoSigner:
        try:
            return keys.signer(self.home / KEY, None)
        except UsageError as error:
            raise StoreError(str(error), hint="restore artifacts/online.key") from error

    def _timestamp(self) -> Metadata[Timestamp] | None:
        data = self.metadata(TIMESTAMP_FILE)
        return Metadata[Timestamp].from_bytes(data) if data is not None else None

    def _newest(self, kind: type[Any]) -> Metadata[Any] | None:
        """Give the newest of root, targets or snapshot."""
        try:
            names = [path.name for path in (self.home / METADATA).iterdir()]
        except FileNotFoundError:
            return None
        end = f".{kind.type}.json"
        found = [int(name.split(".")[0]) for name in names if name.endswith(end)]
        if not found:
            return None
        data = self.metadata(f"{max(found)}{end}")
        try:
            return Metadata.from_bytes(data or b"")
        except DeserializationError as error:
            raise StoreError(f"{max(found)}{end} is damaged", hint="publish anew") from error

    def _write(self, name: str, data: bytes) -> None:
        folder = self.home / METADATA
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            fresh = folder / f"{name}.new"
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(folder / name)
            _flush(folder)
        except OSError as error:
            raise StoreFailed(f"{name}: {error.strerror}", hint="check the disk") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.home / LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _flush(folder: Path) -> None:
    """Make a rename durable: what boxes were given once is not given otherwise again."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _next(before: Metadata[Any] | None, now: datetime) -> int:
    """Give a version above `before`, and not below the minutes since 1970.

    So that a server restored from a backup is believed at once: boxes have seen what it forgot.
    """
    return max(before.signed.version + 1 if before is not None else 1, int(now.timestamp()) // 60)


def _bytes(metadata: Metadata[Any]) -> bytes:
    return metadata.to_bytes(JSONSerializer())


def _old(metadata: Metadata[Any] | None, now: datetime, valid_s: float) -> bool:
    return metadata is None or metadata.signed.expires - now < timedelta(seconds=valid_s / 2)
