"""The life of a plugin process: what it does when its author, or its host, does something wrong."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forebay_plugin import frames as framing
from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin.hosting import HostError, PluginProcess
from forebay_plugin.manifest import Manifest, load
from forebay_plugin.testing import Frame, run_process, setup_message

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 30.0
MANIFEST = """
[plugin]
name = "odd"
version = "1"
command = ["{python}", "{dir}/odd.py"]
[inputs.values]
tags = ["plc/*"]
[window]
rows = 2
[outputs.sum]
[outputs.text]
type = "string"
[limits]
deadline = "30 s"
"""
PLUGIN = '''
"""Does what its settings say."""
import os, signal, sys, threading, time
from pathlib import Path
from forebay_plugin import Plugin, PluginError, serve

class Odd(Plugin):
    def setup(self, setup):
        self.manner = setup.settings.get("manner")
        self.state = setup.state_directory
        if self.manner == "refuse":
            raise PluginError("no such model")
        if self.manner == "stumble":
            raise RuntimeError("of its own")
        print("printed by setup")
        return {"threads": os.environ.get("OMP_NUM_THREADS", "")}

    def process(self, window):
        values = window.matrix("values")
        if self.manner == "large":
            return {"text": "x" * 4_000_000}
        if self.manner == "unknown":
            return {"other": 1.0}
        if self.manner == "wrong":
            return {"text": 3}
        if values[0, 0] == 4:
            raise ValueError("four")
        if self.manner == "work":
            (self.state / "working").touch()
            while not (self.state / "go").exists():
                time.sleep(0.01)
        return {"sum": float(values.sum())}

    def close(self):
        (self.state / "closed").write_text("yes")

serve(Odd)
'''
RAMP = Frame.sampled({"plc/A": np.arange(10.0)})


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    (tmp_path / "plugin.toml").write_text(MANIFEST)
    (tmp_path / "odd.py").write_text(PLUGIN)
    return load(tmp_path)


def attached(process: PluginProcess, manifest: Manifest, **settings: str) -> list[pb.Work]:
    """Set the process up, and give the works over RAMP."""
    columns = framing.columns_of(manifest, [RAMP])
    message = setup_message(manifest.with_(settings), columns, process.state, None)
    process.attach(message, DEADLINE_S)
    return framing.works(manifest, [RAMP], columns)


def test_a_window_that_fails_costs_its_neighbours_nothing(manifest: Manifest) -> None:
    ran = run_process(manifest, [RAMP])
    assert list(ran["sum"].values) == [1.0, 5.0, 13.0, 17.0]
    assert ran.failures == [(3, "ValueError: four")]
    assert ran.facts == {"threads": "1"}


@pytest.mark.parametrize(
    ("manner", "why"),
    [
        ("unknown", "ValueError: there is no output 'other' in the manifest (has: sum, text)"),
        ("wrong", "ValueError: text: str wanted, not 3"),
    ],
)
def test_results_that_do_not_fit_the_manifest_fail_their_window(
    manifest: Manifest, manner: str, why: str
) -> None:
    ran = run_process(manifest, [RAMP], settings={"manner": manner})
    assert [failure for _, failure in ran.failures] == [why] * 5


def test_results_over_the_limit_fail_the_largest_windows(manifest: Manifest) -> None:
    """Five windows of 4 MB, of which 16 MiB may go out at once: one has to go."""
    ran = run_process(manifest, [RAMP], settings={"manner": "large"})
    assert len(ran.failures) == 1
    assert "over the limit of 16777216" in ran.failures[0][1]


@pytest.mark.parametrize(
    ("manner", "said", "traceback"),
    [("refuse", "setup failed: no such model", False), ("stumble", "of its own", True)],
)
def test_a_setup_that_fails_ends_the_process_and_says_why(
    manifest: Manifest, manner: str, said: str, *, traceback: bool
) -> None:
    with PluginProcess(manifest.command_line(), manifest.directory) as process:
        with pytest.raises(HostError, match="ended with 1 before ready"):
            attached(process, manifest, manner=manner)
        assert said in process.log
        assert ("Traceback" in process.log) is traceback


def test_what_it_prints_is_in_its_log(manifest: Manifest) -> None:
    with PluginProcess(manifest.command_line(), manifest.directory) as process:
        attached(process, manifest)
        assert process.stop(DEADLINE_S) == 0
        assert "printed by setup" in process.log
        assert (process.state / "closed").read_text() == "yes"


def test_sigterm_while_it_works_lets_the_results_out(manifest: Manifest) -> None:
    with PluginProcess(manifest.command_line(), manifest.directory) as process:
        (work,) = attached(process, manifest, manner="work")
        process.say(pb.ToPlugin(work=work))
        process.until((process.state / "working").exists, DEADLINE_S)
        process.process.send_signal(signal.SIGTERM)
        (process.state / "go").touch()
        results = process.hear("results", DEADLINE_S).results
        (column,) = results.columns
        assert len(column.values) // 8 + len(results.failures) == 5
        assert process.ended(DEADLINE_S) == 0
        assert (process.state / "closed").exists()


def test_a_host_that_breaks_the_protocol_is_left(manifest: Manifest) -> None:
    with PluginProcess(manifest.command_line(), manifest.directory) as process:
        (work,) = attached(process, manifest)
        work.axes[0].rows += 1
        process.say(pb.ToPlugin(work=work))
        assert process.ended(DEADLINE_S) == 1
        assert "the host broke the protocol: times: 80 bytes for 11 rows" in process.log
        assert (process.state / "closed").exists()


def test_work_before_setup_is_refused(manifest: Manifest) -> None:
    with PluginProcess(manifest.command_line(), manifest.directory) as process:
        process.hear("hello", DEADLINE_S)
        process.say(pb.ToPlugin(work=pb.Work(id=1)))
        assert process.ended(DEADLINE_S) == 1
        assert "work before setup" in process.log


def test_settings_come_as_they_were_set(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from forebay_plugin import Plugin, serve\nimport json\n"
        "class Echo(Plugin):\n"
        "    def setup(self, setup): return {'was': json.dumps(setup.settings)}\n"
        "    def process(self, window): return None\n"
        "serve(Echo)\n"
    )
    settings = {"limits": [1.5, 2], "deep": {"on": True}, "name": "ä"}
    ran = run_process(manifest, [RAMP], settings=settings)
    assert json.loads(ran.facts["was"]) == settings
