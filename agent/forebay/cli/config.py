"""`forebay config`: which configuration runs, what differs, how another one is tried.

Owns what a person sees of it, and the reading of a person's files. Must not know how a
configuration is tried.
"""

from __future__ import annotations

import difflib
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.errors import AgentUnreachable, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from forebay._proto.control_pb2 import ConfigAttempt, ConfigFault, ConfigReply
    from forebay.control.configquestions import ReadFile

ENDED = ("committed", "rolled_back", "failed", "superseded")
RUNS = ("probation", "committed")
LEFT_OUT_SHOWN = 20
STYLES = {"committed": output.GOOD, "rolled_back": output.BAD, "failed": output.BAD}
LOOK_S = 0.5
AWAY_S = 60.0
"""How long an agent that begins anew may be gone while a command waits for it."""
HASH_CHARACTERS = 12
SHOWN = (".toml", ".csv")
_SECRET = re.compile(
    r"""^(\s*[\w.-]*(?:password|secret|token|passphrase)\s*=\s*)(?:"[^"\n]*"|'[^'\n]*')""",
    re.MULTILINE | re.IGNORECASE,
)

Other = Annotated[
    Path | None,
    typer.Argument(
        readable=False, help="A main file; by default the one that the agent was started with."
    ),
]
Desired = Annotated[
    bool, typer.Option("--desired/--running", help="What was offered last, or what runs.")
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it is committed or rolled back.")
]
Reason = Annotated[str, typer.Option("--reason", help="For the history and the audit.")]


def add(app: typer.Typer, name: str) -> None:
    """Add the group of commands to `app`."""
    group = typer.Typer(
        no_args_is_help=True, help="See which configuration runs, and try another one."
    )
    for command in (show, diff, apply, history, rollback):
        group.command(command.__name__)(command)
    app.add_typer(group, name=name)


def show(
    socket: call.Socket = call.SOCKET, *, desired: Desired = False, as_json: call.Json = False
) -> None:
    """Show the files of the configuration that runs. Keys and passwords are not shown."""
    with call.agent(socket, as_json=as_json) as agent:
        status = agent.config()
        files = agent.config_files("desired" if desired else "running")
        if as_json:
            output.document({**output.plain(status), **_last(status), "files": _documents(files)})
        else:
            output.show(_shown(status, files))


def diff(
    path: Other = None, socket: call.Socket = call.SOCKET, *, as_json: call.Json = False
) -> None:
    """Show what a file says otherwise than what runs. Exit code 1 if they differ."""
    with call.agent(socket, as_json=as_json) as agent:
        status = agent.config()
        running = agent.config_files("running")
        file = path or Path(status.file)
        found = differences(running, gathered(file))
        if as_json:
            output.document({"file": str(file), "differs": bool(found), "files": found})
        elif found:
            output.show(Text(output.clean(line)) for one in found for line in one["lines"])
        else:
            print(f"{output.clean(str(file))} is what runs")
        if found:
            raise typer.Exit(call.EXIT_FAILURE)


def apply(
    path: Other = None,
    socket: call.Socket = call.SOCKET,
    *,
    wait: Wait = True,
    reason: Reason = "",
    as_json: call.Json = False,
) -> None:
    """Have another configuration run, and keep it only if the data goes on to flow."""
    with call.agent(socket, as_json=as_json) as agent:
        id_ = agent.apply_config(gathered(path or Path(agent.config().file)), reason)
    follow(socket, id_, wait=wait, as_json=as_json)


def history(socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """List what was tried, the newest last."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.config_attempts()
        output.answer(reply, _listed(reply.attempts), as_json=as_json)


def rollback(
    socket: call.Socket = call.SOCKET,
    *,
    wait: Wait = True,
    reason: Reason = "",
    as_json: call.Json = False,
) -> None:
    """Go back to the configuration before: at once from one on trial, else by a trial of it."""
    with call.agent(socket, as_json=as_json) as agent:
        before = agent.config()
        id_ = agent.rollback_config(reason)
    ends = before.on_trial and before.last_attempt.id == id_
    follow(socket, id_, wait=wait, as_json=as_json, wanted="rolled_back" if ends else "committed")


def gathered(path: Path) -> Mapping[str, bytes]:
    """Give the files of the configuration `path`. Raises ConfigError."""
    from forebay.config.bundle import gather

    return gather(path)


# --- following an attempt -------------------------------------------------------------------------


def follow(socket: Path, id_: int, *, wait: bool, as_json: bool, wanted: str = "committed") -> None:
    """Tell how attempt `id_` goes on; ends with 0 if it becomes `wanted`, or without `wait`."""
    told, away_s = "", time.monotonic()
    while True:
        attempt = None
        try:
            attempt, left_out = _asked(socket, id_)
            away_s = time.monotonic()
        except AgentUnreachable as error:
            if time.monotonic() - away_s > AWAY_S:
                call.fail(error, as_json=as_json)
                raise typer.Exit(call.exit_code(error)) from error
        except (RequestFailed, RequestInvalid) as error:
            call.fail(error, as_json=as_json)
            raise typer.Exit(call.exit_code(error)) from error
        if attempt is not None:
            done = attempt.phase in ENDED or not wait
            if attempt.phase != told and not as_json:
                output.show(_steps(attempt))
            told = attempt.phase
            if done:
                break
        threading.Event().wait(LOOK_S)
    if as_json:
        faults = [output.plain(fault) for fault in left_out]
        output.document({**output.plain(attempt), "quarantined": faults})
    else:
        output.show(_left_out(left_out))
    if wait and attempt.phase != wanted:
        raise typer.Exit(call.EXIT_INVALID if attempt.phase == "failed" else call.EXIT_FAILURE)


def _asked(socket: Path, id_: int) -> tuple[ConfigAttempt, Sequence[ConfigFault]]:
    """Ask for one attempt, and for the items of it that are left out while it runs.

    Raises as the client does; RequestFailed if it is forgotten.
    """
    from forebay.control.client import AgentClient

    with AgentClient(socket) as client:
        found = [one for one in client.config_attempts().attempts if one.id == id_]
        status = client.config()
    if not found:
        raise RequestFailed("the agent knows no such attempt", hint="see `forebay config history`")
    runs = status.last_attempt.id == id_ and found[0].phase in RUNS
    return found[0], status.quarantined if runs else ()


def _steps(attempt: ConfigAttempt) -> Iterator[Text]:
    """Give what a person sees of the phase that an attempt is in."""
    phase = attempt.phase
    said = Text.assemble((phase.replace("_", " "), STYLES.get(phase, "")))
    if phase == "probation":
        parts = ", ".join(attempt.changed) or "nothing"
        said.append(output.clean(f": begun, ended or begun again: {parts}"))
    if phase in ENDED and attempt.took_s:
        said.append(f" after {output.duration(attempt.took_s)}", output.QUIET)
    yield said
    if attempt.error:
        yield output.fault(f"attempt {attempt.id}", attempt.error, attempt.hint)
    for remark in attempt.remarks:
        yield Text(output.clean(f"note: {remark}"), output.ODD)


# --- what is shown --------------------------------------------------------------------------------


def summary(status: ConfigReply) -> Iterator[Text]:
    """Say in a line or two which configuration runs."""
    which = f"generation {status.running_generation}"
    if not status.running_generation:
        which = f"the file {status.file}"
    short = status.running[:HASH_CHARACTERS] or "unknown"
    trial = f", on trial for {output.duration(status.probation_left_s)} more"
    yield Text(
        output.clean(
            f"{which} ({short}, {status.running_source}) runs{trial if status.on_trial else ''}"
        )
    )
    yield from _left_out(status.quarantined)
    if status.file_differs:
        yield Text(output.clean(differs(status)), output.ODD)


def _left_out(faults: Sequence[ConfigFault]) -> Iterator[Text]:
    """Name the items that do not run, though the rest of their configuration does."""
    for fault in faults[:LEFT_OUT_SHOWN]:
        yield output.fault(f"left out: {fault.path}", fault.message, fault.hint)
    if len(faults) > LEFT_OUT_SHOWN:
        more = len(faults) - LEFT_OUT_SHOWN
        yield Text(f"left out: {more:,} more, see `forebay config show --json`", output.BAD)


def differs(status: ConfigReply) -> str:
    """Say that the person's file is not what runs."""
    return (
        f"{status.file} is not what runs: see `forebay config diff`, take it with "
        f"`forebay config apply {status.file}`"
    )


def _shown(status: ConfigReply, files: Sequence[ReadFile]) -> Iterator[Text]:
    yield from summary(status)
    for one in files:
        yield Text()
        yield Text(f"# {one.path}, {output.size(one.size_bytes)}, {_short(one)}", "bold")
        if one.data is not None:
            for line in _text(one.data).splitlines():
                yield Text(output.clean(line.replace("\t", "    ")))


def _short(one: ReadFile) -> str:
    return one.sha256.hex()[:HASH_CHARACTERS]


def _text(data: bytes) -> str:
    """Give a file's text without what is secret in it."""
    return _SECRET.sub(r'\1"***"', data.decode("utf-8-sig", errors="replace"))


def _documents(files: Sequence[ReadFile]) -> list[dict[str, Any]]:
    return [
        {
            "path": one.path,
            "sha256": one.sha256.hex(),
            "size_bytes": one.size_bytes,
            "text": None if one.data is None else _text(one.data),
        }
        for one in files
    ]


def _last(status: ConfigReply) -> dict[str, Any]:
    """Give the one field that `output.plain` does not go into."""
    there = status.HasField("last_attempt")
    return {"last_attempt": output.plain(status.last_attempt) if there else None}


def differences(running: Sequence[ReadFile], other: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Give for each file that differs its path and the lines of a unified diff."""
    from forebay.config.bundle import described

    old = {one.path: one for one in running}
    hashes = {file.path: file.sha256 for file in described(other)}
    found = []
    for path in sorted(old.keys() | hashes.keys()):
        before = old[path].sha256 if path in old else None
        if before == hashes.get(path):
            continue
        lines = [f"{path}: its content differs"]
        if path.endswith(SHOWN):
            then = _text(old[path].data or b"") if path in old else ""
            now = _text(other.get(path, b""))
            made = difflib.unified_diff(
                then.splitlines(),
                now.splitlines(),
                f"running/{path}",
                f"file/{path}",
                lineterm="",
            )
            lines = list(made) or lines
        found.append({"path": path, "lines": lines})
    return found


def _listed(attempts: Sequence[ConfigAttempt]) -> Iterator[Any]:
    if not attempts:
        yield Text("nothing was tried yet: the file runs that a person wrote")
        return
    yield output.table(
        (">NO", "=BEGAN", ">GENERATION", "=HASH", "=FROM", "WHO", "=PHASE", ">TOOK"),
        [
            (
                str(one.id),
                output.moment(one.began_ns),
                str(one.generation or "-"),
                one.hash[:HASH_CHARACTERS],
                one.source,
                one.who,
                Text(one.phase, STYLES.get(one.phase, "")),
                output.duration(one.took_s) if one.took_s else "-",
            )
            for one in attempts
        ],
    )
    for one in attempts:
        if one.error and one.phase in STYLES:
            yield output.fault(f"attempt {one.id}", one.error, one.hint)
