"""A box without a line and its server, each with real files: journal, store, keys, and a stick."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay.config.carried import Begun, Collected
from forebay.identity import FOLDER, Identity, IdentityStore
from forebay.journal.journal import Journal
from forebay.management.collecting import Collecting
from forebay.model import Stream
from forebay.writing.audit import from_batch
from forebay_fleet.audit import verify
from forebay_fleet.carried import alone, sealing
from forebay_fleet.desired import signing
from forebay_fleet.identity import gateways
from forebay_fleet.registry import Registry
from forebay_fleet.store.reader import StoreReader
from support.real_journal import SMALL, feed
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.config.carried import Acknowledged
    from forebay.management.runtime import Runtime
    from forebay.model import Batch
    from forebay.writing.audit import Deed

UPLINK, WHO = "cloud", "uid:1000"


class Hall:
    """One server: its data directory, its keys, and who is enrolled."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with Registry(data):
            pass
        self.signer, self.unsealer = signing.load(data), sealing.load(data)

    def enroll(self, gateway: str, bound_key: bytes) -> None:
        """Have a gateway with this bound key, whatever was before."""
        now_ns = time.time_ns()
        fields = dict.fromkeys(gateways.GatewayRow._fields, 0) | {
            "name": gateway,
            "bound_key": bound_key,
            "key": b"",
            "certificate": b"",
            "trusts": "",
            "enrolled_ns": now_ns,
        }
        with Registry(self.data) as registry, registry.transaction() as db:
            gateways.put(db, gateways.GatewayRow(**cast("Any", fields)))

    async def ingest(self, path: Path) -> tuple[dict[str, Any], bytes]:
        """Take a file; give what is told of it, and the acknowledgement."""
        told = await asyncio.to_thread(alone.take, self.data, path)
        return told, base64.b64decode(told.pop("signed"))

    def problems(self) -> list[str]:
        """Give what is wrong with the store, and what is missing in it without an account.

        The polls of `real_journal` overlap in time, so samples look alike.
        """
        with StoreReader(self.data) as reader:
            found = verify(reader, None)
            return [*(one for one in found.problems if "stored twice" not in one), *found.missing]

    def records(self) -> int:
        """Count the records that are durable here."""
        with StoreReader(self.data) as reader:
            return sum(row.records for row in reader.lines(None))


@dataclass
class Isle:
    """One box: its state directory, and a journal that it has for itself. `open` runs it."""

    folder: Path
    hall: Hall
    gateway: str = "gw-1"
    bound: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    instance: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    forwarders: dict[str, Any] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)

    def __post_init__(self) -> None:
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.hall.enroll(self.gateway, self.bound.public_key().public_bytes(*raw))
        self.identify()

    def identify(self, **other: Any) -> None:
        """Write down who it is."""
        pem = self.bound.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        fields: dict[str, Any] = {
            "gateway": self.gateway,
            "instance_uid": self.instance,
            "address": "127.0.0.1:1",
            "enrollment_address": "127.0.0.1:1",
            "generation": 1,
            "certificate": b"",
            "key": b"",
            "authorities": b"",
            "bound_key": pem,
            "signing_keys": (self.hall.signer.public,),
            "sealing_key": self.hall.unsealer.public,
        }
        store = IdentityStore(self.folder / "state" / FOLDER, system_seams().disk)
        store.replace(Identity(**(fields | other)))

    async def audit(self, batch: Batch) -> None:
        """Keep what is put on record."""
        self.deeds += from_batch(batch)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Running]:
        """Run its journal."""
        seams = system_seams()
        directory = self.folder / "journal"
        async with Journal(directory, SMALL, seams, gateway=self.gateway) as journal:
            await journal.opened()
            leading = SimpleNamespace(identity=self.folder / "state" / FOLDER)
            runtime = SimpleNamespace(
                journal=journal,
                loaded=SimpleNamespace(
                    config=SimpleNamespace(gateway=SimpleNamespace(id=self.gateway)),
                    uplinks=((UPLINK, None, leading),),
                ),
                pipeline=SimpleNamespace(commit=self.audit),
                uplinks=SimpleNamespace(forwarders=self.forwarders),
            )
            collecting = Collecting(self.folder / "state", cast("Runtime", runtime), seams)
            yield Running(journal, collecting, self.folder / "stick")


@dataclass
class Running:
    """A box while it runs."""

    journal: Journal
    collecting: Collecting
    stick: Path

    async def fill(self, begin: int, end: int) -> None:
        """Have the entries `begin..end-1` journaled."""
        self.journal.cursor(UPLINK)
        await feed(self.journal, begin, end)

    async def collect(self, max_bytes: int = 0, after: bytes = b"") -> tuple[Path, Collected]:
        """Write a collection to the stick."""
        self.stick.mkdir(exist_ok=True)
        data, told, begun = bytearray(), None, None
        async for one in self.collecting.collect(UPLINK, max_bytes, after, WHO):
            match one:
                case bytes():
                    data += one
                case Begun():
                    begun = one
                case Collected():
                    told = one
        assert begun is not None
        assert told is not None
        path = self.stick / f"{begun.collection.hex()}.fbd"
        path.write_bytes(data)
        return path, told

    async def acknowledge(self, signed: bytes) -> Acknowledged:
        """Hand in the server's answer."""
        return await self.collecting.acknowledge(signed, WHO)

    def place(self) -> dict[Stream, tuple[int, int]]:
        """Give epoch and seq of the uplink's cursor by stream."""
        cursor = self.journal.cursor(UPLINK)
        return {stream: cursor.get(stream)[1:] for stream in Stream}

    def ends(self) -> dict[Stream, tuple[int, int]]:
        """Give where each stream ends now."""
        return {stream: self.journal.newest(stream)[1:] for stream in Stream}
