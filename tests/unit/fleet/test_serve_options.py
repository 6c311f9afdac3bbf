"""What `serve` refuses before it listens: one line, the next step, exit code 2 or 1."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.fleet import FleetServer

PLAIN = ("--insecure", "--listen", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--insecure", "--listen", "127.0.0.1:99999"), 2, "no address to listen on"),
        ((*PLAIN, "--web", "127.0.0.1:99999"), 2, "no address to listen on"),
        ((*PLAIN, "--ca", "pki"), 2, "--insecure goes without --ca"),
        ((*PLAIN, "--oidc", "provider.toml"), 2, "add --web"),
    ],
)
def test_options_that_cannot_be(
    tmp_path: Path, words: tuple[str, ...], code: int, text: str
) -> None:
    done = FleetServer(tmp_path).command("serve", *words)
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    server = FleetServer(tmp_path)
    server.data = Path("/proc/nowhere")
    done = server.command("serve", *PLAIN)
    assert (done.returncode, "choose another --data" in done.stderr) == (1, True), done.stderr


def test_a_port_that_somebody_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        done = FleetServer(tmp_path).command("serve", *PLAIN, "--web", place)
    assert done.returncode == 2
    assert f"forebay-fleet: cannot listen on {place}" in done.stderr
