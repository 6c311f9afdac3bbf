"""`forebay plugins`: what runs beside the data, and what a person does about it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import call, output, plugins_install, plugins_model, plugins_replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import PluginDone, PluginLogLine, PluginStatus
    from forebay.control.client import AgentClient

ORDER = ("refused", "waiting", "stopped", "no-inputs", "starting", "running", "disabled")
"""States by how much they want attention; one that this command does not know comes first."""
AT_REST = ("refused", "disabled")
"""States without a host: there is nothing to tell."""
STYLES = {
    "refused": output.BAD,
    "waiting": output.BAD,
    "starting": output.ODD,
    "stopped": output.ODD,
    "no-inputs": output.ODD,
    "running": output.GOOD,
}
FOLLOW_S = 0.5
STRONG = ("systemd", "cgroup limits", "bubblewrap", "own user", "rlimits", "as root")
"""What tells how well a process is held; the rest is the same everywhere."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of its table [plugins.NAME].")]
Lines = Annotated[int, typer.Option("--lines", min=1, max=1_000, help="Most lines shown at first.")]
Follow = Annotated[
    bool, typer.Option("--follow", help="Go on with what it prints, until interrupted.")
]


def add(app: typer.Typer, name: str) -> None:
    """Add the group of commands to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Look at plugins, install them, try them out.")
    group.command("ls")(ls)
    group.command("show")(show)
    group.command("logs")(logs)
    group.command("restart")(restart)
    plugins_install.add(group)
    plugins_replay.add(group)
    plugins_model.add(group)
    app.add_typer(group, name=name)


def ls(
    socket: call.Socket = call.SOCKET, *, as_json: call.Json = False, watch: call.Watch = False
) -> None:
    """List the plugins, those in trouble first."""
    with call.agent(socket, as_json=as_json) as agent:
        if watch and not as_json:
            output.watch(lambda: parts(agent.plugins().plugins))
            return
        reply = agent.plugins()
        output.answer(reply, parts(reply.plugins), as_json=as_json)


def show(name: Name, socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """Show one plugin: what it takes and gives, what it says of itself, how it does."""
    with call.agent(socket, as_json=as_json) as agent:
        (status,) = agent.plugins(name).plugins
        output.answer(status, one_parts(status), as_json=as_json)


def logs(
    name: Name,
    socket: call.Socket = call.SOCKET,
    *,
    lines: Lines = 100,
    follow: Follow = False,
    as_json: call.Json = False,
) -> None:
    """Show what a plugin printed lately. With --json and --follow, one document a line."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.plugin_log(name, limit=lines)
        if not follow:
            output.answer(
                reply, [Text(output.clean(one.text)) for one in reply.lines], as_json=as_json
            )
            return
        try:
            _follow(agent, name, reply.lines, as_json=as_json)
        except KeyboardInterrupt:
            return


def _follow(
    agent: AgentClient, name: str, found: Sequence[PluginLogLine], *, as_json: bool
) -> None:
    pause, after = threading.Event(), 0
    while True:
        for line in found:
            after = line.number
            if as_json:
                output.document(output.plain(line))
            else:
                print(output.clean(line.text), flush=True)
        pause.wait(FOLLOW_S)
        found = agent.plugin_log(name, after, 1_000).lines


def restart(name: Name, socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """End a plugin's process and start it anew, at once. What it did not finish is done again."""
    with call.agent(socket, as_json=as_json) as agent:
        done(agent.restart_plugin(name), "started anew", as_json=as_json)


def done(reply: PluginDone, verb: str, *, as_json: bool) -> None:
    """Tell what became of a wish; ends with 1 if any part of it failed."""
    told = [Text(f"{name}: {verb}") for name in reply.done]
    told += [Text(output.clean(reason), output.BAD) for reason in reply.failed]
    output.answer(reply, told, as_json=as_json)
    if reply.failed:
        raise typer.Exit(call.EXIT_FAILURE)


def parts(found: Iterable[PluginStatus]) -> Iterator[RenderableType]:
    """Give what a person sees: the table, and below it each plugin's fault with its next step."""
    ranked = sorted(found, key=lambda p: ORDER.index(p.state) if p.state in ORDER else -1)
    if not ranked:
        yield Text("no plugins are configured")
        return
    yield output.table(
        ("=NAME", "=PLUGIN", "=STATE", "SANDBOX", ">WIN/S", ">LAG", ">RESTARTS"),
        [
            (
                one.name,
                f"{one.plugin} {one.version}".rstrip(),
                Text(one.state, STYLES.get(one.state, output.QUIET)),
                _held(one),
                f"{one.windows_per_s:,.1f}",
                output.duration(one.lag_s) if one.lag_s else "-",
                output.count(one.restarts),
            )
            for one in ranked
        ],
    )
    for one in ranked:
        yield from _trouble(one)


def _took(ms: float) -> str:
    return f"{ms:.3g} ms" if ms < 999.5 else output.duration(ms / 1000)


def _held(one: PluginStatus) -> str:
    """Give what holds a process, without what always does."""
    if one.state in AT_REST:
        return "-"
    return ", ".join(word for word in one.sandbox if word in STRONG) or "watched only"


def _trouble(one: PluginStatus) -> Iterator[RenderableType]:
    """Tell what is wrong, or was last, and what its results lack."""
    if one.last_error and one.state != "running":
        again = f" (starts again in {output.duration(one.next_try_s)})" if one.next_try_s else ""
        yield output.fault(one.name, one.last_error + again, one.last_hint)
    elif one.last_error:
        yield Text(output.clean(f"{one.name}: last error: {one.last_error}"), output.QUIET)
    remarks = (
        (one.windows_failed, "windows failed"),
        (one.windows_passed, "windows given up, behind a gap"),
        (one.records_skipped, "records of the journal skipped"),
        (one.samples_refused, "results refused"),
    )
    if said := ", ".join(f"{output.count(number)} {what}" for number, what in remarks if number):
        yield Text(f"{one.name}: {said}", output.QUIET)


def one_parts(one: PluginStatus) -> Iterator[RenderableType]:
    """Give what a person sees of one plugin."""
    yield Text.assemble(
        (one.name, "bold"),
        f" is {output.clean(f'{one.plugin} {one.version}'.rstrip())}, ",
        (one.state, STYLES.get(one.state, output.QUIET)),
        f", process {one.pid}" if one.pid else "",
    )
    rows = [
        ("directory", one.directory),
        ("held by", ", ".join(one.sandbox)),
        ("speaks", one.sdk),
        ("says", one.detail),
        *((fact.name, fact.text) for fact in one.facts),
        ("memory", f"{output.size(one.memory_bytes)}, {one.tasks} tasks" if one.pid else ""),
        ("windows", f"{output.count(one.windows)}, {one.windows_per_s:,.1f}/s"),
        ("took", f"p50 {_took(one.took_p50_ms)}, p99 {_took(one.took_p99_ms)}"),
        ("lag", output.duration(one.lag_s) if one.lag_s else "none"),
        ("results", f"{output.count(one.samples)} samples"),
        *((f"refused: {no.reason}", output.count(no.samples)) for no in one.refused),
    ]
    if one.state not in AT_REST:
        yield output.table(("=WHAT", "HOW"), [row for row in rows if row[1]])
    for title, tags in (("TAKES", one.inputs), ("GIVES", one.outputs)):
        if tags:
            yield Text()
            yield output.table(
                (f"={title}", "=TAG", "TYPE", "UNIT"),
                [(tag.role, tag.tag, tag.type, tag.unit) for tag in tags],
            )
    yield from _trouble(one)
