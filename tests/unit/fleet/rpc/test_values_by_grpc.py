"""Values by gRPC: what REST answers, as columns; what is refused, and how; who reads slowly."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from forebay_fleet._proto import values_pb2 as pb
from forebay_fleet.query import quality_name
from support.fleet_values import NAME, ROWS, SECOND_NS, START_NS, Asker, Site, batch_record, serving
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx2
    from google.protobuf.message import Message

FIRST_NS, LAST_NS = START_NS, START_NS + ROWS * SECOND_NS - 1
SPAN: dict[str, Any] = {"from_ns": FIRST_NS, "to_ns": LAST_NS}
INVALID = grpc.StatusCode.INVALID_ARGUMENT
STRANGER = grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Site]:
    """One server with both ports for all questions."""
    directory = tmp_path_factory.mktemp("rpc")
    with serving(directory, "--values", f"127.0.0.1:{port}") as found:
        yield found


@pytest.fixture
async def asker(site: Site, port: int) -> AsyncIterator[Asker]:
    async with Asker(site, port) as found:
        yield found


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with site.client() as found:
        yield found


def plain(value: float | str | bytes) -> dict[str, Any]:
    """Give a value as REST's JSON has it."""
    if isinstance(value, bytes):
        return {"value": base64.b64encode(value).decode(), "encoding": "base64"}
    if isinstance(value, float) and math.isnan(value):
        return {"value": "NaN"}
    return {"value": value}


def unpacked(series: pb.Series) -> list[dict[str, Any]]:
    """Give the samples of a series as REST's JSON has them."""
    found = []
    for part in series.parts:
        count = len(part.time_ns)
        kind = part.WhichOneof("values")
        values = getattr(part, kind).entries if kind else [None] * count
        clocks, epochs = (
            list(column) * (count if len(column) == 1 else 1) for column in (part.clock, part.epoch)
        )
        columns = (part.time_ns, part.received_ns, values, part.status, clocks, epochs, part.seq)
        for time_ns, received_ns, value, status, clock, epoch, seq in zip(*columns, strict=True):
            found.append(
                {
                    "time_ns": time_ns,
                    "received_ns": received_ns,
                    **({"value": None} if status >> 31 else plain(value)),
                    "status": status,
                    "quality": quality_name(status),
                    "clock": ["", "mended", "unsynced"][clock],
                    "epoch": f"{epoch:016x}",
                    "seq": seq,
                }
            )
    return found


def lost(told: pb.Series | pb.Steps) -> dict[str, Any]:
    """Give what is missing as REST's JSON has it."""
    missing = [
        {
            "cause": one.cause,
            "time_from_ns": one.time_from_ns,
            "time_to_ns": one.time_to_ns,
            "samples": one.samples if one.HasField("samples") else None,
            "source": one.source,
        }
        for one in told.missing
    ]
    return {"missing": missing, "missing_more": told.missing_more}


def mark(told: pb.Watermark) -> dict[str, Any]:
    at = told.position
    return {
        "stream": told.stream,
        "epoch": f"{at.epoch:016x}",
        "seq": at.seq,
        "open": told.open,
    }


async def rest(client: httpx2.AsyncClient, route: str, **parameters: Any) -> Any:
    answer = await client.get(f"/gateways{route}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_boxes_tags_and_watermarks_are_those_of_rest(
    asker: Asker, client: httpx2.AsyncClient
) -> None:
    (box,) = (await asker.call("Gateways", pb.GatewaysRequest(match="press*"))).gateways
    (told,) = (await rest(client, ""))["gateways"]
    assert {field: getattr(box, field) for field in told} == told
    first = await asker.call("Tags", pb.TagsRequest(gateway=NAME, limit=4))
    others = await asker.call("Tags", pb.TagsRequest(gateway=NAME, after=first.after))
    assert others.after == ""
    fields = ("tag", "type", "unit", "address")
    found = [{name: getattr(t, name) for name in fields} for t in [*first.tags, *others.tags]]
    assert found == (await rest(client, f"/{NAME}/tags"))["tags"]
    marks = await asker.call("Watermarks", pb.WatermarksRequest(gateway=NAME))
    wanted = (await rest(client, f"/{NAME}/watermarks"))["watermarks"]
    assert [mark(one) for one in marks.watermarks] == wanted


@pytest.mark.parametrize("limit", [5, 3500])
async def test_the_newest_values_are_those_of_rest(
    asker: Asker, client: httpx2.AsyncClient, limit: int
) -> None:
    """Of every type, bad ones and NaN among them, with what is missing."""
    span = {"from": FIRST_NS, "to": LAST_NS}
    request = pb.NewestRequest(gateway=NAME, tag="press/*", limit=limit, **SPAN)
    found = await asker.call("Newest", request)
    wanted = await rest(client, f"/{NAME}/values", tag="press/*", limit=limit, **span)
    assert [
        {"tag": one.tag, "unit": one.unit, "values": unpacked(one), **lost(one)}
        for one in found.series
    ] == wanted["series"]
    assert limit < 3500 or found.ByteSize() * 4 < len(json.dumps(wanted, separators=(",", ":")))
    kinds = {one.tag: {part.WhichOneof("values") for part in one.parts} for one in found.series}
    assert kinds == {
        "press/count": {"naturals"},
        "press/level": {"numbers"},
        "press/pressure": {"numbers"},
        "press/product": {"texts"},
        "press/running": {"flags"},
        "press/stamp": {"blobs"},
    }


async def test_pages_by_position_are_those_of_rest(
    asker: Asker, client: httpx2.AsyncClient
) -> None:
    request = pb.OrderedRequest(gateway=NAME, tag="press/count", limit=900)
    parameters: dict[str, Any] = {"tag": "press/count", "limit": 900}
    seen = 0
    while True:
        found = await asker.call("Ordered", request)
        wanted = await rest(client, f"/{NAME}/ordered", **parameters)
        assert unpacked(found.series) == wanted["values"]
        assert f"{found.after.epoch:016x}/{found.after.seq}" == wanted["after"]
        assert mark(found.watermark) == wanted["watermark"]
        if not wanted["values"]:
            break
        seen += len(wanted["values"])
        request.after.CopyFrom(found.after)
        parameters["after"] = wanted["after"]
    assert seen >= 3500


async def test_steps_are_those_of_rest(asker: Asker, client: httpx2.AsyncClient) -> None:
    request = pb.RangesRequest(gateway=NAME, tag="press/*", steps=36, **SPAN)
    span = {"from": FIRST_NS, "to": LAST_NS}
    wanted = await rest(client, f"/{NAME}/ranges", tag="press/*", steps=36, **span)
    counts, numbers = ("samples", "good", "numbers"), ("min", "max", "mean", "first", "last")
    found = [
        {
            **{name: getattr(one, name) for name in ("tag", "unit", "start_ns", "step_ns")},
            **{name: list(getattr(one, name)) for name in counts},
            **{
                name: [None if math.isnan(n) else n for n in getattr(one, name)] for name in numbers
            },
            **lost(one),
        }
        for one in (await asker.call("Ranges", request)).series
    ]
    assert found == wanted["series"]


@pytest.mark.parametrize("form", [pb.EXPORT_CSV, pb.EXPORT_PARQUET])
async def test_a_file_is_that_of_rest(
    asker: Asker, client: httpx2.AsyncClient, form: pb.ExportForm
) -> None:
    request = pb.ExportRequest(gateway=NAME, tag="press/*", form=form, **SPAN)
    parts = [part.data async for part in asker.call("Export", request)]
    assert max(map(len, parts)) <= 256 << 10
    parameters: dict[str, Any] = {
        "tag": "press/*",
        "format": pb.ExportForm.Name(form).removeprefix("EXPORT_").lower(),
        "from": FIRST_NS,
        "to": LAST_NS,
    }
    wanted = await client.get(f"/gateways/{NAME}/export", params=parameters)
    assert b"".join(parts) == wanted.content


REFUSED = [
    ("Newest", pb.NewestRequest(gateway="nobody", tag="a/b"), "/nobody/values?tag=a/b"),
    ("Newest", pb.NewestRequest(gateway=NAME, tag="a/b"), f"/{NAME}/values?tag=a/b"),
    (
        "Ranges",
        pb.RangesRequest(gateway=NAME, tag="press/level", from_ns=2, to_ns=1),
        f"/{NAME}/ranges?tag=press/level&from=2&to=1",
    ),
    (
        "Newest",
        pb.NewestRequest(gateway=NAME, tag="press/*", limit=10_000),
        f"/{NAME}/values?tag=press/*&limit=10000",
    ),
    ("Live", pb.LiveRequest(gateway=NAME, tag="no*"), f"/{NAME}/live?tag=no*"),
    ("Export", pb.ExportRequest(gateway=NAME, tag="no*"), f"/{NAME}/export?tag=no*"),
]


@pytest.mark.parametrize(("method", "request_", "path"), REFUSED)
async def test_a_refusal_is_that_of_rest(
    asker: Asker, client: httpx2.AsyncClient, method: str, request_: Message, path: str
) -> None:
    error = await refusal(asker, method, request_)
    told = (await client.get(f"/gateways{path}")).json()
    assert told["status"] == 400
    assert error.code() is INVALID
    assert error.details() == f"{told['title']} ({told['hint']})"
    assert dict(error.trailing_metadata() or ())["forebay-hint"] == told["hint"]


async def refusal(asker: Asker, method: str, request: Message) -> grpc.aio.AioRpcError:
    """Give how a call failed; AssertionError if it did not."""
    call = asker.call(method, request)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if method in {"Live", "Export"} else call)
    return caught.value


@pytest.mark.parametrize(
    ("method", "request_", "told"),
    [
        ("Newest", pb.NewestRequest(gateway=NAME, tag="press/level", limit=10_001), "limit: "),
        ("Tags", pb.TagsRequest(gateway=NAME, limit=10_001), "limit: "),
        ("Ranges", pb.RangesRequest(gateway=NAME, tag="press/level", steps=10_001), "limit: "),
        ("Newest", pb.NewestRequest(gateway=NAME, tag="x" * 513), "tag: "),
        (
            "Newest",
            pb.NewestRequest(gateway=NAME, tag="press/level", to_ns=(1 << 63) - 1),
            "9223372036854775807 is too far away",
        ),
        (
            "Ordered",
            pb.OrderedRequest(
                gateway=NAME, tag="press/level", after=pb.Position(epoch=1 << 63, seq=1)
            ),
            "'8000000000000000/1' is no position",
        ),
        (
            "Live",
            pb.LiveRequest(gateway=NAME, tag="press/level", behind=[pb.Place(stream="rumours")]),
            "no stream 'rumours'",
        ),
        ("Export", pb.ExportRequest(gateway=NAME, tag="press/level", form=9), "form: "),  # type: ignore[arg-type]
    ],
)
async def test_what_cannot_be_is_told(
    asker: Asker, method: str, request_: Message, told: str
) -> None:
    error = await refusal(asker, method, request_)
    assert error.code() is INVALID
    assert (error.details() or "").startswith(told)


async def test_nobody_gets_anything_without_a_token(site: Site, port: int) -> None:
    """A stranger is refused before anything is read, whatever the method; bytes are no request."""
    methods = [method.name for method in pb.DESCRIPTOR.services_by_name["Values"].methods]
    for token in (None, "fba1_forged", "fba1_" + "x" * 200):
        async with Asker(site, port, token) as stranger:
            for method in methods:
                call = stranger.raw(method)
                async with asyncio.timeout(60):
                    assert await call.code() is STRANGER
    async with Asker(site, port) as asker, asyncio.timeout(60):
        call = asker.raw("Newest")
        await call.write(b"\xff\xff\xff")
        assert await call.code() is INVALID
        assert "bytes that are no request" in await call.details()
        call = asker.raw("Newest")
        await call.done_writing()
        assert "no request has come" in await call.details()


SEEDS: dict[str, Message] = {
    "Gateways": pb.GatewaysRequest(match="p*", after="a", limit=3),
    "Tags": pb.TagsRequest(gateway=NAME, match="press/*", after="a", limit=3),
    "Watermarks": pb.WatermarksRequest(gateway=NAME),
    "Newest": pb.NewestRequest(gateway=NAME, tag="press/level", limit=3, raw_times=True, **SPAN),
    "Ordered": pb.OrderedRequest(
        gateway=NAME, tag="press/level", after=pb.Position(epoch=1 << 32, seq=5), limit=3
    ),
    "Ranges": pb.RangesRequest(gateway=NAME, tag="press/level", steps=3, **SPAN),
    "Live": pb.LiveRequest(
        gateway=NAME,
        tag="press/level",
        behind=[pb.Place(stream="telemetry", position=pb.Position(epoch=1 << 32, seq=5))],
    ),
    "Export": pb.ExportRequest(gateway=NAME, tag="press/level", form=pb.EXPORT_CSV, **SPAN),
}


@pytest.mark.parametrize("method", SEEDS)
async def test_no_request_is_more_than_refused(asker: Asker, method: str) -> None:
    """Bytes that are changed, missing and added: an answer, or what is wrong with them."""
    rng = random.Random(method)
    whole = SEEDS[method].SerializeToString()
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        call = asker.raw(method)
        async with asyncio.timeout(60):
            try:
                await call.write(bytes(data))
                await call.done_writing()
                await call.read()
                outcomes.add(grpc.StatusCode.OK)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                outcomes.add(await call.code())
        call.cancel()
    assert outcomes <= {grpc.StatusCode.OK, INVALID}
    assert INVALID in outcomes


async def test_live_values_come_once_and_go_on_where_they_ended(site: Site, asker: Asker) -> None:
    def numbers(reply: pb.LiveReply) -> list[float]:
        return [n for one in reply.series for part in one.parts for n in part.numbers.entries]

    request = pb.LiveRequest(gateway=NAME, tag="press/level")
    async with asyncio.timeout(60):
        call = asker.call("Live", request)
        await call.initial_metadata()
        assert not (await call.read()).series
        await site.send(batch_record(100, 4000, 3))
        reply = await call.read()
        assert numbers(reply) == [4000 / 8, 4001 / 8, 4002 / 8]
        call.cancel()
        await site.send(batch_record(101, 4003, 2))
        request.behind.extend(reply.at)
        reply = await asker.call("Live", request).read()
        assert numbers(reply) == [4003 / 8, 4004 / 8]


async def test_a_revoked_token_ends_what_is_live(site: Site, port: int) -> None:
    made = site.server.read_json(*("api-token", "add", "guest", "--why", "a visit"))
    async with asyncio.timeout(60), Asker(site, port, made["token"]) as asker:
        call = asker.call("Live", pb.LiveRequest(gateway=NAME, tag="press/level"))
        await call.initial_metadata()
        words = ("api-token", "revoke", made["id"], "--why", "it is over")
        revoked = await asyncio.to_thread(site.server.command, *words)
        assert revoked.returncode == 0, revoked.stderr
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [reply async for reply in call]
        assert caught.value.code() is STRANGER
