"""Values over HTTPS: newest, by position, in steps, as a file, live; what is refused, and how."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet
import pytest

from support.fleet_values import NAME, SECOND_NS, SPAN, START_NS, Site, batch_record, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("rest")) as found:
        yield found


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with site.client() as found:
        yield found


async def ask(client: httpx2.AsyncClient, route: str, **parameters: Any) -> Any:
    answer = await client.get(f"/gateways/{NAME}{route}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(client: httpx2.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(path, params=parameters)
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == answer.status_code
    assert told["hint"]
    return told


async def test_boxes_tags_and_how_far_they_are_there(client: httpx2.AsyncClient) -> None:
    answer = (await client.get("/gateways", params={"match": "press*"})).json()
    assert [(g["name"], g["samples"]) for g in answer["gateways"]] == [(NAME, 3500 * 6)]
    assert answer["after"] is None
    first = await ask(client, "/tags", limit=4)
    rest = await ask(client, "/tags", after=first["after"])
    assert [t["tag"] for t in first["tags"] + rest["tags"]] == [
        f"press/{name}" for name in ("count", "level", "pressure", "product", "running", "stamp")
    ]
    assert first["tags"][2] == {
        "tag": "press/pressure",
        "type": "INT16",
        "unit": "bar",
        "address": "holding:1",
    }
    (mark,) = (await ask(client, "/watermarks"))["watermarks"]
    assert (mark["stream"], mark["seq"], mark["open"]) == ("telemetry", 99, 0)


async def test_the_newest_values_of_a_pattern_and_what_is_missing(
    client: httpx2.AsyncClient,
) -> None:
    until = START_NS + 202 * SECOND_NS
    answer = await ask(client, "/values", tag="press/p*", to=until, limit=5)
    pressure, product = answer["series"]
    assert pressure["tag"] == "press/pressure"
    assert [v["value"] for v in pressure["values"]] == pytest.approx(
        [n * 0.1 - 5.0 for n in (98, 99, 200, 201, 202)]
    )
    assert [v["value"] for v in product["values"]][-1] == 'Träger, "202"'
    (loss,) = pressure["missing"]
    assert (loss["cause"], loss["samples"]) == ("RING_OVERFLOW", 600)
    (stamp,) = (await ask(client, "/values", tag="press/stamp", to=until, limit=1))["series"]
    assert (stamp["values"][0]["value"], stamp["values"][0]["encoding"]) == ("yg==", "base64")
    (level,) = (await ask(client, "/values", tag="press/level", to=START_NS + 7 * SECOND_NS))[
        "series"
    ]
    assert [v["value"] for v in level["values"]] == [*(n / 8 for n in range(7)), "NaN"]


async def test_by_position_nothing_comes_twice(client: httpx2.AsyncClient) -> None:
    after, times = None, []
    for _ in range(100):
        page = await ask(
            client, "/ordered", tag="press/count", limit=500, **({"after": after} if after else {})
        )
        if not page["values"]:
            break
        after = page["after"]
        times += [v["time_ns"] for v in page["values"]]
    assert len(times) == len(set(times)) == 3500


async def test_steps_are_what_the_samples_are(client: httpx2.AsyncClient) -> None:
    (found,) = (await ask(client, "/ranges", tag="press/pressure", steps=36, **SPAN))["series"]
    assert (found["start_ns"], found["step_ns"], found["unit"]) == (
        START_NS,
        100 * SECOND_NS,
        "bar",
    )
    assert found["samples"] == [100, 0, *[100] * 34]
    assert found["good"] == [80, 0, *[80] * 34]
    assert found["numbers"] == [90, 0, *[90] * 34]
    for step in (0, 2, 35):
        own = np.arange(step * 100, step * 100 + 100)
        own = own[own % 10 != 3] % 1000 * 0.1 - 5.0
        expected = [own.min(), own.max(), own.mean(), own[0], own[-1]]
        got = [found[name][step] for name in ("min", "max", "mean", "first", "last")]
        assert got == pytest.approx(expected)
    assert [found[name][1] for name in ("min", "max", "mean", "first", "last")] == [None] * 5
    assert [loss["cause"] for loss in found["missing"]] == ["RING_OVERFLOW"]


async def test_steps_of_what_has_no_numbers(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, "/ranges", tag="press/*", steps=1, **SPAN)
    numbers = {one["tag"]: (one["samples"], one["numbers"]) for one in answer["series"]}
    assert numbers["press/product"] == numbers["press/stamp"] == ([3500], [0])
    assert numbers["press/level"] == ([3500], [3499])  # one is no number
    running = next(one for one in answer["series"] if one["tag"] == "press/running")
    assert (running["min"], running["max"], running["mean"]) == ([0.0], [1.0], [0.5])


def check_rows(rows: list[dict[str, Any]], clock: Any) -> None:
    """3500 scans of 6 tags, by time, then by tag."""
    assert len(rows) == 3500 * 6
    assert rows == sorted(rows, key=lambda row: (row["time"], row["tag"]))
    second = {row["tag"]: row for row in rows if row["time"] == rows[6 * 4]["time"]}
    assert second["press/pressure"]["quality"] == "UncertainLastUsableValue"
    assert float(second["press/pressure"]["value"]) == pytest.approx(-4.6)
    assert second["press/count"]["text"] == str((1 << 64) - 5)
    assert second["press/product"]["text"] == 'Träger, "4"'
    assert second["press/stamp"]["text"] == "BA=="
    assert float(second["press/running"]["value"]) == 1.0
    assert {row["clock"] for row in rows} == {clock}
    bad = next(r for r in rows if r["quality"] == "BadTimeout")
    assert bad["value"] in {None, ""}


async def test_a_csv_file_holds_all(client: httpx2.AsyncClient) -> None:
    parameters = {"tag": "press/*", "format": "csv", **SPAN}
    answer = await client.get(f"/gateways/{NAME}/export", params=parameters)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    check_rows(rows, "")
    assert rows[0]["time"] == "2025-10-09 08:53:20.000000000Z"


async def test_a_parquet_file_holds_all(client: httpx2.AsyncClient) -> None:
    parameters = {"tag": "press/*", "format": "parquet", **SPAN}
    answer = await client.get(f"/gateways/{NAME}/export", params=parameters)
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    check_rows(table.to_pylist(), "")


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str, Any]]:
    """Give (id, event, data) of server-sent events."""
    number = name = ""
    async for line in lines:
        if line.startswith("id: "):
            number = line[4:]
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield number, name, json.loads(line[6:])
            number = ""


async def test_live_values_come_once_and_go_on_where_they_ended(site: Site) -> None:
    """What is committed comes; who comes back with the last id gets what came meanwhile."""
    async with asyncio.timeout(60), site.client() as client:
        parameters = {"tag": "press/level"}
        path = f"/gateways/{NAME}/live"
        async with client.stream("GET", path, params=parameters) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            coming = events(answer.aiter_lines())
            await site.send(batch_record(100, 4000, 3))
            number, name, data = await anext(coming)
            assert name == "values"
            (series,) = data["series"]
            assert [v["value"] for v in series["values"]] == [4000 / 8, 4001 / 8, 4002 / 8]
        await site.send(batch_record(101, 4003, 2))
        headers = {"last-event-id": number}
        async with client.stream("GET", path, params=parameters, headers=headers) as answer:
            _, _, data = await anext(events(answer.aiter_lines()))
            assert [v["value"] for v in data["series"][0]["values"]] == [4003 / 8, 4004 / 8]


async def test_a_revoked_token_ends_what_is_live(site: Site) -> None:
    made = site.server.read_json(*("api-token", "add", "guest", "--why", "a visit"))
    async with asyncio.timeout(60), site.client(made["token"]) as client:
        parameters = {"tag": "press/level"}
        async with client.stream("GET", f"/gateways/{NAME}/live", params=parameters) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == ": open"
            words = ("api-token", "revoke", made["id"], "--why", "it is over")
            revoked = await asyncio.to_thread(site.server.command, *words)
            assert revoked.returncode == 0, revoked.stderr
            assert [line async for line in lines if line] == []
        assert (await refused(client, "/me"))["status"] == 401


@pytest.mark.parametrize(
    ("path", "parameters", "title"),
    [
        ("/gateways/nobody/values", {"tag": "press/level"}, "no gateway 'nobody'"),
        (f"/gateways/{NAME}/values", {"tag": "press/nothing"}, "no tag 'press/nothing'"),
        (f"/gateways/{NAME}/ranges", {"tag": "press/level", "from": "soon"}, "'soon' is no time"),
        (f"/gateways/{NAME}/values", {"tag": "press/level", "limit": "0"}, "limit: "),
        (f"/gateways/{NAME}/values", {}, "tag: Field required"),
        (f"/gateways/{NAME}/export", {"tag": "no*", "format": "csv"}, "no tag 'no*'"),
        (f"/gateways/{NAME}/live", {"tag": "no*"}, "no tag 'no*'"),
        (
            f"/gateways/{NAME}/ranges",
            {"tag": "press/level", "from": "2026-01-02", "to": "2026-01-01"},
            "`to` lies before `from`",
        ),
        (f"/gateways/{NAME}/ordered", {"tag": "press/level", "after": "x"}, "'x' is no position"),
        (f"/gateways/{NAME}/values", {"tag": "*", "form": "2026"}, "there is no parameter 'form'"),
        ("/gateways", {"page": "2"}, "there is no parameter 'page'"),
        ("/me", {"": "1"}, "there is no parameter ''"),
    ],
)
async def test_what_cannot_be_is_told_with_the_next_step(
    client: httpx2.AsyncClient, path: str, parameters: dict[str, str], title: str
) -> None:
    told = await refused(client, path, **parameters)
    assert told["status"] == 400
    assert told["title"].startswith(title)


async def test_a_parameter_that_is_not_known_is_told_beside_those_that_are(
    client: httpx2.AsyncClient,
) -> None:
    told = await refused(client, f"/gateways/{NAME}/ranges", tag="*", untill="now")
    assert told["hint"] == "there are from, raw_times, steps, tag, to"
    assert (await refused(client, "/me", x="1"))["hint"] == "this route has none"


async def test_another_method_is_told_with_those_that_there_are(client: httpx2.AsyncClient) -> None:
    for path, allowed in (
        (f"/gateways/{NAME}/values", "GET"),
        ("/groups/a", "DELETE, PUT"),
        ("/labels", "GET, PATCH"),
    ):
        answer = await client.post(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert allowed in answer.json()["title"]
    assert (await client.post("/nothing")).status_code == 404


async def test_what_is_not_there_and_who_may_not(site: Site, client: httpx2.AsyncClient) -> None:
    assert (await refused(client, "/nothing"))["status"] == 404
    async with site.client("fba1_forged") as stranger:
        assert (await refused(stranger, f"/gateways/{NAME}/values", tag="press/level"))[
            "status"
        ] == 401


async def test_every_route_is_described(client: httpx2.AsyncClient) -> None:
    document = (await client.get(str(client.base_url).replace("/v1", "") + "openapi.json")).json()
    routes = {path.removeprefix("/api/v1") for path in document["paths"]}
    assert {f"/gateways/{{name}}/{one}" for one in ("values", "ranges", "export", "live")} <= routes
    values = document["paths"]["/api/v1/gateways/{name}/values"]["get"]["responses"]
    assert "Newest" in json.dumps(values["200"])
    assert "Problem" in json.dumps(values["400"])
