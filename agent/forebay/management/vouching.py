"""Whether people have signed a package: the roles of TUF, over whatever way the metadata come.

Owns `STATE/fleet/tuf/INSTANCE`: the metadata that this box has seen, of one enrollment. Must not
know what a package holds. What is older than was seen, expired, mixed or signed by too few is
refused (TUF specification 1.0, 5.3 to 5.6).
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import through
from forebay.errors import FleetRefused, FleetUnavailable
from forebay.pluginhost.installed import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from tuf.ngclient import FetcherInterface, TargetFile

    from forebay.files import Disk
    from forebay.identity import Identity

FOLDER, FIRST = "tuf", "first.json"
MAX_BYTES = 5 << 20
TYPES = {pb.PACKAGE_PLUGIN: "plugin", pb.PACKAGE_MODEL: "model", pb.PACKAGE_AGENT: "agent"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}")
_HOW = "look at `forebay-fleet artifacts list`; push again"


class Metadata(Protocol):
    """Where metadata are to be had."""

    async def metadata(self, name: str, max_bytes: int) -> bytes:
        """Give a file by its name. Raises FleetRefused if there is none, FleetUnavailable."""
        ...


class Vouched(NamedTuple):
    """A package that people have signed; `sha256` has 32 bytes."""

    name: str
    type: str
    version: str
    sha256: bytes
    size_bytes: int


class Vouching:
    """Of one agent."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        """Keep what was seen below `folder`, STATE/fleet."""
        self._folder, self._disk = folder / FOLDER, disk

    async def vouched(
        self, packages: Sequence[pb.Package], identity: Identity, source: Metadata, now_ns: int
    ) -> list[Vouched]:
        """Give what the newest metadata say of `packages`.

        `now_ns` is the time against which an end is held, since 1970.

        Raises:
            FleetRefused: they are not signed as they must be, or say something else.
            FleetUnavailable: the metadata cannot be had, or kept.
        """
        loop, ended = asyncio.get_running_loop(), threading.Event()
        asked: list[Future[bytes]] = []

        def fetch(name: str) -> bytes:
            if ended.is_set():
                raise FleetUnavailable("it was given up", hint=_HOW)
            future = asyncio.run_coroutine_threadsafe(source.metadata(name, MAX_BYTES), loop)
            asked.append(future)
            return future.result()

        home = self._folder / identity.instance_uid.hex()
        work = asyncio.create_task(
            asyncio.to_thread(
                _vouched, home, packages, identity.root, _fetcher(fetch), now_ns, self._disk
            ),
            name="packages.vouched",
        )
        try:
            return await asyncio.shield(work)
        finally:
            # Who is cancelled leaves nobody behind that writes among what the next one reads.
            ended.set()
            await through(_over(work, asked), "packages.vouched.end")


async def _over(work: asyncio.Task[list[Vouched]], asked: list[Future[bytes]]) -> None:
    """Have `work` end, whatever it waits for."""
    while not work.done():
        for one in list(asked):
            one.cancel()
        await asyncio.wait((work,), timeout=0.1)
    if not work.cancelled():
        work.exception()  # who asked is gone, or was told


def _vouched(
    home: Path,
    packages: Sequence[pb.Package],
    root: bytes,
    fetcher: FetcherInterface,
    now_ns: int,
    disk: Disk,
) -> list[Vouched]:
    from tuf.api.exceptions import DownloadError, RepositoryError
    from tuf.ngclient import Updater

    try:
        updater = Updater(str(home), "fleet:/", fetcher=fetcher, bootstrap=_first(home, root, disk))
        # The machine's clock may be wrong, and nobody vouches for it: the caller knows better.
        updater._trusted_set.reference_time = datetime.fromtimestamp(now_ns / 1e9, UTC)  # noqa: SLF001
        updater.refresh()
        _flush(home)  # what was seen once counts after a power cut, too
        return [_one(package, updater.get_targetinfo(package.target)) for package in packages]
    except DownloadError as error:
        raise FleetUnavailable(f"the metadata did not come: {error}", hint=_HOW) from error
    except RepositoryError as error:
        text = f"the metadata of the packages are not believed: {error}"
        raise FleetRefused(text[:500], hint=_HOW, code="metadata") from error
    except OSError as error:
        raise FleetUnavailable(
            f"the metadata cannot be kept: {error.strerror}", hint="check the disk"
        ) from error


def _first(home: Path, root: bytes, disk: Disk) -> bytes:
    """Give the root that this enrollment began with: what a server says later does not count."""
    path = home / FIRST
    try:
        if found := path.read_bytes():
            return found
    except FileNotFoundError:
        pass
    if not root:
        raise FleetRefused(
            "this box was enrolled before its fleet had artifacts",
            hint="its next certificate brings their root: `forebay fleet status` says when",
            code="root",
        )
    disk.makedirs(home)
    disk.write_atomic(path, root)
    return root


def _flush(home: Path) -> None:
    """Make the metadata that the library has renamed into place durable. Raises OSError."""
    for folder in (home / "root_history", home):
        for path in (*(one for one in folder.iterdir() if one.is_file()), folder):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _one(package: pb.Package, found: TargetFile | None) -> Vouched:
    if found is None:
        text = f"nobody has signed {package.target[:100]!r}"
        raise FleetRefused(text, hint=_HOW, code="unsigned")
    kind = TYPES.get(package.type, "")
    named = {"type": kind, "name": package.name, "version": package.version}
    sha256 = bytes.fromhex(found.hashes.get("sha256", ""))
    if (found.custom or {}) != named or sha256 != package.sha256:
        text = f"{package.target[:100]!r} was signed as something else than was offered"
        raise FleetRefused(text, hint=_HOW, code="mixed")
    if not is_name(package.name, package.version):
        text = f"{package.target[:100]!r} has a name or version that cannot be"
        raise FleetRefused(text, hint="sign it under another", code="name")
    return Vouched(package.name, kind, package.version, sha256, found.length)


def is_name(name: str, version: str) -> bool:
    """Whether a package can be called so: both become names of directories."""
    # CURRENT is the link beside the versions of a plugin.
    return bool(_NAME.fullmatch(name) and _VERSION.fullmatch(version)) and version != CURRENT


def _fetcher(fetch: object) -> FetcherInterface:
    """Give what TUF asks for files; its library is imported where packages are asked for."""
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient import FetcherInterface as Base

    class Fetcher(Base):
        def _fetch(self, url: str) -> Iterator[bytes]:
            name = url.rpartition("/")[2]
            try:
                yield fetch(name)  # type: ignore[operator]
            except FleetRefused as error:
                if error.code in ("unknown", "NOT_FOUND"):
                    raise DownloadHTTPError(name, 404) from error
                raise

    return Fetcher()
