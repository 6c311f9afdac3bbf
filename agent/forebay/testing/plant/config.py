"""Writes the configuration of an agent that reads the plant.

Owns the files' contents. Must not know the agent's own models: what is written here is what a
person would write.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.testing.plant.catalog import CONVEYOR, CONVEYOR_TOPIC, METER, NAMESPACE, PRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from forebay.testing.plant.catalog import Point

MAIN_FILE = "forebay.toml"
_COLUMNS = ("name", "address", "type", "group", "unit")

_TEMPLATE = """\
# The demo's plant: three devices, three protocols, one server. Made by forebay.testing.plant.
[gateway]
id = "{gateway}"

[journal]
directory = "{directory}/journal"
max_size = "512 MiB"

[control]
socket = "{directory}/control.sock"

[devices.meter]
protocol = "modbus"
host = "127.0.0.1"
port = {modbus}
tags = "meter.csv"

[devices.meter.groups.fast]
period = "100 ms"

[devices.meter.groups.slow]
period = "1 s"

[devices.press]
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:{opcua}"
security_policy = "None"   # it never leaves this machine; a real press gets a certificate
tags = "press.csv"

[devices.press.groups.fast]
mode = "subscribe"
period = "200 ms"

[devices.press.groups.slow]
mode = "poll"
period = "1 s"

[devices.conveyor]
protocol = "mqtt"
host = "127.0.0.1"
port = {mqtt}
tls = false                # as above
version = "3.1.1"          # what the demo's broker speaks
tags = "conveyor.csv"

[devices.conveyor.groups.stream]
mode = "subscribe"

[uplinks.cloud]
kind = "grpc"
address = "{uplink}"
ca = "{certificates}/ca.crt"
cert = "{certificates}/{gateway}.crt"
key = "{certificates}/{gateway}.key"
backoff = {{ first = "200 ms", most = "2 s" }}
"""

_PLUGIN = """
[plugins.watch]
path = "{plugin}"
inputs.values = ["meter/current *"]
window = {{ rows = 10, stride = 1 }}   # one second

[plugins.watch.settings]
learn = 50                 # five seconds show what is normal here; a real machine takes an hour
"""


@dataclass(frozen=True, slots=True)
class PlantPorts:
    """The loopback ports on which the plant's devices listen."""

    modbus: int
    opcua: int
    mqtt: int


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the agent sends: the server's `host:port`, its certificates, the gateway's name.

    `plugin` is the directory of the plugin that watches the meter's currents, if one does.
    """

    uplink: str
    certificates: Path
    gateway: str
    plugin: Path | None = None


def write_demo_config(directory: Path, ports: PlantPorts, destination: Destination) -> Path:
    """Write three tag lists and, last and at once, the main file; give its path.

    Whoever waits for the main file finds everything else in place.
    """
    _write_tags(directory / "meter.csv", METER, lambda point: f"holding:{point.place}")
    _write_tags(directory / "press.csv", PRESS, lambda point: f"nsu={NAMESPACE};s={point.place}")
    _write_tags(
        directory / "conveyor.csv", CONVEYOR, lambda p: f"{CONVEYOR_TOPIC}#{p.place}", time="/ts"
    )
    text = _TEMPLATE.format(
        gateway=destination.gateway,
        directory=directory,
        certificates=destination.certificates,
        uplink=destination.uplink,
        modbus=ports.modbus,
        opcua=ports.opcua,
        mqtt=ports.mqtt,
    )
    if destination.plugin is not None:
        text += _PLUGIN.format(plugin=destination.plugin)
    main = directory / MAIN_FILE
    draft = directory / f"{MAIN_FILE}.new"
    draft.write_text(text, encoding="utf-8")
    draft.rename(main)
    return main


def _write_tags(
    path: Path, points: Sequence[Point], address: Callable[[Point], str], **extra: str
) -> None:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([*_COLUMNS, *extra])
    for p in points:
        rows.writerow([p.name, address(p), p.type, p.group, p.unit, *extra.values()])
    path.write_text(out.getvalue(), encoding="utf-8")
