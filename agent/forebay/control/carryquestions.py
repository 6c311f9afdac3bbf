"""What a running agent is asked about what is carried by hand.

Owns these questions, and how a bundle is sent part by part. Must not know how answers are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from forebay._proto import control_pb2 as pb
from forebay.control.asking import Asking
from forebay.control.limits import SERVICE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

SEND_S = 3600.0
"""The longest time that a bundle may take to come from its stick."""
TAKE_S = 60.0
PART_BYTES = 256 << 10


class CarryQuestions(Asking):
    """What a command asks; see `Asking` for what it raises."""

    def look_at_bundle(self, path: Path) -> pb.BundleReply:
        """Have the agent look at a bundle. OSError if it cannot be read."""
        return self._bundle(_parts(path), SEND_S)

    def take_bundle(self, digest: bytes) -> pb.BundleReply:
        """Have the agent begin with the bundle that it looked at, if that is this one."""
        return self._bundle(iter([pb.BundlePart(confirmed=digest)]), TAKE_S)

    def collect(self, uplink: str, max_bytes: int, after: bytes) -> Generator[pb.CollectPart]:
        """Ask for what an uplink has not delivered, sealed."""
        request = pb.CollectRequest(uplink=uplink, max_bytes=max_bytes, after=after)
        yield from self._follow("CollectData", request, pb.CollectPart.FromString)

    def acknowledge(self, signed: bytes) -> pb.AcknowledgeReply:
        """Hand in what the server wrote."""
        request = pb.AcknowledgeRequest(signed=signed)
        return self._ask("AcknowledgeData", request, pb.AcknowledgeReply.FromString, TAKE_S)

    def _bundle(self, parts: Iterator[pb.BundlePart], limit_s: float) -> pb.BundleReply:
        if self._channel is None:
            raise RuntimeError("the connection is used outside of its `with` block")
        call: Any = self._channel.stream_unary(
            f"/{SERVICE}/TakeBundle",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.BundleReply.FromString,
        )
        try:
            reply: pb.BundleReply = call(parts, timeout=limit_s)
        except grpc.RpcError as error:
            raise self._translated(error, limit_s) from error
        return reply


def _parts(path: Path) -> Iterator[pb.BundlePart]:
    with path.open("rb") as file:
        yield pb.BundlePart(size_bytes=path.stat().st_size, data=file.read(PART_BYTES))
        while data := file.read(PART_BYTES):
            yield pb.BundlePart(data=data)
