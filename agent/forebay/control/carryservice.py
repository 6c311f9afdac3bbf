"""Answers the questions about what is carried by hand on the control socket.

Owns their translation. Must not know bundles, records or acknowledgements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.config.carried import Begun, Collected
from forebay.errors import RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from forebay.config.carried import Carrying, Looked

PART_BYTES = 1 << 20


class CarryService:
    """One method for each question."""

    def __init__(self, carrying: Carrying | None) -> None:
        """Ask `carrying`; None where nothing is carried."""
        self._carrying = carrying

    def _asked(self) -> Carrying:
        if self._carrying is None:
            raise RequestFailed("this agent is in no fleet", hint="start `forebay run`")
        return self._carrying

    async def bundle(self, parts: AsyncIterator[pb.BundlePart], who: str) -> pb.BundleReply:
        """Answer TakeBundle: look at what comes, or begin with what was looked at for `who`."""
        carrying = self._asked()
        first = await anext(aiter(parts), None)
        if first is None:
            raise RequestInvalid("nothing was sent", hint="send a bundle")
        if first.confirmed:
            return _reply(await carrying.take(first.confirmed, who))
        return _reply(await carrying.look(first.size_bytes, _data(first, parts)))

    async def collect(self, request: pb.CollectRequest, who: str) -> AsyncGenerator[pb.CollectPart]:
        """Answer CollectData piece by piece."""
        found = self._asked().collect(request.uplink, request.max_bytes, request.after, who)
        try:
            async for one in found:
                match one:
                    case Begun(collection, gateway):
                        yield pb.CollectPart(collection=collection, gateway=gateway)
                    case Collected():
                        yield pb.CollectPart(done=pb.CollectDone(**one._asdict()))
                    case bytes():
                        for start in range(0, len(one), PART_BYTES):
                            yield pb.CollectPart(data=one[start : start + PART_BYTES])
        finally:
            await found.aclose()

    async def acknowledge(self, request: pb.AcknowledgeRequest, who: str) -> pb.AcknowledgeReply:
        """Answer AcknowledgeData."""
        done = await self._asked().acknowledge(request.signed, who)
        return pb.AcknowledgeReply(**done._asdict())


async def _data(first: pb.BundlePart, parts: AsyncIterator[pb.BundlePart]) -> AsyncGenerator[bytes]:
    yield first.data
    async for part in parts:
        yield part.data


def _reply(looked: Looked) -> pb.BundleReply:
    return pb.BundleReply(**looked._asdict())
