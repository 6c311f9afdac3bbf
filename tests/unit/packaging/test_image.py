"""The recipe of the images: what it copies is there, what it installs is pinned, what runs is bare.

It is not built here: that takes an engine. Its three small programs are run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from support.manifests import (
    IMAGE,
    PACKAGING,
    ROOT,
    accepted,
    compose,
    ports_of_node,
    routes_of_node,
    secrets_of_guide,
    variables_of_node,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
TARGETS = ("agent", "fleet", "nats")
STAGES = {
    found[2]: (found[1], found[3])
    for found in re.finditer(
        r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", IMAGE, re.MULTILINE | re.DOTALL
    )
}
"""Each stage: what it begins at, and its instructions."""
MAKES = re.findall(r"^compile (\S+)", (ROOT / "scripts/lock").read_text("utf-8"), re.MULTILINE)


def lineage(stage: str) -> str:
    """Give the instructions of a stage and of all that it begins at."""
    start, text = STAGES[stage]
    return (lineage(start) if start in STAGES else "") + text


def told(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/nonexistent"}
    return subprocess.run(
        [str(word) for word in words],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_copied_is_there() -> None:
    ignored = (PACKAGING / "image/Containerfile.dockerignore").read_text("utf-8").split()
    for line in re.findall(r"^COPY (.*)$", IMAGE, re.MULTILINE):
        words = [word for word in line.split() if not word.startswith("--")]
        stage = re.search(r"--from=(\S+)", line)
        if stage is not None:
            assert stage[1] in STAGES, line
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            kept = [rule[1:] for rule in ignored if rule.startswith("!")]
            assert any(Path(source).match(rule) for rule in kept), source


def test_what_is_installed_is_pinned_with_hashes() -> None:
    installs = re.findall(r"pip install (.*?)(?: &&|$)", IMAGE, re.MULTILINE)
    pinned = 0
    for line in installs:
        found = re.fullmatch(r"--require-hashes --requirement (\S+)\s*", line)
        if found is None:
            assert line.startswith("--no-deps --no-index /wheels/"), line
            continue
        assert found[1] in MAKES
        text = (ROOT / found[1]).read_text("utf-8")
        packages = re.split(r"\n(?=[a-z0-9])", text)[1:]
        assert packages
        assert all("--hash=sha256:" in package for package in packages), found[1]
        pinned += 1
    assert pinned == 4


@pytest.mark.parametrize("target", TARGETS)
def test_what_runs_is_bare_and_nobody(target: str) -> None:
    start, text = STAGES[target]
    assert start == "base"
    assert "RUN" not in text
    whole = lineage(target)
    assert "apt-get" not in whole
    assert "pip install" not in whole
    assert "pip uninstall --yes wheel setuptools pip" in whole
    assert re.findall(r"^USER (\S+)$", whole, re.MULTILINE) == ["10001:10001"]
    assert re.search(r"^HEALTHCHECK ", text, re.MULTILINE)
    assert re.search(r"^VOLUME ", text, re.MULTILINE)


def test_the_commands_are_those_of_the_programs() -> None:
    fleet, nats, agent = (STAGES[name][1] for name in ("fleet", "nats", "agent"))
    words = re.findall(r'"([^"]*)"', fleet[fleet.rindex("CMD") :])
    options = accepted(words)
    exposed = re.search(r"^EXPOSE (.*)$", fleet, re.MULTILINE)
    assert exposed
    listens = {options[name].rpartition(":")[2] for name in ("listen", "enroll_listen", "web")}
    assert set(exposed[1].split()) == listens
    exposed = re.search(r"^EXPOSE (.*)$", nats, re.MULTILINE)
    assert exposed
    assert {int(port) for port in exposed[1].split()} == ports_of_node()
    unit = (ROOT / "systemd/forebay.service").read_text("utf-8")
    run = re.findall(r'"([^"]*)"', agent[agent.rindex("CMD") :])
    assert run[-1] == "--json", "no journal of systemd takes its fields there"
    assert f"ExecStart={' '.join(run[:-1])}\n" in unit


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    done = told(PACKAGING / "secrets", folder, "fleet.example.org", "192.0.2.7")
    assert done.returncode == 0, done.stderr
    return folder


def test_secrets_are_made_once_and_closed(secrets: Path) -> None:
    def held() -> dict[str, bytes]:
        files = [path for path in secrets.rglob("*") if path.is_file()]
        return {str(path.relative_to(secrets)): path.read_bytes() for path in files}

    before = held()
    wanted = {one["file"].removeprefix("./secrets/") for one in compose()["secrets"].values()}
    assert wanted <= before.keys()
    guide = {file for files in secrets_of_guide().values() for file in files.values()}
    assert guide <= before.keys()
    assert secrets.stat().st_mode & 0o777 == 0o700
    again = told(PACKAGING / "secrets", secrets, "fleet.example.org")
    assert again.returncode == 0, again.stderr
    assert held() == before
    passwords = {before[name] for name in ("nats-password", "nats-route", "database-password")}
    assert len(passwords) == 3
    assert all(len(password) > 32 for password in passwords)


def test_a_server_of_nats_takes_what_was_made(secrets: Path, tmp_path: Path) -> None:
    """By the environment of the compose file, through the entrypoint, node.conf is sound."""
    services, sources = compose()["services"], compose()["secrets"]
    stream = (secrets / "stream").read_text("utf-8")
    for name, _ in routes_of_node():
        assert f"@{name}:4222" in stream
        files = {}
        for one in services[name]["secrets"]:
            source, target = (one, one) if isinstance(one, str) else (one["source"], one["target"])
            made = sources[source]["file"].removeprefix("./secrets/")
            files[f"/run/secrets/{target}"] = str(secrets / made)
        environment = {
            variable: files.get(value, value)
            for variable, value in services[name]["environment"].items()
        } | {"FOREBAY_NATS_STORE": str(tmp_path)}
        nats = (BIN / "nats-server", "-c", PACKAGING / "nats/node.conf", "-t")
        done = told(PACKAGING / "image/entrypoint", *nats, **environment)
        assert done.returncode == 0, done.stderr
    lacking = told(*nats, **{k: v for k, v in environment.items() if not k.endswith("_FILE")})
    assert lacking.returncode != 0


def test_the_entrypoint_gives_what_files_hold(tmp_path: Path) -> None:
    entrypoint = (PACKAGING / "image/entrypoint").read_text("utf-8")
    known = set(re.findall(r"FOREBAY_\w+", entrypoint.partition("for name in")[2].split("\n")[0]))
    named = {
        variable.removesuffix("_FILE")
        for service in compose()["services"].values()
        for variable in service.get("environment", ())
        if variable.startswith("FOREBAY_") and variable.endswith("_FILE")
    }
    assert named == known
    assert {name for name in known if "NATS" in name} <= variables_of_node()
    held, empty = tmp_path / "held", tmp_path / "empty"
    held.write_text("tls://a:b c@d\n")
    empty.touch()
    run = PACKAGING / "image/entrypoint"
    env = shutil.which("env") or "env"
    done = told(run, env, FOREBAY_STREAM_FILE=str(held))
    assert "FOREBAY_STREAM=tls://a:b c@d\n" in done.stdout
    assert "FOREBAY_STREAM_FILE" not in done.stdout
    assert told(run, env, FOREBAY_STREAM_FILE=str(empty)).returncode == 2
    assert told(run, env, FOREBAY_STREAM_FILE=str(tmp_path / "none")).returncode != 0


@pytest.fixture
def served() -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, name="answers")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_health_is_what_answers_or_what_was_touched(served: str, tmp_path: Path) -> None:
    healthy = PACKAGING / "image/healthy"
    beat = tmp_path / "alive"
    assert told(healthy, beat, "60").returncode == 1
    beat.touch()
    assert told(healthy, beat, "60").returncode == 0
    os.utime(beat, (1, 1))
    assert "touched" in told(healthy, beat, "60").stderr
    assert told(healthy, f"{served}/healthz").returncode == 0
    assert told(healthy, f"{served}/other").returncode == 1
    assert told(healthy, "http://127.0.0.1:1/healthz").returncode == 1
