"""`forebay journal forecast`: how long the disk lasts, what fills it, how hard it is worn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.cli.journal_offline import INSTEAD, Directory, progress
from forebay.clock import SystemClock
from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from rich.console import RenderableType

    from forebay.journal.entry import Overflow
    from forebay.journal.forecast import PoolForecast, TagCost, Thinning
    from forebay.model import Stream

DEFAULT_AGE = "30 d"
MaxSize = Annotated[
    str,
    typer.Option(
        "--size",
        help="What the journal may take, as `journal.max_size`; with --directory.",
        show_default="60 % of its file system, if there is room",
    ),
]
MaxAge = Annotated[
    str,
    typer.Option(
        "--age",
        help="How old a segment may grow, as `journal.max_age`; with --directory.",
        show_default=DEFAULT_AGE,
    ),
]
Top = Annotated[int, typer.Option("--top", min=1, max=100_000, help="Most tags shown.")]


@dataclass(frozen=True)
class Asked:
    """What is known of the journal before it is looked at: by the agent, or by options.

    `max_bytes` is None for what its disk allows by default.
    """

    directory: Path
    max_bytes: int | None
    max_age_s: float
    now_ns: int | None = None
    overflow: Mapping[Stream, Overflow] | None = None
    consumers: Collection[str] | None = None
    written_a_day: float | None = None
    budget_a_day: int = 0


@dataclass(frozen=True)
class Forecast:
    """The answer. `windows` holds the pools by the seconds that their rate is taken from."""

    directory: str
    windows: dict[int, list[PoolForecast]]
    thinnings: list[Thinning]
    tags: list[TagCost]
    written_a_day: float | None
    budget_a_day: int


def add(group: typer.Typer) -> None:
    """Add the command to the group `forebay journal`."""
    group.command("forecast")(forecast)


def forecast(
    directory: Directory = None,
    size: MaxSize = "",
    max_age: MaxAge = "",
    top: Top = 10,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Say how long the disk lasts at the rate of now, and what takes the most of it."""
    if directory is None:
        with call.reporting(as_json=as_json):
            _refuse(size=size, age=max_age)
        asked = _asked(socket, as_json=as_json)
    else:
        asked = _given(directory, size, max_age or DEFAULT_AGE)
    with call.reporting(as_json=as_json):
        found = reckon(asked, top)
    if as_json:
        output.document(document(found))
    else:
        output.show(parts(found))


def _refuse(**options: str) -> None:
    """Raise RequestInvalid for options that say what the agent knows."""
    for name, value in options.items():
        if value:
            raise RequestInvalid(
                f"--{name} goes with --directory: the agent has limits of its own",
                hint=f"leave out --{name}, or name the journal with --directory",
            )


def _given(directory: Path, size: str, max_age: str) -> Asked:
    from forebay.settings import parse_duration, parse_size

    try:
        max_bytes = int(parse_size(size)) if size else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--size") from error
    try:
        return Asked(directory, max_bytes, parse_duration(max_age))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--age") from error


def _asked(socket: Path, *, as_json: bool) -> Asked:
    from pathlib import Path

    from forebay.journal.entry import DEFAULT_OVERFLOW, Overflow
    from forebay.journal.forecast import wear
    from forebay.model import Stream

    with call.agent(socket, as_json=as_json, instead=INSTEAD) as agent:
        status, uplinks = agent.journal_status(), agent.uplinks()
    told = {Stream(s.stream): Overflow(s.overflow) for s in status.streams if s.overflow}
    return Asked(
        directory=Path(status.directory),
        max_bytes=status.max_bytes,
        max_age_s=status.max_age_s,
        now_ns=SystemClock().now_ns(),
        overflow={**DEFAULT_OVERFLOW, **told},
        consumers={uplink.name for uplink in uplinks.uplinks},
        written_a_day=wear(status.bytes_written, status.bytes_written_s),
        budget_a_day=status.wear_bytes_per_day,
    )


def reckon(asked: Asked, top: int) -> Forecast:
    """Measure and forecast. JournalMissing, RequestInvalid."""
    from forebay.files import SystemDisk
    from forebay.journal import forecast as reckoning
    from forebay.journal import measure
    from forebay.journal.entry import DEFAULT_OVERFLOW
    from forebay.journal.offline import OfflineJournal
    from forebay.model import Stream

    journal = OfflineJournal(asked.directory, SystemDisk())
    grown = measure.grown(journal, asked.now_ns, asked.consumers)
    if not grown.spans:
        raise RequestInvalid("nothing is journaled yet", hint="ask again when something was read")
    max_bytes = asked.max_bytes
    if max_bytes is None:
        max_bytes = _by_default(asked.directory, sum(grown.used.values()))
    with progress("sample") as tell:
        sample = measure.sample(journal, Stream.TELEMETRY, tell)
    thinnings = measure.thinnings(sample)
    windows = {
        round(window_s): reckoning.pools(
            grown.spans,
            grown.used,
            max_bytes=max_bytes,
            max_age_s=asked.max_age_s,
            segment_bytes=grown.segment_bytes,
            overflow=asked.overflow or DEFAULT_OVERFLOW,
            thinned_ratio=thinnings[-1].ratio if thinnings else 1.0,
            now_ns=grown.now_ns,
            window_s=window_s,
        )
        for window_s in (reckoning.HOUR_S, reckoning.DAY_S)
    }
    telemetry = [span for span in grown.spans if span.stream is Stream.TELEMETRY]
    rate = reckoning.rate(telemetry, grown.now_ns, reckoning.DAY_S)
    costs = measure.tag_costs(sample)
    return Forecast(
        directory=str(asked.directory),
        windows=windows,
        thinnings=thinnings,
        tags=reckoning.costs(costs, rate.bytes_s if rate else 0.0, top),
        written_a_day=asked.written_a_day,
        budget_a_day=asked.budget_a_day,
    )


def _by_default(directory: Path, held_bytes: int) -> int:
    """Give what a gateway that is told nothing would let the journal take there."""
    from forebay.files import SystemDisk
    from forebay.journal.ballast import ballast_bytes
    from forebay.journal.retention import FILE_SYSTEM_SHARE, budget_bytes

    disk = SystemDisk()
    share = round(disk.total_bytes(directory) * FILE_SYSTEM_SHARE)
    return budget_bytes(share, held_bytes, disk.free_bytes(directory), ballast_bytes(share))


def document(found: Forecast) -> dict[str, Any]:
    """Give a forecast as JSON can say it; None is never, or not known."""
    return {
        "directory": found.directory,
        "pools": [
            {
                **asdict(pool),
                "streams": [stream.value for stream in pool.streams],
                "rate": pool.rate and pool.rate._asdict(),
                "window_s": window_s,
            }
            for window_s, pools in found.windows.items()
            for pool in pools
        ],
        "thinning": [{**one._asdict(), "ratio": one.ratio} for one in found.thinnings],
        "tags": [tag._asdict() for tag in found.tags],
        "written_bytes_per_day": found.written_a_day,
        "wear_bytes_per_day": found.budget_a_day,
    }


def parts(found: Forecast) -> Iterator[RenderableType]:
    """Give what a person sees."""
    for window_s, pools in found.windows.items():
        rows = [
            _pool_row(pool)
            for pool in pools
            if pool.rate and (window_s == min(found.windows) or pool.rate.over_s > 3_600)
        ]
        if rows:
            last = "hour" if window_s == 3_600 else "day"
            yield Text(f"If nothing were delivered from now on, at the rate of the last {last}:")
            yield output.table(
                ("=POOL", ">A DAY", ">SAMPLES/S", ">WAITING", ">OF", "=THINS IN", "=DROPS IN"),
                rows,
            )
    if found.thinnings:
        span = output.duration(found.thinnings[0].span_s)
        yield Text(f"\nThinned, the newest {span} of telemetry would take (an estimate):")
        yield output.table(
            ("BUCKET", ">BYTES", ">SAMPLES"),
            [
                (
                    f"{one.level_s} s",
                    f"{one.ratio:.1%}",
                    f"{one.samples_after / max(1, one.samples_before):.1%}",
                )
                for one in found.thinnings
            ],
        )
    if found.tags:
        yield Text(
            "\nWhat the tags of telemetry take (an estimate: columns are compressed together):"
        )
        yield output.table(
            ("=TAG", ">SHARE", ">A DAY"),
            [
                (f"{tag.device}/{tag.tag}", f"{tag.share:.1%}", output.size(tag.bytes_a_day))
                for tag in found.tags
            ],
        )
    if found.written_a_day is not None:
        budget, a_day = found.budget_a_day, found.written_a_day
        yield Text(
            f"\n{output.size(a_day)} a day are written to the disk"
            + (f", journal.wear_budget is {output.size(budget)}" if budget else ""),
            output.ODD if budget and a_day > budget else "",
        )


def _pool_row(pool: PoolForecast) -> tuple[str | Text, ...]:
    assert pool.rate is not None
    soon = pool.drops_in_s is not None and pool.drops_in_s < 86_400
    return (
        ", ".join(stream.value for stream in pool.streams),
        output.size(pool.rate.bytes_s * 86_400),
        f"{pool.rate.samples_s:,.0f}",
        output.size(pool.undelivered_bytes),
        output.size(pool.room_bytes),
        _roughly(pool.thins_in_s),
        Text(
            _roughly(pool.drops_in_s) + (" (age)" if pool.drops_by == "age" else ""),
            output.ODD if soon else "",
        ),
    )


def _roughly(seconds: float | None) -> str:
    """Give a duration in its largest unit: a forecast is no better than that."""
    if seconds is None:
        return "-"
    unit_s = next((unit for unit in (86_400, 3_600, 60) if seconds >= 2 * unit), 1)
    return output.duration(seconds // unit_s * unit_s) if unit_s > 1 else "now"
