"""The checks, one function each, in the order in which they are run.

Owns what is asked of a plugin process. A check starts its own processes, so that one that fails
spoils no other. It gives words for people, and raises AssertionError or HostError if it fails.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forebay_plugin import frames as framing
from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin.checking import Taken, take
from forebay_plugin.conformance import data
from forebay_plugin.hosting import PluginProcess
from forebay_plugin.serving import PROTOCOL
from forebay_plugin.testing import setup_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from forebay_plugin.frames import Column, Frame
    from forebay_plugin.manifest import Manifest
    from forebay_plugin.types import Type

END_S = 10.0
"""How long a process may take to end after its last work: the gateway kills it then."""
LARGE_BYTES = 6 * 1024 * 1024
"""Over what gRPC takes by default in every language (4 MiB): a plugin must lift that limit."""


@dataclass(frozen=True)
class Subject:
    """The plugin under test, with data of the first round's types."""

    manifest: Manifest
    model: Path | None
    types: dict[str, Type]
    rows: int
    end_s: float = END_S

    @classmethod
    def of(cls, manifest: Manifest, model: Path | None = None, end_s: float = END_S) -> Subject:
        """Choose tags and types. Raises ManifestError if the patterns name too few tags."""
        return cls(manifest, model, data.assigned(manifest, 0), data.window_rows(manifest), end_s)

    def process(self, *, expected: str | None = None) -> PluginProcess:
        """A process that is started by `with`."""
        return PluginProcess(
            self.manifest.command_line(), self.manifest.directory, expected=expected
        )

    def attached(self, process: PluginProcess, columns: Sequence[Column]) -> pb.Ready:
        """Set up `process` for these columns."""
        message = setup_message(self.manifest, columns, process.state, self.model)
        return process.attach(message, self.manifest.start_timeout_s)

    def frames(
        self, rows: int | None = None, *, bad: bool = False, odd: bool = False
    ) -> list[Frame]:
        """Data of so many rows; one window's if None."""
        return data.frames(self.types, self.rows if rows is None else rows, bad=bad, odd=odd)

    def columns(self, frames: Sequence[Frame]) -> list[Column]:
        """What the manifest's patterns find in `frames`."""
        return framing.columns_of(self.manifest, frames)

    def ask(self, process: PluginProcess, work: pb.Work) -> Taken:
        """Send `work`, and check its answer as the gateway does."""
        taken = Taken()
        results = process.ask(work, self.manifest.deadline_s)
        take(results, work, self.manifest.outputs, taken)
        return taken


def _work(
    number: int, frames: Sequence[Frame], columns: Sequence[Column], cuts: Sequence[tuple[int, int]]
) -> pb.Work:
    """Windows over the same rows (first, count) of every frame."""
    windows = []
    for first, count in cuts:
        times = frames[0].times_ns
        begin = int(times[first]) if count else data.START_NS
        windows.append((begin, begin + count * data.PERIOD_NS, [(first, count)] * len(frames)))
    return framing.work(number, number * 1000, windows, frames, columns)


def _told(taken: Taken) -> str:
    if taken.failures:
        return f"answered with a failure: {taken.failures[0][1][:80]}"
    count = sum(len(part) for parts in taken.samples.values() for part in parts)
    return f"{count} samples"


def says_hello_and_is_ready(subject: Subject) -> str:
    """The handshake, in the time that the manifest asks for."""
    columns = subject.columns(subject.frames())
    with subject.process() as process:
        message = setup_message(subject.manifest, columns, process.state, subject.model)
        hello = process.hear("hello", subject.manifest.start_timeout_s).hello
        assert hello.protocol == PROTOCOL, f"speaks protocol {hello.protocol}, not {PROTOCOL}"
        assert hello.sdk, "hello.sdk is empty: say what speaks, and its version"
        process.say(pb.ToPlugin(setup=message))
        ready = process.hear("ready", subject.manifest.start_timeout_s).ready
    facts = ", ".join(f"{key} {text}" for key, text in sorted(ready.facts.items()))
    return f"{hello.sdk}; {ready.detail or facts or 'no facts'}"


def ends_when_its_token_is_refused(subject: Subject) -> str:
    """A process that was not started by this host gets no data, and does not stay."""
    with subject.process(expected="another") as process:
        code = process.ended(subject.manifest.start_timeout_s)
        assert process.was_refused, f"ended with {code} before it said hello:\n{process.log}"
        assert code != 0, "ended with 0, as if all were well"
    return f"exit code {code}"


def answers_a_ping(subject: Subject) -> str:
    """With the ping's id."""
    with subject.process() as process:
        subject.attached(process, subject.columns(subject.frames()))
        for identity in (1, 2**40):
            process.say(pb.ToPlugin(ping=pb.Ping(id=identity)))
            pong = process.hear("pong", subject.manifest.deadline_s).pong
            assert pong.id == identity, f"pong {pong.id} for ping {identity}"
    return ""


def takes_every_type(subject: Subject) -> str:
    """Each type of value that its roles take, text and bytes among them if they do."""
    seen, told = set(), ""
    for turn in range(data.rounds(subject.manifest)):
        types = data.assigned(subject.manifest, turn)
        frames = data.frames(types, subject.rows)
        columns = subject.columns(frames)
        with subject.process() as process:
            subject.attached(process, columns)
            work = _work(1, frames, columns, [(0, subject.rows)])
            told = _told(subject.ask(process, work))
        seen |= {kind.word for kind in types.values()}
    return f"{', '.join(sorted(seen))}; {told}"


def _one_window(subject: Subject, frames: Sequence[Frame], count: int) -> str:
    columns = subject.columns(frames)
    with subject.process() as process:
        subject.attached(process, columns)
        told = _told(subject.ask(process, _work(1, frames, columns, [(0, count)])))
        _still_there(subject, process)
    return told


def _still_there(subject: Subject, process: PluginProcess) -> None:
    process.say(pb.ToPlugin(ping=pb.Ping(id=7)))
    process.hear("pong", subject.manifest.deadline_s)


def bears_bad_quality(subject: Subject) -> str:
    """A window without one good value."""
    return _one_window(subject, subject.frames(bad=True), subject.rows)


def bears_what_is_not_finite(subject: Subject) -> str:
    """NaN and infinities that a device sent with good quality."""
    return _one_window(subject, subject.frames(odd=True), subject.rows)


def bears_empty_axes(subject: Subject) -> str:
    """A window of a time in which nothing was read."""
    return _one_window(subject, subject.frames(0), 0)


def contains_the_failure_of_a_window(subject: Subject) -> str:
    """An empty window between two others costs them nothing."""
    rows = subject.rows
    frames = subject.frames(2 * rows)
    columns = subject.columns(frames)
    with subject.process() as process:
        subject.attached(process, columns)
        alone = subject.ask(process, _work(1, frames, columns, [(0, rows)]))
        among = subject.ask(process, _work(2, frames, columns, [(0, rows), (0, 0), (rows, rows)]))
    lost = [number for number, _ in among.failures if number != 2002]
    assert alone.failures or not lost, f"windows failed beside an empty one: {among.failures}"
    return f"{3 - len(among.failures)} of 3 windows"


def answers_overlapping_windows_in_order(subject: Subject) -> str:
    """As many windows in one work as the manifest asks for, each one row behind the last."""
    count = min(subject.manifest.batch, 64)
    frames = subject.frames(subject.rows + count)
    columns = subject.columns(frames)
    with subject.process() as process:
        subject.attached(process, columns)
        cuts = [(first, subject.rows) for first in range(count)]
        taken = subject.ask(process, _work(1, frames, columns, cuts))
    return f"{count} windows, {_told(taken)}"


def answers_works_in_flight_in_order(subject: Subject) -> str:
    """Works that are sent before the one before them is answered."""
    frames = subject.frames()
    columns = subject.columns(frames)
    with subject.process() as process:
        subject.attached(process, columns)
        works = [_work(number, frames, columns, [(0, subject.rows)]) for number in (1, 2, 3)]
        for work in works:
            process.say(pb.ToPlugin(work=work))
        for work in works:
            results = process.hear("results", subject.manifest.deadline_s).results
            take(results, work, subject.manifest.outputs, Taken())
    return ""


def takes_large_messages(subject: Subject) -> str:
    """Work of 6 MiB, of which one window looks at the end."""
    a_row = 8 * (1 + len(subject.types))
    rows = max(LARGE_BYTES // a_row, subject.rows) + 1
    frames = subject.frames(rows)
    columns = subject.columns(frames)
    windows = [(data.START_NS, data.START_NS + rows * data.PERIOD_NS, [(0, rows)] * len(frames))]
    work = framing.work(1, 0, windows, frames, columns)
    ends = [(rows - subject.rows, subject.rows)] * len(frames)
    work.windows.rows = np.array(ends, "<u4").tobytes()
    with subject.process() as process:
        subject.attached(process, columns)
        taken = subject.ask(process, work)
    return f"{work.ByteSize() / 1048576:.1f} MiB, {_told(taken)}"


def ends_when_it_is_told(subject: Subject) -> str:
    """Stop behind a work: the work is answered, and the process ends with 0."""
    frames = subject.frames()
    columns = subject.columns(frames)
    with subject.process() as process:
        subject.attached(process, columns)
        process.say(pb.ToPlugin(work=_work(1, frames, columns, [(0, subject.rows)])))
        process.say(pb.ToPlugin(stop=pb.Stop(reason="conformance")))
        process.hear("results", subject.manifest.deadline_s)
        code = process.ended(subject.end_s)
        assert code == 0, f"ended with {code}:\n{process.log}"
    return ""


def ends_on_sigterm(subject: Subject) -> str:
    """The second thing that the gateway tries, before it kills."""
    with subject.process() as process:
        subject.attached(process, subject.columns(subject.frames()))
        process.process.send_signal(signal.SIGTERM)
        code = process.ended(subject.end_s)
    return f"exit code {code}"


def ends_with_its_host(subject: Subject) -> str:
    """The gateway was killed: nothing of it may stay and wait."""
    with subject.process() as process:
        subject.attached(process, subject.columns(subject.frames()))
        process.vanish()
        code = process.ended(subject.end_s)
    return f"exit code {code}"


CHECKS: tuple[Callable[[Subject], str], ...] = (
    says_hello_and_is_ready,
    ends_when_its_token_is_refused,
    answers_a_ping,
    takes_every_type,
    bears_bad_quality,
    bears_what_is_not_finite,
    bears_empty_axes,
    contains_the_failure_of_a_window,
    answers_overlapping_windows_in_order,
    answers_works_in_flight_in_order,
    takes_large_messages,
    ends_when_it_is_told,
    ends_on_sigterm,
    ends_with_its_host,
)
