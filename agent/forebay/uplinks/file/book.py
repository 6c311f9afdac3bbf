"""The account that a file carries: whose it is, which it is, and what was there before it.

Owns its form as JSON. Pure. Must not know where it is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.errors import UplinkMisbehaved
from forebay.interfaces import Resume
from forebay.model import Stream
from forebay.positions import Account

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.interfaces import Offer

VERSION = 1


@dataclass(slots=True)
class Book:
    """What is durable in the files of one uplink.

    `number` is that of the file it is kept with; `incarnation` is made with the first file and
    never changes.
    """

    gateway: str
    uplink: str
    incarnation: str
    number: int = 0
    account: Account = field(default_factory=Account)

    @classmethod
    def of(cls, text: str | bytes) -> Book:
        """Read what `text` wrote; ValueError if it is damaged or of a later version."""
        try:
            found = json.loads(text)["forebay"]
            if found["version"] != VERSION:
                raise ValueError(f"an account of version {found['version']}")
            book = cls(
                str(found["gateway"]),
                str(found["uplink"]),
                str(found["incarnation"]),
                int(found["file"]),
            )
            for stream, epoch, runs in found["committed"]:
                for first, last in runs:
                    book.account.add(Stream(stream), int(epoch, 16), int(first), int(last))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no account: {error!r}") from error
        return book

    @classmethod
    def first(cls, offer: Offer, uplink: str, incarnation: str) -> Book:
        """Open the account of a directory that has none: the gateway's own cursor is believed."""
        book = cls(offer.gateway, uplink, incarnation)
        for told in offer.delivered:
            book.account.add(told.stream, told.epoch, 1, told.committed_seq)
            for first, last in told.islands:
                book.account.add(told.stream, told.epoch, first, last)
        return book

    def text(self) -> str:
        """Give the account as one line of JSON."""
        committed = [
            [stream.value, f"{epoch:016x}", [list(run) for run in runs]]
            for stream, epoch, runs in self.account
        ]
        about = {
            "version": VERSION,
            "gateway": self.gateway,
            "uplink": self.uplink,
            "incarnation": self.incarnation,
            "file": self.number,
            "committed": committed,
        }
        return json.dumps({"forebay": about}, ensure_ascii=False, separators=(",", ":"))

    def check(self, gateway: str, directory: object) -> None:
        """Raise UplinkMisbehaved if these are the files of another gateway."""
        if self.gateway != gateway:
            raise UplinkMisbehaved(
                f"the files of {self.uplink!r} in {directory} are those of {self.gateway!r}",
                hint="give each gateway a directory of its own, or move the files away",
            )

    def resume(self, stream: Stream, epoch: int) -> Resume:
        """Give how far one stream's epoch is here."""
        runs = self.account.runs(stream, epoch)
        return Resume(stream, epoch, runs.whole, islands=runs.islands)

    def settle(self, offer: Offer) -> tuple[Resume, ...]:
        """Forget epochs that the gateway has no more, and give the rest as terms.

        What its journal no longer holds at an epoch's beginning cannot come any more.
        """
        heads: Iterable[tuple[Stream, int]] = [(head.stream, head.epoch) for head in offer.heads]
        self.account.keep(heads)
        for head in offer.heads:
            self.account.add(head.stream, head.epoch, 1, head.first_seq - 1)
        return tuple(self.resume(stream, epoch) for stream, epoch, _ in self.account)
