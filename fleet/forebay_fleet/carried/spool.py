"""How a command hands a file of data to the server that runs beside it.

Owns DATA/carried: `in/ID.data` waits for the server, `out/ID.json` is what became of it. The store
has one owner, so whoever is not it leaves the file here. Must not know what is in a file.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import time
from typing import TYPE_CHECKING, Any

import structlog

from forebay_fleet.errors import FleetError, StoreFailed, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.carried.taking import Taken, Taking

FOLDER = "carried"
LOOK_S = 0.5
STALE_S = 86_400.0
"""What nobody fetched for so long is of a command that was killed."""
SPARE_BYTES = 256 << 20
"""What a copy must leave free: the store grows by what is in it."""

_log = structlog.get_logger()


class Spool:
    """The server's end."""

    def __init__(self, data: Path, taking: Taking) -> None:
        """Have `taking` take what waits in the data directory `data`."""
        self._in, self._out = data / FOLDER / "in", data / FOLDER / "out"
        self._taking = taking

    async def watch(self) -> None:
        """Take what comes until cancelled, one file after the other."""
        while True:
            with contextlib.suppress(OSError):  # the next look may succeed; a full disk is told of
                for path in await asyncio.to_thread(self._waiting):
                    await self._take(path)
            await asyncio.sleep(LOOK_S)

    def _waiting(self) -> list[Path]:
        if not self._in.is_dir():
            return []
        for folder in (self._in, self._out):
            for path in folder.glob("*") if folder.is_dir() else ():
                if path.suffix != ".data" and time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink(missing_ok=True)
        return sorted(self._in.glob("*.data"))

    async def _take(self, path: Path) -> None:
        """Take one file. A store that failed has ended the server, and the file waits for it."""
        try:
            taken = await self._taking.take(path)
            answer = told(taken)
            _log.info("carried_data_taken", gateway=taken.gateway, records=taken.records)
        except StoreFailed:
            return
        except FleetError as error:
            answer = {"error": str(error), "hint": error.hint}
            _log.warning("carried_data_refused", error=str(error))
        except Exception as error:  # noqa: BLE001 - the supervisor: no file may end the server
            answer = {"error": f"a defect: {error!r}", "hint": "report it with the server's log"}
            _log.exception("carried_data_failed")
        await asyncio.to_thread(
            _write, self._out / f"{path.stem}.json", json.dumps(answer).encode()
        )
        await asyncio.to_thread(path.unlink, missing_ok=True)


def told(taken: Taken) -> dict[str, Any]:
    """Give what became of a file, for JSON."""
    assert taken.signed is not None
    return {
        "gateway": taken.gateway,
        "uplink": taken.uplink,
        "collection": taken.collection.hex(),
        "records": taken.records,
        "payload_bytes": taken.payload_bytes,
        "refused": taken.refused,
        "signed": base64.b64encode(taken.signed.SerializeToString()).decode(),
    }


def hand_over(data: Path, path: Path) -> dict[str, Any]:
    """Leave a copy of a file for the running server, and wait for what becomes of it.

    Raises UsageError, as `Taking.take` does for the server; StoreFailed if the disk is full.
    """
    folder, name = data / FOLDER, secrets.token_hex(8)
    waiting = folder / "in" / f"{name}.data"
    answer = folder / "out" / f"{name}.json"
    try:
        for part in (folder, waiting.parent, answer.parent):
            part.mkdir(mode=0o700, exist_ok=True)
        size = path.stat().st_size
        if shutil.disk_usage(folder).free < size + SPARE_BYTES:
            raise UsageError(
                f"there is no room for {size >> 20} MiB beside the store", hint="make room"
            )
        with path.open("rb") as file:
            _write(waiting, file)
    except OSError as error:
        raise UsageError(
            f"{error.filename or path}: {error.strerror}", hint="check the file and the disk"
        ) from None
    try:
        while not answer.exists():
            if not waiting.exists() and not answer.exists():
                raise StoreFailed(f"{waiting} is gone", hint="ingest it again")
            time.sleep(LOOK_S)
        found: dict[str, Any] = json.loads(answer.read_bytes())
    except KeyboardInterrupt:
        waiting.unlink(missing_ok=True)
        raise
    answer.unlink(missing_ok=True)
    if "error" in found:
        raise UsageError(found["error"], hint=found["hint"])
    return found


def write(path: Path, data: bytes) -> None:
    """Replace a file by `data`, durably. Raises UsageError."""
    try:
        _write(path, data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="check its directory") from None


def _write(path: Path, data: Any) -> None:  # noqa: ANN401 - bytes, or a file to copy
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        if isinstance(data, bytes):
            file.write(data)
        else:
            shutil.copyfileobj(data, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
