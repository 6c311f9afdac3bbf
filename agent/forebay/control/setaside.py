"""What a person can do with records in quarantine: look, send once more, remove.

Owns the way of each id and the words for what did not go well. Must not know how copies are kept,
nor how a record is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.control.view import QuarantineDone, QuarantinedRecord
from forebay.errors import ForebayError, RequestFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from forebay.forwarding.forwarder import Forwarder
    from forebay.journal.quarantine import Quarantine


class SetAside:
    """The quarantine of one journal, and the forwarders that can send from it."""

    def __init__(self, quarantine: Quarantine, forwarders: Mapping[str, Forwarder]) -> None:
        """Look at these; `forwarders` are those of enabled uplinks, by name."""
        self._quarantine, self._forwarders = quarantine, forwarders

    def count(self, uplink: str = "") -> int:
        """Count the records of one uplink, or of all."""
        return len(self._quarantine.copies(uplink))

    def list(self, uplink: str) -> Iterable[QuarantinedRecord]:
        """See `QuarantineView.list`."""
        for one in self._quarantine.copies(uplink):
            yield QuarantinedRecord(
                id=one.id,
                uplink=one.uplink,
                stream=one.position.stream.value,
                epoch=one.position.epoch,
                seq=one.position.seq,
                kind=one.kind.name.lower(),
                samples=one.samples,
                bytes=one.bytes,
                at_ns=one.at_ns,
                code=one.code,
                reason=one.reason,
            )

    async def retry(self, ids: Sequence[str]) -> QuarantineDone:
        """See `QuarantineView.retry`."""
        return await _each(ids, self._retry)

    async def drop(self, ids: Sequence[str]) -> QuarantineDone:
        """See `QuarantineView.drop`."""
        return await _each(ids, self._quarantine.drop)

    async def _retry(self, copy_id: str) -> None:
        """Send one; raises ForebayError where it stays."""
        record, _ = await self._quarantine.read(copy_id)
        uplink = copy_id.partition("/")[0]
        forwarder = self._forwarders.get(uplink)
        if forwarder is None:
            raise RequestFailed(
                f"there is no enabled uplink {uplink!r}", hint="enable it and restart the agent"
            )
        if not await forwarder.retry(record):
            raise RequestFailed(
                f"{uplink} did not take it",
                hint="see `forebay uplinks`, and what the destination's log says of it",
            )
        await self._quarantine.release(copy_id)


async def _each(ids: Sequence[str], work: Callable[[str], Awaitable[None]]) -> QuarantineDone:
    """Do `work` with one id after the other; one that fails does not stop the others."""
    done, failed = [], []
    for copy_id in ids:
        try:
            await work(copy_id)
        except ForebayError as error:
            failed.append(f"{copy_id}: {error} ({error.hint})")
        else:
            done.append(copy_id)
    return QuarantineDone(tuple(done), tuple(failed))
