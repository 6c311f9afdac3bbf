"""How the configuration stands, in the words of reports: what was wanted, what runs, what failed.

Owns these answers and the files behind them. All calls block. Must not change anything.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from forebay.config.attempts import Status
from forebay.config.bundle import config_hash, described, gather
from forebay.errors import ForebayError, RequestFailed, RequestInvalid
from forebay.management.book import FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.errors import Fault
    from forebay.management.book import Book
    from forebay.management.booting import Booting

RUNNING, DESIRED = "running", "desired"


def status(book: Book, boot: Booting, quarantined: tuple[Fault, ...], left_s: float) -> Status:
    """See `Rolling.status`; `left_s` is what a trial has still to go."""
    running = boot.running
    said = boot.file_hash()
    return Status(
        desired=book.desired.hash if book.desired else "",
        desired_offer=book.desired.offer_id if book.desired else "",
        running=running.hash,
        running_generation=running.generation,
        running_source=running.source,
        last_attempt=book.last,
        quarantined=quarantined,
        effective=_effective(running.hash, quarantined),
        on_trial=book.trial is not None,
        probation_left_s=left_s,
        file=str(boot.file),
        file_differs=said != running.hash,
    )


def _effective(running: str, quarantined: tuple[Fault, ...]) -> str:
    """Give the hash of what runs without the items that are left out."""
    if not quarantined:
        return running
    places = "\n".join(sorted({fault.path for fault in quarantined}))
    return hashlib.sha256(f"{running}\n{places}".encode()).hexdigest()


def contents(book: Book, boot: Booting, which: str) -> Mapping[str, bytes]:
    """See `Rolling.contents`."""
    if which == RUNNING:
        number, wanted = boot.running.generation, boot.running.hash
    elif which == DESIRED:
        wanted = book.desired.hash if book.desired else boot.running.hash
        number = next((n for n, one in book.kept.items() if one.hash == wanted), FILE)
    else:
        raise RequestInvalid(f"there is no {which!r}", hint=f"ask for {RUNNING} or {DESIRED}")
    try:
        if number != FILE:
            files = boot.generations.files(number)
            return {file.path: boot.generations.content(number, file) for file in files}
        found = gather(boot.file)
    except ForebayError as error:
        raise RequestFailed(str(error), hint=error.hint) from error
    if config_hash(described(found)).hex() != wanted:
        raise RequestFailed(
            f"the files of what is {which} are not here any more",
            hint=f"{boot.file} was changed since; apply it: `forebay config apply {boot.file}`"
            if which == RUNNING
            else "it was refused before it was kept: see `forebay config history`",
        )
    return found
