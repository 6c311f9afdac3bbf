"""The kit finds what is wrong: a process that speaks the protocol by hand, and each fault once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay_plugin.conformance import checks, data
from forebay_plugin.conformance.checks import CHECKS, Subject
from forebay_plugin.conformance.cli import main
from forebay_plugin.hosting import HostError
from forebay_plugin.manifest import ManifestError, Role, load
from forebay_plugin.types import Type

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = """
[plugin]
name = "by-hand"
version = "1"
command = ["{python}", "{dir}/by_hand.py", "MANNER"]
[inputs.values]
tags = ["plc/*"]
max = 1
[window]
rows = 4
[outputs.count]
type = "int64"
[limits]
deadline = "20 s"
start_timeout = "40 s"
"""
PLUGIN = '''
"""Speaks plugin.proto without the SDK; argv[1] is what it does wrong."""
import os, queue, signal, struct, sys, time
import grpc
from forebay_plugin._proto import plugin_pb2 as pb, plugin_pb2_grpc as service

manner = sys.argv[1]
if manner == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
said = queue.Queue(100)
limit = 4 << 20 if manner == "small" else 1 << 30
channel = grpc.insecure_channel("unix:" + os.environ["FOREBAY_PLUGIN_SOCKET"],
                                [("grpc.max_receive_message_length", limit)])
call = service.PluginHostStub(channel).Attach(iter(said.get, None))
token = os.environ["FOREBAY_PLUGIN_TOKEN"]
hello = pb.PluginHello(protocol=2 if manner == "old" else 1, token=token, sdk="hand")
said.put(pb.FromPlugin(hello=hello))

def answer(work):
    cut = work.windows
    size = 8 * len(work.axes)
    rows = [cut.rows[at:at + size] for at in range(0, len(cut.rows), size)]
    counts = [struct.unpack_from("<I", one, 4)[0] for one in rows]
    if manner == "empty" and 0 in counts:
        sys.exit("cannot be")
    places = list(range(len(counts)))
    if manner == "order":
        places.reverse()
    results = pb.Results(work_id=work.id + (manner == "id"))
    results.columns.add(
        output=7 * (manner == "output"),
        values=struct.pack(f"<{len(counts)}q", *counts)[: -4 if manner == "half" else None],
        windows=struct.pack(f"<{len(places)}I", *places),
    )
    return results

for message in call:
    kind = message.WhichOneof("message")
    if kind == "setup":
        said.put(pb.FromPlugin(ready=pb.Ready(detail="by hand")))
    elif kind == "ping":
        lost = 1000 if manner == "pong" else 1 << 60
        said.put(pb.FromPlugin(pong=pb.Pong(id=message.ping.id % lost)))
    elif kind == "work":
        said.put(pb.FromPlugin(results=answer(message.work)))
    elif kind == "stop":
        if manner == "stays":
            time.sleep(1000)
        said.put(None)
'''


def subject(folder: Path, manner: str) -> Subject:
    (folder / "plugin.toml").write_text(MANIFEST.replace("MANNER", manner))
    (folder / "by_hand.py").write_text(PLUGIN)
    return Subject.of(load(folder))


def test_one_that_does_nothing_wrong_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject(tmp_path, "well")
    assert main([str(tmp_path), "--patience", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS) + 1
    assert all(line.startswith("ok") for line in lines[:-1])
    assert lines[-1] == "by-hand 1: 14 of 14"


@pytest.mark.parametrize(
    ("manner", "check", "why"),
    [
        ("old", checks.says_hello_and_is_ready, "no hello|before hello"),
        ("pong", checks.answers_a_ping, "pong 776 for ping"),
        ("id", checks.takes_every_type, "results of work 2, not 1"),
        ("output", checks.takes_every_type, "output 7 is not in the manifest"),
        ("half", checks.takes_every_type, "count: half a value"),
        ("empty", checks.bears_empty_axes, "cannot be"),
        ("empty", checks.contains_the_failure_of_a_window, "cannot be"),
        ("order", checks.answers_overlapping_windows_in_order, "windows are not in order"),
        ("small", checks.takes_large_messages, "larger than max|ended with 1"),
    ],
)
def test_each_fault_is_found(
    tmp_path: Path, manner: str, check: Callable[[Subject], str], why: str
) -> None:
    with pytest.raises((HostError, AssertionError), match=why):
        check(subject(tmp_path, manner))


@pytest.mark.parametrize(
    ("manner", "check"),
    [("stays", checks.ends_when_it_is_told), ("deaf", checks.ends_on_sigterm)],
)
def test_one_that_does_not_end_is_found(
    tmp_path: Path,
    manner: str,
    check: Callable[[Subject], str],
) -> None:
    with pytest.raises(HostError, match="has not ended within 1 s"):
        check(replace(subject(tmp_path, manner), end_s=1.0))


def test_a_failed_check_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject(tmp_path, "pong")
    assert main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "FAILED  answers a ping: pong 776 for ping 1099511627776" in out
    assert "by-hand 1: 13 of 14" in out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "plugin is missing"),
        ("[plugin", "Expected"),
        (MANIFEST.replace('"by-hand"', '"By Hand"'), "must be like"),
        (MANIFEST.replace('version = "1"', 'version = "1"\nprotocol = 2'), "speaks 1"),
        (MANIFEST.replace('"20 s"', '"2 fortnights"'), "no duration"),
        (MANIFEST + "[more]\n", "unknown table 'more'"),
        (MANIFEST.replace("rows = 4", 'rows = 4\nevery = "1 s"'), "keep one"),
        (MANIFEST.replace("max = 1", "min = 2\nmax = 2").replace("plc/*", "plc/A"), "1 of 2 tags"),
    ],
)
def test_a_manifest_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    (tmp_path / "plugin.toml").write_text(text)
    assert main([str(tmp_path)]) == 2
    assert why in capsys.readouterr().err


def test_a_setting_is_given_as_in_toml(tmp_path: Path) -> None:
    subject(tmp_path, "well")
    assert main([str(tmp_path), "--set", "a = 1", "--set", "a ="]) == 2


def test_names_fit_their_patterns_and_every_type_has_its_turn() -> None:
    role = Role(("line[12]/T?", "cam/*"), ("number", "string", "bytes"), most=64)
    tags = data.tags_of(role)
    assert len(tags) == len(set(tags)) == len(Type)
    assert data.tags_of(Role(("a/B",))) == ["a/B"]
    with pytest.raises(ManifestError):
        data.tags_of(Role(("a/B", "a/C"), least=3))
    assert len(data.tags_of(Role(("a/*",), least=100, most=100))) == 100
