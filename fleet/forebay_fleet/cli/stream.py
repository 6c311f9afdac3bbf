"""The command `worker`, and the options by which it and `serve` find the stream."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from forebay_fleet.stream.connecting import StreamSettings
    from forebay_fleet.stream.working import WorkerSettings

Servers = Annotated[
    str | None,
    typer.Option(
        "--stream",
        envvar="FOREBAY_STREAM",
        help="tls://HOST:4222,...: NATS servers whose JetStream keeps records for workers.",
    ),
]
Authority = Annotated[Path | None, typer.Option("--stream-ca", help="CA of the NATS servers, PEM.")]
Creds = Annotated[
    Path | None, typer.Option("--stream-credentials", help="Credentials file for NATS.")
]
Replicas = Annotated[
    int | None,
    typer.Option(
        min=1, max=5, help="Copies of the stream; default: as many as servers are named, 3 at most."
    ),
]
MaxGib = Annotated[int, typer.Option("--stream-gib", min=1, help="What the stream holds at most.")]
Database = Annotated[
    str | None,
    typer.Option(
        envvar="FOREBAY_DATABASE",
        help="postgresql://USER@HOST/NAME in place of SQLite; kept in the data directory.",
    ),
]
GIB = 16


def settings(
    servers: str | None, ca: Path | None, credentials: Path | None, replicas: int | None, gib: int
) -> StreamSettings:
    """Put the options together. UsageError if no server is named, or the library is missing."""
    from forebay_fleet.errors import UsageError

    if servers is None:
        raise UsageError("no stream is named", hint="--stream tls://HOST:4222")
    try:
        from forebay_fleet.stream.connecting import StreamSettings
    except ImportError:
        raise UsageError(
            "JetStream needs a library that is not installed", hint="pip install 'forebay[scale]'"
        ) from None
    return StreamSettings(servers, ca, credentials, replicas, gib << 30)


def worker(
    data: common.Data = common.DATA,
    *,
    servers: Servers = None,
    authority: Authority = None,
    credentials: Creds = None,
    replicas: Replicas = None,
    gib: MaxGib = GIB,
    database: Database = None,
    max_gateways: Annotated[int, typer.Option(min=1, help="Take no more than this.")] = 100_000,
) -> None:
    """Commit to PostgreSQL what servers with --stream have taken, until SIGTERM."""
    import uvloop

    from forebay_fleet.cli.logs import configure_log
    from forebay_fleet.db import place
    from forebay_fleet.limits import Limits

    configure_log()
    stream = settings(servers, authority, credentials, replicas, gib)
    if database is not None:
        place.move(data, database)
    from forebay_fleet.stream.working import WorkerSettings

    made = WorkerSettings(data, stream, Limits(max_gateways=max_gateways))
    uvloop.run(_work(made))


async def _work(made: WorkerSettings) -> None:
    from forebay_fleet.stream.working import work

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await work(made, stopping, lambda: typer.echo("working"))
