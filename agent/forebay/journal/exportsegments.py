"""A copy of whole sealed segments, with a manifest of what was copied.

Owns `manifest.json`, which is written last: a copy without it is not complete. What is copied can
be looked at as a journal. Must not know items.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from forebay.errors import RequestFailed, RequestInvalid
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay.journal.export import Choice
    from forebay.journal.offline import OfflineJournal

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Copied:
    """One segment. `epoch` is 16 hex digits, as in the file's name."""

    file: str
    bytes: int
    sha256: str
    stream: str
    epoch: str
    first_seq: int
    last_seq: int
    samples: int
    thinned: int
    time_min_ns: int
    time_max_ns: int


def copy_segments(
    journal: OfflineJournal,
    choice: Choice,
    target: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Copied]:
    """Copy the sealed segments that hold anything of `choice`'s streams and times to `target`.

    RequestInvalid if `target` is there already, RequestFailed if it cannot be written.
    """
    files = [file for stream in choice.streams for file in journal.segments(stream)]
    total, done = sum(journal.size(file) for file in files), 0
    copied: list[Copied] = []
    try:
        target.mkdir(mode=0o750)
        for file in files:
            content = journal.read(file)
            done += len(content.data) if content else 0
            progress(done, total)
            if content is None or content.tail is None or content.header is None:
                continue  # gone by retention, or not sealed yet
            found = content.tail.summary
            if found.samples and not choice.overlaps(found.time_min_ns, found.time_max_ns):
                continue
            folder = target / file.stream.value
            folder.mkdir(mode=0o750, exist_ok=True)
            (folder / content.file.path.name).write_bytes(content.data)
            copied.append(
                Copied(
                    file=f"{file.stream.value}/{content.file.path.name}",
                    bytes=len(content.data),
                    sha256=hashlib.sha256(content.data).hexdigest(),
                    stream=file.stream.value,
                    epoch=f"{file.place.epoch:016x}",
                    first_seq=file.place.first_seq,
                    last_seq=found.last_seq,
                    samples=found.samples,
                    thinned=found.thinned,
                    time_min_ns=found.time_min_ns,
                    time_max_ns=found.time_max_ns,
                )
            )
        text = {
            "format": 1,
            "streams": [stream.value for stream in Stream if stream in choice.streams],
            "segments": [asdict(one) for one in copied],
        }
        (target / MANIFEST).write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    except FileExistsError as error:
        raise RequestInvalid(
            f"{target} is there already", hint="name a directory that does not exist yet"
        ) from error
    except OSError as error:
        raise RequestFailed(
            f"the copy in {target} cannot be written: {error.strerror or error}",
            hint="look at its disk and at who may write there",
        ) from error
    return copied
