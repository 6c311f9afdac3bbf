"""Labels, groups, variables and rollouts over HTTPS: what a program may, what the audit tells."""

from __future__ import annotations

import base64
import json
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from forebay_fleet.registry import Registry
from support.fleet import FleetServer
from support.processes import free_port
from support.rollout_boxes import Boxes

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = Path(__file__).resolve().parents[4] / "docs/reference/fleet.md"
TEMPLATE = '[gateway]\nid = "${gateway}"\n[devices.oven]\nhost = "${plc}"\n'
MAIN = {"forebay.toml": ""}
BOXES = ["oven-1", "oven-2", "oven-3", "press-1"]


class Site:
    """A server with its HTTPS port, four boxes, and tokens of two roles."""

    def __init__(self, server: FleetServer, port: int) -> None:
        self.server, self._port = server, port
        with Registry(server.data) as registry:
            Boxes(registry, server.data, BOXES)
        self._tokens = {
            role: server.read_json("api-token", "add", f"a-{role}", "--role", role)["token"]
            for role in ("viewer", "operator")
        } | {"stranger": "fba1_forged"}

    def ask(self, method: str, path: str, role: str = "operator", **how: Any) -> httpx2.Response:
        trust = ssl.create_default_context(cafile=self.server.pki / "ca.crt")
        with httpx2.Client(verify=trust, timeout=30.0) as client:
            headers = {
                "authorization": f"Bearer {self._tokens[role]}",
                "content-type": "application/json",
            }
            url = f"https://localhost:{self._port}/api{path}"
            return client.request(method, url, headers=headers, **how)

    def gives(self, method: str, path: str, **how: Any) -> Any:
        answer = self.ask(method, f"/v1{path}", **how)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def refuses(self, method: str, path: str, **how: Any) -> str:
        answer = self.ask(method, f"/v1{path}", **how)
        told = answer.json()
        assert (answer.status_code, told["status"]) == (400, 400), answer.text
        assert told["hint"]
        return str(told["title"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port = free_port()
    with FleetServer(tmp_path_factory.mktemp("rest"), "--web", f"127.0.0.1:{port}") as server:
        yield Site(server, port)


def test_labels_groups_and_variables(site: Site) -> None:
    labels = {name: {"line": name[-1], "kind": name.partition("-")[0]} for name in BOXES}
    site.gives("PATCH", "/labels", json={"gateways": labels, "why": "as built"})
    site.gives("PATCH", "/labels", json={"gateways": {"press-1": {"line": None}}})
    found = site.gives("GET", "/labels", params={"selector": "line"})
    assert list(found["gateways"]) == BOXES[:3]
    page = site.gives("GET", "/labels", params={"limit": 3})
    rest = site.gives("GET", "/labels", params={"after": page["after"]})
    assert (page["after"], rest) == (
        "oven-3",
        {"gateways": {"press-1": {"kind": "press"}}, "after": None},
    )
    site.gives("PUT", "/groups/ovens", json={"selector": "kind=oven,line!=3", "why": "for now"})
    assert site.gives("GET", "/groups") == {
        "groups": {"ovens": {"selector": "kind=oven,line!=3", "boxes": 2}}
    }
    assert list(site.gives("GET", "/labels", params={"selector": "@ovens"})["gateways"]) == [
        "oven-1",
        "oven-2",
    ]
    values = {"port": 502, "ratio": 1.5, "on": True, "name": "12"}
    site.gives("PATCH", "/variables", json={"gateways": {"press-1": values}})
    site.server.command("variable", "set", "press-1", "ratio=nan")
    found = site.gives("GET", "/variables", params={"selector": "kind=press"})
    assert found["gateways"] == {"press-1": values | {"ratio": "NaN"}}
    assert isinstance(found["gateways"]["press-1"]["on"], bool)
    one_bad = {"oven-1": {"new": "x"}, "oven-2": {"no label": "x"}}
    assert "no label=x is no label" in site.refuses("PATCH", "/labels", json={"gateways": one_bad})
    assert site.gives("GET", "/labels", params={"selector": "new"})["gateways"] == {}
    site.gives("DELETE", "/groups/ovens", params={"why": "no more"})
    assert site.gives("GET", "/groups") == {"groups": {}}
    audit = site.server.read_json("audit", "--subject", "ovens")
    assert [(one["who"], one["what"], one["why"]) for one in audit] == [
        ("token:a-operator", "group", "no more"),
        ("token:a-operator", "group", "for now"),
    ]


def test_a_rollout_from_its_check_to_its_end(site: Site) -> None:
    picture = base64.b64encode(b"\x00\xff").decode()
    plan = {"canary": 1, "percents": [50, 100], "window": "00:00-24:00", "deadline_s": 600}
    asked = {
        "selector": "*",
        "files": {"forebay.toml": TEMPLATE},
        "blobs": {"logo.png": picture},
        "plan": plan,
        "first": ["press-1"],
        "why": "new ovens",
    }
    found = site.gives("POST", "/rollouts/check", json=asked)
    assert (found["boxes"], found["waves"]) == (["press-1", *BOXES[:3]], [1, 1, 2])
    assert found["faults"]["oven-1"][0]["path"] == "forebay.toml:4"
    assert "plc" in site.refuses("POST", "/rollouts", json=asked)
    assert site.gives("GET", "/rollouts") == {"rollouts": []}
    plcs = {name: {"plc": f"10.0.0.{n}"} for n, name in enumerate(BOXES)}
    site.gives("PATCH", "/variables", json={"gateways": plcs})
    begun = site.ask("POST", "/v1/rollouts", json=asked)
    assert begun.status_code == 201
    id_ = begun.json()["id"]
    assert begun.json()["waves"] == [1, 1, 2]
    assert "is in rollout" in site.refuses("POST", "/rollouts", json=asked)
    path = f"/rollouts/{id_}"
    assert site.gives("POST", f"{path}/pause", json={"why": "later"})["said"] == "later"
    assert "is paused" in site.refuses("POST", f"{path}/pause", json={})
    assert site.gives("POST", f"{path}/resume", json={})["state"] == "running"
    one = site.gives("GET", path)
    assert one["plan"] == plan | {"failures": 0, "rest_s": 0.0, "zone": "UTC"}
    assert (one["who"], one["why"], one["counts"]) == (
        "token:a-operator",
        "new ovens",
        {"waiting": 4},
    )
    assert site.gives("GET", "/rollouts")["rollouts"] == [one]
    page = site.gives("GET", f"{path}/boxes", params={"limit": 3})
    rest = site.gives("GET", f"{path}/boxes", params={"after": page["after"]})
    assert [b["gateway"] for b in page["boxes"] + rest["boxes"]] == BOXES
    ended = site.gives("POST", f"{path}/abort", json={"why": "wrong", "put_back": True})
    assert (ended["state"], ended["ending"]) == ("aborted", "back")
    left = site.gives("GET", f"{path}/boxes", params={"state": "left"})
    assert len(left["boxes"]) == 4
    assert site.gives("GET", f"{path}/boxes", params={"state": "failed"})["boxes"] == []
    audit = site.server.read_json("audit", "--subject", id_)
    assert [(one["what"], one["who"], one["via"]) for one in audit] == [
        (f"rollout.{word}", "token:a-operator", "token")
        for word in ("abort", "resume", "pause", "start")
    ]


def test_a_viewer_changes_nothing_and_a_stranger_sees_nothing(site: Site) -> None:
    """Every route that there is."""
    document = site.ask("GET", "/openapi.json").json()
    changing = 0
    for path, methods in document["paths"].items():
        own = path.removeprefix("/api").replace("{id}", "0" * 12)
        own = own.replace("{name}", "oven-1").replace("{group}", "g")
        for method in methods:
            answer = site.ask(method.upper(), own, "stranger", content=b"{}")
            assert answer.status_code == 401, (method, path)
            if method != "get":
                answer = site.ask(method.upper(), own, "viewer", content=b"{}")
                assert answer.status_code == 403, (method, path)
                changing += 1
    assert changing == 9
    assert site.ask("GET", "/v1/rollouts", "viewer").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/rollouts", {"selector": "*"}, "files: Field required"),
        ("POST", "/rollouts", {"selector": "*", "files": {}}, "has no forebay.toml"),
        (
            "POST",
            "/rollouts",
            {"selector": "a b", "files": MAIN},
            "is no condition",
        ),
        ("POST", "/rollouts", {"selector": "@x\0", "files": {}}, "selector: "),
        (
            "POST",
            "/rollouts",
            {"selector": "*", "files": {}, "plan": {"canary": -1}},
            "plan.canary",
        ),
        (
            "POST",
            "/rollouts",
            {"selector": "*", "files": MAIN, "plan": {"window": "never"}},
            "is no maintenance window",
        ),
        (
            "POST",
            "/rollouts",
            {"selector": "*", "files": MAIN, "agent": "9.9.9"},
            "agent 9.9.9 is not published",
        ),
        ("POST", "/rollouts", {"selector": "*", "files": {}, "blobs": {"a": "?"}}, "blobs.a"),
        (
            "POST",
            "/rollouts/check",
            {"selector": "*", "files": {"a": ""}, "blobs": {"a": ""}},
            "a is there twice",
        ),
        ("POST", "/rollouts/ffffffffffff/pause", {}, "no rollout 'ffffffffffff'"),
        ("POST", "/rollouts/x/pause", {}, "id: "),
        ("PATCH", "/labels", {"gateways": {"nobody": {"a": "b"}}}, "no gateway 'nobody'"),
        ("PATCH", "/labels", {"gateways": {}, "why": "x" * 501}, "why: "),
        ("PATCH", "/labels", {"gateways": {}, "why": "\ud800"}, "why: "),
        ("PATCH", "/labels", {"gateways": {"\ud800": {}}}, "gateways."),
        ("PATCH", "/variables", {"gateways": {"oven-1": {"a": "\ud800"}}}, "a is no text"),
        ("PATCH", "/variables", {"gateways": {"oven-1": {"a": 1 << 64}}}, "a is no number"),
        ("PATCH", "/variables", {"gateways": {"oven-1": {"a": float("nan")}}}, "gateways."),
        ("PATCH", "/variables", {"gateways": {"oven-1": {"a": [1]}}}, "gateways."),
        ("PUT", "/groups/No", {"selector": "*"}, "is no name of a group"),
        ("PATCH", "/labels", {"gateways": {}, "wy": "typed"}, "wy: Extra inputs"),
        ("POST", "/rollouts", {"selector": "*", "files": {}, "plan": {"failure": 1}}, "failure: "),
    ],
)
def test_what_cannot_be_is_told_with_the_next_step(
    site: Site, method: str, path: str, body: dict[str, Any], told: str
) -> None:
    assert told in site.refuses(method, path, content=json.dumps(body))


def test_the_reference_names_every_route(site: Site) -> None:
    document = site.ask("GET", "/openapi.json").json()
    there = {
        f"{method.upper()} {path.removeprefix('/api/v1').replace('{name}', 'G')}"
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/v1")
    }
    told = set(
        re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`? ]*)", REFERENCE.read_text("utf-8"))
    )
    assert told == there
