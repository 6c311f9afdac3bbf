"""When the files that follow the log, cursors and tip, are written.

Each costs a page and a flush however little has changed, so they may lag by a little. Owns by how
much. Must not know what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.files import no_space

if TYPE_CHECKING:
    from forebay.clock import Clock
    from forebay.journal.catalog import Catalog
    from forebay.journal.cursor import CursorStore
    from forebay.journal.tip import TipFile

SAVE_EVERY_S = 1.0
"""How often it is looked whether there is something to save."""
LAG_RECORDS = 64
"""So many records make a save due at once."""
LAG_S = 10.0
"""So long at most what has moved by fewer records waits."""
ALL = 1 << 63
"""More records than there are: what cannot be told in records does not wait."""


class Saving:
    """Saves cursors and tip. One thread at a time; all calls block."""

    def __init__(self, cursors: CursorStore, tip: TipFile, catalog: Catalog, clock: Clock) -> None:
        """Save how far `catalog` is in `tip`."""
        self._cursors, self._tip, self._catalog, self._clock = cursors, tip, catalog, clock
        self._due_s = clock.monotonic_s()

    def look(self) -> None:
        """Settle the cursors, and save what has moved far enough or waited long enough.

        OSError if the disk refuses; a disk without room is no failure.
        """
        due = self._clock.monotonic_s() >= self._due_s
        if self._save(1 if due else LAG_RECORDS) and due:
            self._due_s = self._clock.monotonic_s() + LAG_S

    def end(self, *, orderly: bool) -> None:
        """Save everything; `orderly` as in the tip. OSError as `look`."""
        self._save(1, orderly=orderly)

    def _save(self, fewest: int, *, orderly: bool = False) -> bool:
        """Save what moved by the `fewest` records; whether anything was written."""
        wrote = False
        try:
            wrote = self._cursors.save(fewest)
        except OSError as error:  # both are hints: a second later there may be room
            if not no_space(error):
                raise
        try:
            tips, now_ns = self._catalog.tips(), self._clock.now_ns()
            wrote = self._tip.save(tips, now_ns, orderly=orderly, fewest=fewest) or wrote
        except OSError as error:
            if not no_space(error):
                raise
        return wrote
