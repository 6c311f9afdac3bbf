"""The compose file agrees with the command line, with node.conf, the balancer and the secrets.

It is not run by docker here: what a machine without docker can hold against the rest is.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import pytest

from support.manifests import (
    PACKAGING,
    accepted,
    as_given,
    authority,
    compose,
    ports_of_node,
    routes_of_node,
    variables_of_node,
)

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = sorted(name for name in SERVICES if "build" in SERVICES[name])


def of(prefix: str) -> list[str]:
    return [name for name in SERVICES if name.startswith(f"{prefix}-")]


def targets(service: dict[str, Any]) -> dict[str, str]:
    """Give the files of a service's secrets, each with the name of what it holds."""
    found = {}
    for one in service.get("secrets", ()):
        source, target = (one, one) if isinstance(one, str) else (one["source"], one["target"])
        found[str(PurePosixPath("/run/secrets") / target)] = source
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_closed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()
    assert name in OURS or not str(service["user"]).startswith(("0", "root"))


@pytest.mark.parametrize("name", [*of("serve"), *of("worker")])
def test_a_command_is_one_that_there_is(name: str) -> None:
    service = SERVICES[name]
    options = accepted(service["command"])
    known = targets(service)
    assert authority(options) in known
    assert {"FOREBAY_STREAM", "FOREBAY_DATABASE"} <= as_given(service["environment"])
    data = service["environment"]["FOREBAY_FLEET_DATA"]
    assert any(volume.endswith(f":{data}") for volume in service["volumes"])


@pytest.mark.parametrize("name", of("serve"))
def test_servers_have_in_common_what_they_must(name: str) -> None:
    service = SERVICES[name]
    options, known = accepted(service["command"]), targets(service)
    data = service["environment"]["FOREBAY_FLEET_DATA"]
    for file in ("ca.crt", "ca.key", "server.crt", "server.key"):
        assert known[f"{options['ca'].as_posix()}/{file}"] == f"pki-{file}"
    assert known[f"{data}/signing.key"] == "signing.key"
    assert known[f"{data}/sealing.key"] == "sealing.key"
    assert f"artifacts:{data}/artifacts" in service["volumes"]


@pytest.mark.parametrize("name", of("serve"))
def test_the_balancer_sends_each_port_to_every_server(name: str) -> None:
    options = accepted(SERVICES[name]["command"])
    ports = {options[what].rpartition(":")[2] for what in ("listen", "enroll_listen", "web")}
    balancer = (PACKAGING / "compose/haproxy.cfg").read_text("utf-8")
    assert "mode tcp" in balancer
    assert " ssl" not in balancer
    assert set(re.findall(rf"^  server {name} {name}:(\d+)$", balancer, re.MULTILINE)) == ports
    assert set(re.findall(r"^  bind :(\d+)$", balancer, re.MULTILINE)) == ports
    assert {port.partition(":")[0] for port in SERVICES["balancer"]["ports"]} == ports


def test_nothing_is_published_but_the_balancer() -> None:
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["balancer"]
    networks = compose()["networks"]
    assert networks["stream"]["internal"]
    assert networks["database"]["internal"]


def test_the_servers_of_nats_are_those_of_node_conf() -> None:
    assert [host for host, _ in routes_of_node()] == of("nats")
    assert {port for _, port in routes_of_node()} < ports_of_node()
    for name in of("nats"):
        service = SERVICES[name]
        environment, known = service["environment"], targets(service)
        assert environment["FOREBAY_NATS_NAME"] == name
        assert as_given(environment) == variables_of_node()
        for variable in ("CERT", "KEY", "CA", "PASSWORD_FILE", "ROUTE_FILE"):
            assert environment[f"FOREBAY_NATS_{variable}"] in known, variable
        assert known["/run/secrets/server.crt"] == f"{name}.crt"
        assert known["/run/secrets/server.key"] == f"{name}.key"
        assert f"{name}:{environment['FOREBAY_NATS_STORE']}" in service["volumes"]


def test_what_is_named_is_there() -> None:
    whole = compose()
    used = {source for service in SERVICES.values() for source in targets(service).values()}
    assert used == whole["secrets"].keys()
    volumes = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume[0] != "."
    }
    assert volumes == whole["volumes"].keys()
    for service in SERVICES.values():
        assert set(service["networks"]) <= whole["networks"].keys()
        assert set(service.get("depends_on", ())) <= SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_no_password_stands_in_it(name: str) -> None:
    """Every variable that is one of a secret names a file."""
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|STREAM|DATABASE|ROUTE|SECRET", variable):
            assert variable.endswith("_FILE"), variable
            assert value in targets(SERVICES[name]), variable
