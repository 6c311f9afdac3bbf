"""What must hold when the trouble is over: nothing lost in silence, twice or invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.audit import verify
from forebay_fleet.decode import decode_batch, decode_schema
from forebay_fleet.store.reader import StoreReader
from sim.plc import NOISE_FROM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.world import World

TELEMETRY = 3
_BAD = 0x8000_0000


def check(world: World) -> None:
    """Compare each server's store with what the PLC gave and with the agent's ledger."""
    for name, server in world.servers.items():
        with StoreReader(server.directory) as reader:
            _values(world, reader)
            finding = verify(reader)
            assert not finding.problems, finding.problems
            assert finding.duplicate_samples == 0
            if not world.rolled_back:
                account(reader, world.last_words[name], exact=not server.restored)


def _values(world: World, reader: StoreReader) -> None:
    """Each stored value is one that the PLC gave, under its own tag, at most once."""
    columns = world.plc.columns
    seen: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for line in reader.lines():
        for record in reader.records(line.id):
            if record.kind != uplink_pb2.BATCH:
                continue
            assert record.schema_id is not None
            schema = decode_schema(reader.history.schema(record.gateway, record.schema_id) or b"")
            batch = decode_batch(record.payload, schema)
            for column in range(columns):
                series = batch.series(column)
                values = series.values[(series.quality & _BAD) == 0] & ((1 << NOISE_FROM) - 1)
                assert (values % columns == column).all(), "a value under another tag"
                seen.append(values)
    values = np.concatenate([*seen, np.zeros(0, np.int64)])
    assert len(np.unique(values)) == len(values), "a value twice"
    assert not len(values) or values.max() < world.plc.polls * columns, "an invented value"


def account(reader: StoreReader, account: Mapping[str, Any], *, exact: bool = True) -> None:
    """The agent's account balances with nothing pending, and the server's adds up to the same.

    The server may have what the agent counts as gapped: an ack that no cursor file kept, before the
    record was dropped. It may have less only if it was restored from a backup, not `exact` then.
    A journal that was put back in time has an account of another course of things, and is not held
    against the server's: there only the values count.
    """
    kept = [account[name] for name in ("delivered", "gapped", "quarantined")]
    assert account["pending"] == 0, account
    assert account["produced"] == sum(kept), account
    lines = [line for line in reader.lines() if line.stream == TELEMETRY]
    samples, gapped = (sum(getattr(line, name) for line in lines) for name in ("samples", "gapped"))
    refused = sum(line.refused for line in lines)
    told = samples + gapped + refused
    if exact:
        assert samples >= account["delivered"], (account, samples, gapped, refused)
        assert told == account["produced"], (account, samples, gapped, refused)
