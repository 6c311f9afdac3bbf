"""`forebay journal verify`: reads every byte of a journal and says whether it is sound.

Owns what must hold between segments (chain, totals, density, gaps that name what is missing) and
the small files beside them. A journal is sound if all that is there is whole, and all that is not
there is named by a gap. Must not know how the answer is shown; changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from forebay.journal import smallfiles, tip
from forebay.journal.named import outermost, positions, uncovered, within
from forebay.journal.offline import OfflineJournal
from forebay.journal.record import NO_CHAIN
from forebay.journal.soundness import Findings, Lost, check
from forebay.model import GapCause, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from forebay.files import Disk
    from forebay.journal.ledger import Place
    from forebay.journal.offline import SegmentFile
    from forebay.model import Gap

SETTLE_TRIES = 5
"""How often the end of the segment that is being written is looked at before it counts as torn."""


class Problem(NamedTuple):
    """What is wrong, and where: a path within the directory."""

    where: str
    what: str


@dataclass(slots=True)
class StreamReport:
    """What a stream holds. `named_*` are gone and a gap says so; the gap may not know how many."""

    stream: str
    segments: int = 0
    records: int = 0
    batches: int = 0
    samples: int = 0
    thinned: int = 0
    bytes: int = 0
    epochs: int = 0
    gaps: int = 0
    named_records: int = 0
    named_samples: int = 0
    oldest_ns: int = 0
    newest_ns: int = 0


@dataclass(slots=True)
class Report:
    """The whole. `notes` are worth knowing and no fault of the journal."""

    directory: str
    streams: list[StreamReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether all that is there is whole, and all that is not there is named by a gap."""
        return not self.problems


def verify(
    directory: Path,
    disk: Disk,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    pause: Callable[[], object] = lambda: None,
) -> Report:
    """Read the journal in `directory` whole. Blocks. JournalMissing if there is none.

    `progress` is told how many bytes of how many are read; `pause` waits until a record that is
    being written may be whole. In memory is one segment at a time.
    """
    journal = OfflineJournal(directory, disk)
    report = Report(str(directory))
    tips, wrong = smallfiles.tips(journal)  # before the segments, which may go on meanwhile
    if wrong:
        report.problems.append(Problem(tip.NAME, wrong))
    files = {stream: journal.segments(stream) for stream in Stream}
    reached = smallfiles.furthest(journal)  # behind them: what goes in silence is passed by then
    total = sum(journal.size(file) for found in files.values() for file in found)
    done = 0

    def read(size: int) -> None:
        nonlocal done
        done += size
        progress(done, max(done, total))

    for stream in Stream:
        if files[stream]:
            walk = _StreamWalk(journal, report, StreamReport(stream.value))
            walk.run(files[stream], read, pause)
            walk.beginning(reached.get(stream))
            walk.witness(tips.get(stream))
        elif stream in tips:
            report.problems.append(Problem(stream.value, "the tip names records, none is here"))
    for path, what in smallfiles.problems(journal):
        report.problems.append(Problem(path, what))
    for path, what in smallfiles.notes(journal):
        report.notes.append(Problem(path, what))
    return report


class _Turn(NamedTuple):
    """Samples that were counted behind the position `last` and before `epoch` began."""

    where: str
    last: tuple[int, int]
    epoch: int
    samples: int


def unnamed(lost: Lost, gaps: Iterable[Gap]) -> str:
    """Give, as a person writes them, those of the lost positions that no gap names."""
    runs = uncovered(*lost[:3], gaps)
    return ", ".join(f"{first}-{last}" if first < last else str(first) for first, last in runs)


class _StreamWalk:
    """One stream, oldest segment first."""

    def __init__(self, journal: OfflineJournal, report: Report, out: StreamReport) -> None:
        self._journal, self._report, self._out = journal, report, out
        self._lost: list[tuple[str, Lost]] = []
        self._gaps: list[Gap] = []
        self._turns: list[_Turn] = []
        self._first: Findings | None = None
        self._where = ""
        self._last: Findings | None = None

    def run(
        self, files: Sequence[SegmentFile], read: Callable[[int], None], pause: Callable[[], object]
    ) -> None:
        before: Findings | None = None
        epochs: set[int] = set()
        for file in files:
            newest = file is files[-1]
            found, size, sealed = self._look(file, pause if newest else lambda: None)
            read(size)
            if found is None:
                before = None  # retention was faster, which goes from the oldest on
                continue
            where = f"{file.stream.value}/{file.path.name}"
            for word in found.words:
                self._wrong(where, word)
            if found.unsaid:
                self._wrong(where, f"and {found.unsaid} more of the like")
            if not sealed and not newest:
                self._wrong(where, "its footer is damaged or missing")
            elif found.torn:
                self._wrong(where, f"behind its last record are {found.torn} bytes of none")
            if file is files[0]:
                self._first = found  # else retention was faster, and what it said may be elsewhere
                self._where = where
            self._join(where, before, found)
            self._take(where, found, size)
            epochs.add(found.place.epoch)
            before = found
        self._last = before
        self._out.segments, self._out.epochs = len(files), len(epochs)
        self._account()
        self._report.streams.append(self._out)

    def beginning(self, reached: Place | None) -> None:
        """Hold what stood before the oldest segment against what gaps say.

        Retention removes in silence what every consumer has passed. So what lies behind the
        furthest, at `reached`, is on disk, or gaps name it, or it was lost.
        """
        first = self._first
        if first is None or first.begin is None:
            return
        end, begin = (first.place.epoch, first.place.first_seq - 1), first.begin
        named = within(self._gaps, (0, 0), end)
        self._out.named_records += positions(named)
        self._out.named_samples += min(
            begin.counted + begin.missing, sum(gap.samples or 0 for gap in outermost(named))
        )
        known = reached is not None and (reached.records or not reached.counted_to.epoch)
        if reached is None or not known:
            return
        said = within(self._gaps, reached.counted_to[1:], end)
        count = begin.records - reached.records - positions(said)
        if count > 0:
            self._wrong(self._where, f"{count} records before it are gone, and no gap names them")
        elif lost := positions(gap for gap in said if gap.cause is GapCause.CORRUPT):
            note = f"{lost} records before it: no segment has them; a gap names them"
            self._report.notes.append(Problem(self._where, note))

    def witness(self, seen: tip.Tip | None) -> None:
        """Compare the stream's end with what the tip file says was durable."""
        last = self._last
        if seen is None or last is None or seen[:2] < (last.place.epoch, last.last_seq):
            return
        if seen[:2] == (last.place.epoch, last.last_seq):
            if last.chain is not None and seen.chain != last.chain:
                self._wrong(tip.NAME, f"{self._out.stream}: the chain at record {seen.seq} differs")
            return
        first = last.last_seq + 1 if seen.epoch == last.place.epoch else 1
        if open_ := unnamed(Lost(seen.epoch, first, seen.seq, None, ""), self._gaps):
            self._wrong(
                tip.NAME,
                f"{self._out.stream}: record {seen.seq} was on disk, and {open_} is not there",
            )

    def _look(
        self, file: SegmentFile, pause: Callable[[], object]
    ) -> tuple[Findings | None, int, bool]:
        """Check one segment: again where its end is just being written."""
        for attempt in range(SETTLE_TRIES):
            content = self._journal.read(file)
            if content is None:
                return None, 0, False
            found = check(content, self._journal.schemas)
            if not found.torn or content.tail is not None or attempt == SETTLE_TRIES - 1:
                return found, len(content.data), content.tail is not None
            pause()
        raise AssertionError("unreachable")

    def _join(self, where: str, before: Findings | None, found: Findings) -> None:
        """Check what must hold between a segment and the one before it."""
        first = found.place.first_seq
        if first == 1 and found.chain_before not in (None, NO_CHAIN):
            self._wrong(where, "the chain of its epoch does not begin with zeros")
        if before is None:
            return
        samples = None
        if found.begin is not None and before.end is not None:
            samples = found.begin.counted - before.end.counted
            if samples < 0:
                self._wrong(where, "its totals are lower than those of the segment before it")
        epoch, due = found.place.epoch, before.last_seq + 1
        if before.place.epoch != epoch:
            self._new_epoch(where, before, found, samples)
        elif first > due:
            gone = Lost(epoch, due, first - 1, samples, "no segment has it")
            self._lost.append((where, gone))
        else:
            self._follows(where, before, found)

    def _new_epoch(
        self, where: str, before: Findings, found: Findings, samples: int | None
    ) -> None:
        """Note what is missing where an epoch begins."""
        if found.place.first_seq > 1:
            gone = Lost(found.place.epoch, 1, found.place.first_seq - 1, None, "no segment has it")
            self._lost.append((where, gone))
        elif samples:
            last = (before.place.epoch, before.last_seq)
            self._turns.append(_Turn(where, last, found.place.epoch, samples))

    def _follows(self, where: str, before: Findings, found: Findings) -> None:
        """Check that a segment goes on just where the one before it ends."""
        first = found.place.first_seq
        chains = (before.chain, found.chain_before)
        if first <= before.last_seq:
            self._wrong(where, f"it begins with record {first}, which another segment has too")
        elif found.begin and before.end and found.begin != before.end:
            self._wrong(where, "its totals do not follow from the segment before it")
        elif None not in chains and chains[0] != chains[1]:
            self._wrong(where, "its chain does not follow from the segment before it")

    def _take(self, where: str, found: Findings, size: int) -> None:
        out = self._out
        out.records += found.records
        out.batches += found.batches
        out.samples += found.samples
        out.thinned += found.thinned
        out.bytes += size
        out.gaps += len(found.gaps)
        if found.batches:
            out.oldest_ns = min(out.oldest_ns or found.time_min_ns, found.time_min_ns)
            out.newest_ns = max(out.newest_ns, found.time_max_ns)
        self._gaps += [gap for gap in found.gaps if gap.journaled]
        self._lost += [(where, lost) for lost in found.lost]

    def _account(self) -> None:
        """Hold what is missing against what gaps say."""
        for where, lost in self._lost:
            count = lost.seq_to - lost.seq_from + 1
            which = (
                f"records {lost.seq_from}-{lost.seq_to}" if count > 1 else f"record {lost.seq_to}"
            )
            size = "" if lost.samples is None else f" ({lost.samples} samples)"
            open_ = unnamed(lost, self._gaps)
            if open_:
                self._wrong(where, f"{which}{size}: {lost.why}, and no gap names {open_}")
                continue
            same = [
                gap.samples
                for gap in self._gaps
                if (gap.epoch, gap.seq_from, gap.seq_to) == lost[:3] and gap.samples is not None
            ]
            if same and lost.samples is not None and lost.samples not in same:
                self._wrong(where, f"{which}{size}: the gap that names it says {same[-1]} samples")
                continue
            self._out.named_records += count
            self._out.named_samples += lost.samples if lost.samples is not None else sum(same[-1:])
            note = Problem(where, f"{which}{size}: {lost.why}; a gap names it")
            self._report.notes.append(note)
        for turn in self._turns:
            self._turn(turn)

    def _turn(self, turn: _Turn) -> None:
        """Hold the samples that are missing where one epoch ends and another begins."""
        told = [
            gap.samples
            for gap in self._gaps
            if turn.last < (gap.epoch, gap.seq_from) and gap.epoch < turn.epoch
        ]
        if None not in told and sum(filter(None, told)) < turn.samples:
            self._wrong(
                turn.where,
                f"{turn.samples} samples are gone at the end of the epoch before it, "
                f"and gaps name {sum(filter(None, told))}",
            )
            return
        self._out.named_samples += turn.samples

    def _wrong(self, where: str, what: str) -> None:
        self._report.problems.append(Problem(where, what))
