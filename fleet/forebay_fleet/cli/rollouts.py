"""The commands of rollouts: check, start, list, show, pause, resume, abort.

Owns their arguments and what they print. They change the registry beside a running server, whose
engine moves rollouts. What a command needs is imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forebay_fleet.cli import common
from forebay_fleet.cli.labels import Name, Why, opened
from forebay_fleet.rollouts.plans import BoxState  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from forebay_fleet.rollouts.book import Rollout
    from forebay_fleet.rollouts.plans import Plan

Id = Annotated[str, typer.Argument(help="Of the rollout.", show_default=False)]
Selector = Annotated[str, typer.Argument(help="Boxes: line=3,site!=ulm,canary; @GROUP; * is all.")]
Source = Annotated[
    Path, typer.Argument(help="forebay.toml, or a directory with one; may be a template.")
]
Canary = Annotated[int, typer.Option(min=0, help="Boxes of the first wave.")]
First = Annotated[list[str] | None, typer.Option("--first", help="A box that goes first.")]
Steps = Annotated[str, typer.Option("--steps", help="Then so many percent of all have it.")]
Failures = Annotated[int, typer.Option(min=0, help="Boxes that may fail or be late.")]
Deadline = Annotated[str, typer.Option(help="How long a box may take: 30min, 2h.")]
Rest = Annotated[str, typer.Option(help="How long it rests between waves: 1h.")]
Window = Annotated[
    str, typer.Option(help="When boxes may change: sat,sun 06:00-18:00, or 22:00-05:00.")
]
Zone = Annotated[str, typer.Option(help="Of the window, for boxes without a label `timezone`.")]
Agent = Annotated[str, typer.Option(help="A published version of the agent to run.")]
MinAgent = Annotated[
    str, typer.Option("--min-agent", help="Not to be begun with by an agent that is older.")
]

app = typer.Typer(
    help="Give many boxes a configuration, in waves; stop by itself.", no_args_is_help=True
)


@app.command()
def check(
    selector: Selector,
    path: Source,
    data: common.Data = common.DATA,
    canary: Canary = 1,
    steps: Steps = "25,100",
    *,
    as_json: common.Json = False,
) -> None:
    """Say which boxes it would go to in which wave, and whether it fits each; change nothing."""
    from forebay_fleet.cli import output
    from forebay_fleet.desired import folder
    from forebay_fleet.rollouts import book
    from forebay_fleet.rollouts.plans import Plan

    plan = Plan(canary=canary, percents=_percents(steps))
    with opened(data) as registry:
        found = book.prove(registry, book.Wanted(selector, folder.read(path), plan))
    faults = {
        box: [one._asdict() for one in every] for box, every in list(found.faults.items())[:100]
    }
    if as_json:
        output.print_json({"boxes": found.boxes, "waves": found.waves, "faults": faults})
    else:
        at = 0
        for number, size in enumerate(found.waves, 1):
            names = found.boxes[at : at + size]
            shown = ", ".join(names[:5]) + (", ..." if size > 5 else "")
            typer.echo(f"wave {number}  {output.counted(size, 'box', 'boxes')}: {shown}")
            at += size
        for box, every in faults.items():
            for one in every:
                typer.echo(f"{box}: {one['path']}: {one['message']} ({one['hint']})")
    if faults:
        raise typer.Exit(2)


@app.command()
def render(
    gateway: Name,
    path: Source,
    to: Annotated[Path, typer.Argument(help="Directory that is made for it.")],
    data: common.Data = common.DATA,
) -> None:
    """Write what one box would get, to look at it or to try it: forebay check."""
    from forebay_fleet.cli.push import for_box
    from forebay_fleet.desired import folder
    from forebay_fleet.errors import UsageError

    contents = for_box(data, gateway, folder.read(path))
    try:
        to.mkdir(parents=True)
        for name, content in contents.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{to}: {error.strerror}", hint="name a directory to be made") from None
    typer.echo(f"forebay check {to / folder.MAIN}")


@app.command()
def start(  # noqa: PLR0913 - an option each
    selector: Selector,
    path: Source,
    data: common.Data = common.DATA,
    *,
    why: Why = "",
    canary: Canary = 1,
    first: First = None,
    steps: Steps = "25,100",
    failures: Failures = 0,
    deadline: Deadline = "1h",
    rest: Rest = "",
    window: Window = "",
    zone: Zone = "UTC",
    agent: Agent = "",
    min_agent: MinAgent = "",
    as_json: common.Json = False,
) -> None:
    """Begin a rollout: a wave follows when all boxes of the one before have kept it."""
    from forebay_fleet.artifacts import choosing
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.cli import output
    from forebay_fleet.desired import folder
    from forebay_fleet.rollouts import book
    from forebay_fleet.rollouts.plans import Plan

    plan = Plan(
        canary=canary,
        percents=_percents(steps),
        failures=failures,
        deadline_s=common.seconds(deadline),
        rest_s=common.seconds(rest) if rest else 0.0,
        window=window,
        zone=zone,
    )
    least = common.least_version(min_agent)
    wanted = book.Wanted(selector, folder.read(path), plan, tuple(first or ()), agent, least)
    choosing.need_agent(Published(data).artifacts() if agent else (), agent)
    with opened(data) as registry:
        id_ = book.start(registry, common.principal(), wanted, why)
        waves = plan.waves(len(book.boxes(registry, id_)))
    if as_json:
        output.print_json({"id": id_, "waves": waves})
        return
    boxes = output.counted(sum(waves), "box", "boxes")
    typer.echo(f"rollout  {id_}: {boxes} in waves of {', '.join(map(str, waves))}")
    typer.echo(f"see how it goes: forebay-fleet rollout show {id_}")


@app.command("list")
def list_(data: common.Data = common.DATA, *, as_json: common.Json = False) -> None:
    """List rollouts, the newest first."""
    from forebay_fleet.cli import output
    from forebay_fleet.rollouts import book

    with opened(data) as registry:
        found = [(one, book.counts(registry, one.id)) for one in book.listed(registry)]
    if as_json:
        output.print_json([_described(one, counts) for one, counts in found])
        return
    rows = [
        (
            *(one.id, output.time(one.began_ns), one.state, one.selector, sum(counts.values())),
            *(_counted(counts), one.who, one.why or "-"),
        )
        for one, counts in found
    ]
    output.table(("rollout", "began", "state", "to", "boxes", "of which", "by", "why"), rows)


@app.command()
def show(
    id_: Id,
    data: common.Data = common.DATA,
    only: Annotated[
        BoxState | None, typer.Option("--only", help="Only the boxes in this state.")
    ] = None,
    *,
    as_json: common.Json = False,
) -> None:
    """Show how a rollout goes, box by box."""
    from forebay_fleet.cli import output
    from forebay_fleet.rollouts import book

    with opened(data) as registry:
        one = book.find(registry, id_)
        counts, boxes = book.counts(registry, id_), book.boxes(registry, id_)
    if as_json:
        shown = [box._asdict() for box in boxes if only in {None, box.state}]
        output.print_json({**_described(one, counts), "boxes": shown})
        return
    facts = [
        ("state", one.state + (f": {one.said}" if one.said else "")),
        ("wave", f"{one.wave + 1} of {boxes[-1].wave + 1}"),
        ("boxes", _counted(counts)),
        ("began", f"{output.time(one.began_ns)} by {one.who}"),
        ("why", one.why or "-"),
    ]
    if one.plan.window:
        facts.append(("window", _window(one.plan)))
    output.table(("rollout", one.id), facts)
    typer.echo("")
    rows = [
        (box.gateway, box.wave + 1, box.state, output.time(box.since_ns), box.said or "-")
        for box in boxes
        if only in {None, box.state}
    ]
    output.table(("gateway", "wave", "state", "since", "why"), rows)


@app.command()
def pause(id_: Id, why: Why = "", data: common.Data = common.DATA) -> None:
    """Offer it to no more boxes; those that have it go on."""
    from forebay_fleet.rollouts import book

    with opened(data) as registry:
        book.pause(registry, common.principal(), id_, why)


@app.command()
def resume(id_: Id, why: Why = "", data: common.Data = common.DATA) -> None:
    """Go on; what has failed until now is borne."""
    from forebay_fleet.rollouts import book

    with opened(data) as registry:
        book.resume(registry, common.principal(), id_, why)


@app.command()
def abort(
    id_: Id,
    why: Why = "",
    data: common.Data = common.DATA,
    *,
    put_back: Annotated[
        bool,
        typer.Option("--put-back", help="Who has it, too, is told again what it was told before."),
    ] = False,
) -> None:
    """End it: who has not begun with it will not."""
    from forebay_fleet.rollouts import book

    with opened(data) as registry:
        book.abort(registry, common.principal(), id_, why, put_back=put_back)


def _window(plan: Plan) -> str:
    import time

    from forebay_fleet.cli import output
    from forebay_fleet.rollouts.plans import Window

    now_ns = time.time_ns()
    next_ns = Window.parse(plan.window).next_open_ns(now_ns, plan.zone)
    when = "open" if next_ns == now_ns else f"opens {output.time(next_ns)}"
    return f"{plan.window} {plan.zone}, {when}"


def _percents(text: str) -> tuple[int, ...]:
    from forebay_fleet.errors import UsageError

    try:
        return tuple(int(one) for one in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"{text!r} are no steps", hint="write 10,50,100") from None


def _counted(counts: Any) -> str:  # noqa: ANN401 - a mapping of states
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))


def _described(one: Rollout, counts: Any) -> dict[str, Any]:  # noqa: ANN401 - a mapping of states
    import json

    return {**one._asdict(), "plan": json.loads(one.plan.dump()), "counts": counts}
