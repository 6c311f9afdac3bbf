"""What a gateway is to run, in one file that can be carried to it.

Owns the layout of the file: a tar (POSIX.1-1988, ustar) of plain files, first `state` (the Signed
of the newest desired state), then `contents/SHA256` each, in hex; with packages, their archives as
`targets/SHA256` and what vouches for them as `metadata/NAME`. Must not know who signs.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import states
from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.registry import Registry

MAX_BYTES = 2 << 30
"""What a box takes."""
STATE, CONTENTS, TARGETS, METADATA = "state", "contents/", "targets/", "metadata/"


class Made(NamedTuple):
    """What a bundle holds."""

    version: int
    files: tuple[str, ...]
    packages: tuple[str, ...]
    size_bytes: int
    expires_ns: int


def make(registry: Registry, published: Published, gateway: str, path: Path) -> Made:
    """Write the newest desired state of a gateway, and all that it names, to `path`.

    What vouches for packages is good for as long as the state is.

    Raises:
        UsageError: there is none, it is too large, or the file cannot be written.
    """
    found = states.newest(registry, gateway)
    if found is None:
        raise UsageError(
            f"nothing was pushed to {gateway!r} yet",
            hint=f"first: forebay-fleet push {gateway} DIRECTORY",
        )
    signed = fleet_pb2.Signed.FromString(found[1])
    state = fleet_pb2.DesiredState.FromString(signed.payload)
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                _add(tar, STATE, found[1])
                for sha256, size in sorted({(one.sha256, one.size_bytes) for one in state.files}):
                    content = states.part(registry, gateway, sha256, 0, size)
                    if content is None:
                        raise UsageError(
                            "another state was pushed meanwhile", hint="make the bundle again"
                        )
                    _add(tar, f"{CONTENTS}{sha256.hex()}", content[1])
                if state.packages:
                    _add_packages(tar, published, state)
            if file.tell() > MAX_BYTES:
                raise UsageError(
                    f"{path} would be larger than the {MAX_BYTES >> 30} GiB that a box takes",
                    hint="push fewer packages at a time",
                )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="check its directory") from None
    finally:
        temporary.unlink(missing_ok=True)
    return Made(
        state.version,
        tuple(one.path for one in state.files),
        tuple(f"{one.name} {one.version}" for one in state.packages),
        path.stat().st_size,
        state.expires_ns,
    )


def _add_packages(
    tar: tarfile.TarFile, published: Published, state: fleet_pb2.DesiredState
) -> None:
    for name, data in published.carried(state.expires_ns).items():
        _add(tar, f"{METADATA}{name}", data)
    for sha256 in sorted({one.sha256 for one in state.packages}):
        source = published.target(sha256)
        entry = tarfile.TarInfo(f"{TARGETS}{sha256.hex()}")
        with source.open("rb") as file:
            entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o600
            tar.addfile(entry, file)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    tar.addfile(entry, io.BytesIO(data))
