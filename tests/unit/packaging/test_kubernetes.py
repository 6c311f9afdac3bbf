"""The manifests of Kubernetes agree with the command line, with node.conf, and with one another.

They are not applied to a cluster here: what can be held against the rest without one is.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.manifests import (
    IMAGE,
    NODE,
    PACKAGING,
    accepted,
    as_given,
    authority,
    kubernetes,
    of_kind,
    ports_of_node,
    routes_of_node,
    secrets_of_guide,
    variables_of_node,
)

SETS: dict[str, dict[str, Any]] = of_kind("Deployment", "StatefulSet")
LABEL = "app.kubernetes.io/name"
MADE = secrets_of_guide()
"""The secrets that the guide has made: each key, and the file that it comes of."""


def pod(name: str) -> dict[str, Any]:
    return dict(SETS[name]["spec"]["template"]["spec"])


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    return dict(only)


def mounted(name: str, path: str) -> str | None:
    """Give the volume that a path of a container is in, None if it is in the image."""
    mounts = {one["mountPath"]: one["name"] for one in container(name)["volumeMounts"]}
    inside = [at for at in mounts if path == at or path.startswith(f"{at}/")]
    return mounts[max(inside, key=len)] if inside else None


def secret_of(name: str, path: str) -> tuple[str, str]:
    """Give the secret that a file comes of, and its key there."""
    volume = mounted(name, path)
    found = next(one for one in pod(name)["volumes"] if one["name"] == volume)
    return found["secret"]["secretName"], path.rpartition("/")[2]


def environment(name: str) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container(name)["env"]}


def test_the_folder_has_no_file_that_is_left_out() -> None:
    named = {one["metadata"]["name"] for one in kubernetes()}
    folder = PACKAGING / "kubernetes"
    text = (folder / "kustomization.yaml").read_text("utf-8")
    for file in folder.glob("*.yaml"):
        assert file.name == "kustomization.yaml" or f"- {file.name}\n" in text
    assert "files: [node.conf]" in (PACKAGING / "nats/kustomization.yaml").read_text("utf-8")
    assert {"nats", "ingest", "worker"} <= named
    assert not of_kind("Secret")


@pytest.mark.parametrize("name", SETS)
def test_a_pod_is_restricted(name: str) -> None:
    """By the profile `restricted` of Kubernetes, which the namespace enforces, and more."""
    spec, only = pod(name), container(name)
    (namespace,) = of_kind("Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    around, own = spec["securityContext"], only["securityContext"]
    assert around["runAsNonRoot"] is True
    assert f"USER {around['runAsUser']}:{around['runAsGroup']}\n" in IMAGE
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all("hostPath" not in volume for volume in spec["volumes"])
    assert only["resources"]["limits"]["memory"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= only.keys()


@pytest.mark.parametrize("name", ["ingest", "worker"])
def test_a_command_is_one_that_there_is(name: str) -> None:
    options = accepted(container(name)["args"])
    assert secret_of(name, authority(options)) == ("stream", "ca.crt")
    files = environment(name)
    assert {"FOREBAY_STREAM", "FOREBAY_DATABASE"} <= as_given(files)
    for variable in ("FOREBAY_STREAM_FILE", "FOREBAY_DATABASE_FILE"):
        secret, key = secret_of(name, files[variable])
        assert key in MADE[secret]
    assert mounted(name, files["FOREBAY_FLEET_DATA"]) == "data"


def test_servers_have_in_common_what_they_must() -> None:
    options, data = accepted(container("ingest")["args"]), environment("ingest")
    for file in MADE["pki"]:
        assert secret_of("ingest", f"{options['ca'].as_posix()}/{file}") == ("pki", file)
    for file in MADE["fleet-keys"]:
        at = f"{data['FOREBAY_FLEET_DATA']}/{file}"
        assert secret_of("ingest", at) == ("fleet-keys", file)
    (claim,) = of_kind("PersistentVolumeClaim").values()
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert mounted("ingest", f"{data['FOREBAY_FLEET_DATA']}/artifacts") == "artifacts"


def test_ports_are_the_same_all_the_way_to_the_command() -> None:
    options = accepted(container("ingest")["args"])
    listens = {int(options[what].rpartition(":")[2]) for what in ("listen", "enroll_listen", "web")}
    ports = {one["name"]: one["containerPort"] for one in container("ingest")["ports"]}
    service = of_kind("Service")["ingest"]["spec"]["ports"]
    policy = of_kind("NetworkPolicy")["ingest"]["spec"]["ingress"]
    assert set(ports.values()) == listens
    assert {ports[one["targetPort"]] for one in service} == listens
    assert {one["port"] for rule in policy for one in rule["ports"]} == listens
    assert container("ingest")["livenessProbe"]["httpGet"] == {
        "path": "/healthz",
        "port": next(name for name in ports if options["web"].endswith(f":{ports[name]}")),
        "scheme": "HTTPS",
    }


def test_the_servers_of_nats_are_those_of_node_conf() -> None:
    first, count = SETS["nats"]["spec"]["ordinals"]["start"], SETS["nats"]["spec"]["replicas"]
    names = [f"nats-{number}" for number in range(first, first + count)]
    services = of_kind("Service")
    assert [host for host, _ in routes_of_node()] == names
    for name in names:
        spec = services[name]["spec"]
        assert spec["selector"] == {"statefulset.kubernetes.io/pod-name": name}
        assert {one["port"] for one in spec["ports"]} == ports_of_node()
    assert {one["containerPort"] for one in container("nats")["ports"]} == ports_of_node()
    exported = set(re.findall(r"(FOREBAY_NATS_\w+)=", container("nats")["args"][0]))
    assert as_given(environment("nats")) | exported == variables_of_node()
    for variable in ("FOREBAY_NATS_CA", "FOREBAY_NATS_PASSWORD_FILE", "FOREBAY_NATS_ROUTE_FILE"):
        secret, key = secret_of("nats", environment("nats")[variable])
        assert key in MADE[secret]
    assert mounted("nats", environment("nats")["FOREBAY_NATS_STORE"]) == "store"
    assert mounted("nats", container("nats")["args"][0].split()[-1]) == "config"
    pairs = {f"{name}.{what}" for name in names for what in ("crt", "key")}
    assert pairs | {"ca.crt", "password", "route"} == MADE["nats"].keys()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        url = container("nats")[probe]["exec"]["command"][1]
        assert re.search(r'^http: "([\d.:]+)"', NODE, re.MULTILINE)[1] in url  # type: ignore[index]


def test_policies_let_pass_what_speaks_to_one_another_and_no_more() -> None:
    policies = of_kind("NetworkPolicy")
    nothing = policies["nothing"]["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    rules = policies["nats"]["spec"]["ingress"]
    assert {one["port"] for rule in rules for one in rule["ports"]} == ports_of_node()
    assert all(rule["from"] for rule in rules)
    egress = policies["stream-and-database"]["spec"]["egress"]
    assert {one["port"] for rule in egress for one in rule["ports"]} == {4222, 5432}


def test_whoever_selects_pods_finds_some() -> None:
    for name, one in SETS.items():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"] == labels == {LABEL: name}
        volumes = {volume["name"] for volume in pod(name)["volumes"]}
        volumes |= {c["metadata"]["name"] for c in one["spec"].get("volumeClaimTemplates", ())}
        assert {mount["name"] for mount in container(name)["volumeMounts"]} == volumes
        secrets = [v["secret"]["secretName"] for v in pod(name)["volumes"] if "secret" in v]
        assert set(secrets) <= MADE.keys()
    budgets = of_kind("PodDisruptionBudget")
    assert budgets.keys() == SETS.keys()
    for name, budget in budgets.items():
        assert budget["spec"]["selector"]["matchLabels"] == {LABEL: name}
        assert budget["spec"]["maxUnavailable"] == 1
    for name, scaler in of_kind("HorizontalPodAutoscaler").items():
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["name"], target["kind"]) == (name, SETS[name]["kind"])
        assert container(name)["resources"]["requests"]["cpu"]
