"""`python -m forebay.testing.plant`: runs the plant until SIGTERM or SIGINT.

SIGUSR1 burns a contact: one phase of the meter carries less; SIGUSR2 mends it.

Owns the command line. When all devices serve and the configuration is written, prints one line of
JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from forebay.testing.plant.config import Destination, PlantPorts, write_demo_config
from forebay.testing.plant.devices import conveyor, free_ports, meter, press


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m forebay.testing.plant", description=__doc__)
    parser.add_argument("--config-dir", type=Path, required=True, help="where forebay.toml goes")
    parser.add_argument("--uplink", default="127.0.0.1:7443", help="the server, as host:port")
    parser.add_argument("--certificates", type=Path, help="CONFIG_DIR/certificates if not given")
    parser.add_argument("--gateway", default="demo-line", help="the gateway's name")
    parser.add_argument("--plugin", type=Path, help="directory of a plugin that is to watch it")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    fault = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, fault.set)
    loop.add_signal_handler(signal.SIGUSR2, fault.clear)
    directory = arguments.config_dir.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    certificates = (arguments.certificates or directory / "certificates").resolve()
    ports = PlantPorts(*free_ports(3))
    async with (
        meter(ports.modbus, fault),
        press(ports.opcua),
        conveyor(ports.mqtt, directory / "broker"),
    ):
        destination = Destination(
            arguments.uplink, certificates, arguments.gateway, arguments.plugin
        )
        path = write_demo_config(directory, ports, destination)
        ready = {"config": str(path), "modbus": ports.modbus, "opcua": ports.opcua}
        sys.stdout.write(json.dumps({**ready, "mqtt": ports.mqtt}) + "\n")
        sys.stdout.flush()
        await stop.wait()


asyncio.run(_run(_arguments()))
