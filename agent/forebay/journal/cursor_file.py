"""The text of a cursor file: what a consumer's places are after a restart.

Owns `cursors/NAME.json` byte by byte. Pure. Must not know how places move.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.journal.given import Run, Runs
from forebay.journal.ledger import Place
from forebay.journal.record import crc32c
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE_BYTES_MAX = 1 << 20
_FORMAT = 2


class Witness(NamedTuple):
    """The destination's own words: the hash chain that it had at a position.

    `incarnation` is that of the destination: another one has another history.
    """

    position: Position
    chain: bytes
    incarnation: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a file says of one stream.

    `rejected` maps epoch and seq of what was refused ahead of the place to its samples. `given` are
    runs of records that the consumer may have got, `islands` runs beyond the place that it is done
    with. `trail` are earlier places, oldest first.
    """

    place: Place
    rejected: Mapping[tuple[int, int], int] = field(default_factory=dict)
    witness: Witness | None = None
    given: Runs = ()
    trail: Sequence[Place] = ()
    islands: Runs = ()

    @property
    def empty(self) -> bool:
        """Whether nothing has happened yet."""
        kept = self.rejected or self.witness or self.given or self.islands
        return not (self.place.counted_to.epoch or kept)


def file_text(streams: Mapping[Stream, Remembered]) -> bytes:
    """Give the file of a consumer."""
    return _text({s.value: _to_json(known) for s, known in streams.items() if not known.empty})


def parse(data: bytes) -> dict[Stream, Remembered]:
    """Read a file; ValueError if it is damaged or of another format."""
    try:
        text = json.loads(data)
        streams = text["streams"]
        found = {Stream(s): _from_json(Stream(s), values) for s, values in streams.items()}
        whole = (text["format"], text["crc32c"]) == (_FORMAT, _check(streams))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        msg = "no whole cursor file"
        raise ValueError(msg)
    return found


def intact(data: bytes) -> bool:
    """Whether `data` is a cursor file, byte for byte as a save leaves it."""
    try:
        parse(data)
        return _text(json.loads(data)["streams"]) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _text(streams: dict[str, Any]) -> bytes:
    text = {"format": _FORMAT, "crc32c": _check(streams), "streams": streams}
    return (json.dumps(text, indent=2) + "\n").encode()


def _check(streams: dict[str, Any]) -> str:
    """Give the CRC32C of the content, whatever its white space."""
    return f"{crc32c(json.dumps(streams, sort_keys=True).encode()):08x}"


def _to_json(known: Remembered) -> dict[str, Any]:
    place, witness = known.place, known.witness
    told = witness and {
        "epoch": f"{witness.position.epoch:016x}",
        "seq": witness.position.seq,
        "chain": witness.chain.hex(),
        "incarnation": witness.incarnation,
    }
    return {
        "epoch": f"{place.position.epoch:016x}",
        "seq": place.position.seq,
        "reached_samples": place.reached,
        "reached_records": place.records,
        "gapped_samples": place.gapped,
        "quarantined_samples": place.quarantined,
        "lost_samples": place.lost,
        "edge": place.edge and [f"{place.edge.epoch:016x}", place.edge.seq],
        "witness": told,
        "rejected": [
            [f"{epoch:016x}", seq, n] for (epoch, seq), n in sorted(known.rejected.items())
        ],
        "given": _runs_to_json(known.given),
        "islands": _runs_to_json(known.islands),
        "trail": [
            [
                f"{p.position.epoch:016x}",
                p.position.seq,
                p.reached,
                p.records,
                p.gapped,
                p.quarantined,
                p.lost,
            ]
            for p in known.trail
        ],
    }


def _from_json(stream: Stream, data: dict[str, Any]) -> Remembered:
    edge, told = data["edge"], data["witness"]
    place = Place(
        position=Position(stream, int(data["epoch"], 16), int(data["seq"])),
        reached=int(data["reached_samples"]),
        gapped=int(data["gapped_samples"]),
        quarantined=int(data["quarantined_samples"]),
        lost=int(data["lost_samples"]),
        edge=edge and Position(stream, int(edge[0], 16), int(edge[1])),
        records=int(data["reached_records"]),
    )
    witness = told and Witness(
        Position(stream, int(told["epoch"], 16), int(told["seq"])),
        bytes.fromhex(told["chain"]),
        str(told["incarnation"]),
    )
    return Remembered(
        place,
        {(int(epoch, 16), int(seq)): int(n) for epoch, seq, n in data["rejected"]},
        witness,
        _runs_from_json(data["given"]),
        tuple(
            Place(
                Position(stream, int(epoch, 16), int(seq)),
                int(reached),
                int(gapped),
                int(quarantined),
                lost=int(lost),
                records=int(records),
            )
            for epoch, seq, reached, records, gapped, quarantined, lost in data["trail"]
        ),
        _runs_from_json(data.get("islands", ())),  # older files have none
    )


def _runs_to_json(runs: Runs) -> list[list[str | int]]:
    return [
        [f"{run.first[0]:016x}", run.first[1], f"{run.last[0]:016x}", run.last[1]] for run in runs
    ]


def _runs_from_json(data: Sequence[Any]) -> Runs:
    return tuple(Run((int(a, 16), int(b)), (int(c, 16), int(d))) for a, b, c, d in data)
