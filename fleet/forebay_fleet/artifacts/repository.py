"""The offline half: a directory with root and targets, which people sign, away from the server.

    REPO/root.json, targets.json    the newest versions, signed or still to be signed
    REPO/N.root.json                every root that was published, for boxes that know an older one
    REPO/targets/SHA256             the archives

Owns these files and what their metadata say (TUF specification 1.0). Must not know the server.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from securesystemslib.signer import Key, Signer

TYPES = ("plugin", "model", "agent")
ROOT_FILE, TARGETS_FILE, TARGETS_FOLDER = "root.json", "targets.json", "targets"
MAX_METADATA_BYTES = 5 << 20
RESERVED = "current"
"""No version: boxes have a link of that name beside them."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One archive: `path` is its name in the repository, `sha256` 32 bytes."""

    path: str
    type: str
    name: str
    version: str
    sha256: bytes
    size_bytes: int


class Repository:
    """The directory. Every method reads and writes whole files, and raises UsageError."""

    def __init__(self, home: Path) -> None:
        """Touch nothing."""
        self.home = home

    def init(self, people: Sequence[Key], online: Key, threshold: int, valid_s: float) -> None:
        """Begin, or change who signs: the next root names `people` for root and targets.

        `threshold` of them must sign; `online` is the server's key, for snapshot and timestamp.
        """
        if not 1 <= threshold <= len({key.keyid for key in people}):
            raise UsageError(
                f"{threshold} of {len(people)} keys cannot sign",
                hint="give more --key, or a lower --threshold",
            )
        before = self._read(ROOT_FILE, Root)
        version = before.signed.version if before is not None else 1
        if self.published(version) is not None:  # else nobody has it: the chain would lack it
            version += 1
        root = Root(version=version, expires=_until(valid_s), consistent_snapshot=True)
        for role, keys, least in (
            ("root", people, threshold),
            ("targets", people, threshold),
            ("snapshot", (online,), 1),
            ("timestamp", (online,), 1),
        ):
            for key in keys:
                root.add_key(key, role)
            root.roles[role].threshold = least
        self._write(ROOT_FILE, Metadata(root))
        targets = self._read(TARGETS_FILE, Targets)
        if targets is None:
            targets = Metadata(Targets(version=1))
        else:
            targets.signed.version += 1
        targets.signed.expires = _until(valid_s)
        targets.signatures.clear()
        self._write(TARGETS_FILE, targets)

    def add(self, file: Path, type_: str, name: str, version: str, valid_s: float) -> Artifact:
        """Take an archive in; targets must be signed anew. The same version comes only once."""
        possible = type_ in TYPES and _NAME.fullmatch(name) and _VERSION.fullmatch(version)
        if not possible or version == RESERVED:
            hint = f"types: {', '.join(TYPES)}; names: a-z 0-9 -; versions as 1.2.0"
            raise UsageError(f"{type_}/{name}/{version} cannot be", hint=hint)
        targets = self._targets()
        path = f"{type_}/{name}/{version}"
        if path in targets.signed.targets:
            raise UsageError(f"{path} is there already", hint="give what is new another version")
        try:
            found = TargetFile.from_file(path, str(file), ["sha256"])
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: {error}", hint="check the path") from error
        found.unrecognized_fields["custom"] = {"type": type_, "name": name, "version": version}
        try:
            folder = self.home / TARGETS_FOLDER
            folder.mkdir(exist_ok=True)
            shutil.copyfile(file, folder / found.hashes["sha256"])
        except OSError as error:
            raise UsageError(f"{self.home}: {error.strerror}", hint="check its disk") from error
        targets.signed.targets[path] = found
        self._changed(targets, valid_s)
        return _artifact(found)

    def remove(self, path: str, valid_s: float) -> None:
        """Take an archive out; boxes that have it keep it."""
        targets = self._targets()
        if targets.signed.targets.pop(path, None) is None:
            raise UsageError(f"there is no {path}", hint="forebay-fleet artifacts list")
        self._changed(targets, valid_s)

    def sign(self, signer: Signer) -> list[str]:
        """Sign what this key may sign and has not; give the names."""
        done = []
        root = self._root()
        keyid = signer.public_key.keyid
        for name, kind, metadata in (
            (ROOT_FILE, "root", root),
            (TARGETS_FILE, "targets", self._targets()),
        ):
            allowed = set(root.signed.roles[kind].keyids)
            if kind == "root" and (before := self.published(root.signed.version - 1)) is not None:
                allowed |= set(before.signed.roles["root"].keyids)
            if keyid in allowed and keyid not in metadata.signatures:
                metadata.sign(signer, append=True)
                self._write(name, metadata)
                done.append(name)
        return done

    def missing(self) -> dict[str, int]:
        """Give how many signatures each file still needs before it can be published."""
        root = self._root()
        needed = {}
        for name, kind, metadata in (
            (ROOT_FILE, "root", root),
            (TARGETS_FILE, "targets", self._targets()),
        ):
            result = root.signed.get_verification_result(
                kind, metadata.signed_bytes, metadata.signatures
            )
            left = max(0, root.signed.roles[kind].threshold - len(result.signed))
            before = self.published(root.signed.version - 1) if kind == "root" else None
            if before is not None:
                old = before.signed.get_verification_result(
                    kind, metadata.signed_bytes, metadata.signatures
                )
                left = max(left, before.signed.roles[kind].threshold - len(old.signed))
            if left:
                needed[name] = left
        return needed

    def artifacts(self) -> list[Artifact]:
        """Give what is in it, by path."""
        found = self._targets().signed.targets
        return [_artifact(found[path]) for path in sorted(found)]

    def signed(self) -> tuple[Metadata[Root], Metadata[Targets]]:
        """Give root and targets, signed by enough."""
        needed = self.missing()
        if needed:
            said = ", ".join(f"{name} needs {n} more" for name, n in needed.items())
            raise UsageError(
                f"not signed yet: {said}", hint="forebay-fleet artifacts sign REPO --key FILE"
            )
        root = self._root()
        self._write(f"{root.signed.version}.{ROOT_FILE}", root)
        return root, self._targets()

    def published(self, version: int) -> Metadata[Root] | None:
        """Give an earlier root, None if it never was."""
        return self._read(f"{version}.{ROOT_FILE}", Root) if version > 0 else None

    def target(self, artifact: Artifact) -> Path:
        """Give where an archive lies."""
        return self.home / TARGETS_FOLDER / artifact.sha256.hex()

    def _root(self) -> Metadata[Root]:
        found = self._read(ROOT_FILE, Root)
        if found is None:
            hint = "begin: forebay-fleet artifacts init REPO --key A.pub --key B.pub"
            raise UsageError(f"{self.home} is no repository", hint=hint)
        return found

    def _targets(self) -> Metadata[Targets]:
        self._root()
        found = self._read(TARGETS_FILE, Targets)
        if found is None:
            raise UsageError(f"{self.home} has no targets", hint="restore it from a copy")
        return found

    def _changed(self, targets: Metadata[Targets], valid_s: float) -> None:
        targets.signed.version += 1
        targets.signed.expires = _until(valid_s)
        targets.signatures.clear()
        self._write(TARGETS_FILE, targets)

    def _read(self, name: str, kind: type[Any]) -> Metadata[Any] | None:
        path = self.home / name
        try:
            with path.open("rb") as file:
                found = Metadata.from_bytes(file.read(MAX_METADATA_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, DeserializationError) as error:
            raise UsageError(f"{path}: {error}", hint="restore it from a copy") from error
        if not isinstance(found.signed, kind):
            raise UsageError(f"{path} is something else", hint="restore it from a copy")
        return found

    def _write(self, name: str, metadata: Metadata[Any]) -> None:
        data = metadata.to_bytes(JSONSerializer())
        if len(data) > MAX_METADATA_BYTES:  # nobody would read it again, nor would a box
            raise UsageError(
                f"{name} would be larger than {MAX_METADATA_BYTES >> 20} MiB",
                hint="take out what no box needs: forebay-fleet artifacts remove",
            )
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            fresh = self.home / f"{name}.new"
            fresh.write_bytes(data)
            fresh.replace(self.home / name)
        except OSError as error:
            raise UsageError(f"{self.home}: {error.strerror}", hint="check the path") from error


def _artifact(found: TargetFile) -> Artifact:
    custom = found.custom or {}
    return Artifact(
        found.path,
        str(custom.get("type", "")),
        str(custom.get("name", "")),
        str(custom.get("version", "")),
        bytes.fromhex(found.hashes["sha256"]),
        found.length,
    )


def described(targets: Targets) -> list[Artifact]:
    """Give the archives that targets metadata name, by path."""
    return [_artifact(targets.targets[path]) for path in sorted(targets.targets)]


def _until(valid_s: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=valid_s)).replace(microsecond=0)


def digest(path: Path) -> bytes:
    """Give a file's SHA-256. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
