"""Writes the reference of the configuration from the settings classes, so that it cannot go stale.

`python -m forebay.config.docs --write` writes `config.md`, `limits.md` and `config.schema.json`
into `docs/reference`; `--check` ends with status 1 if they are not what `--write` would write. Owns
the pages' form; what they say of a key is the key's own description. Must not know any adapter by
name.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args, get_origin

from pydantic import BaseModel

from forebay.config.fields import bounds, default, kind, without_none, written
from forebay.config.installed import installed
from forebay.config.jsonschema import json_schema
from forebay.config.limits import Limits
from forebay.config.model import Config
from forebay.pluginhost.settings import PluginSettings
from forebay.registry import Registry
from forebay.settings import (
    DeviceSettings,
    GroupSettings,
    StageSettings,
    TagSettings,
    UplinkSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic.fields import FieldInfo

    from forebay.config.installed import Installed

DIRECTORY = Path("docs/reference")

HEAD = """\
# Configuration

Written by `python -m forebay.config.docs --write` from the settings classes; edit those, not this.

The agent reads one TOML file, `/etc/forebay/forebay.toml` unless `--config` or `FOREBAY_CONFIG`
names another, and every `conf.d/*.toml` beside it in the order of their names. Tables of several
files are joined; a key that two files set is a fault. `forebay check FILE` finds every fault
without touching a device and prints one line for each: `path: fault (hint)`.

- A **duration** is a number and `ms`, `s`, `min`, `h` or `d`: `"250 ms"`. A bare number is seconds.
- A **size** is a number and `B`, `KiB`, `MiB`, `GiB` or `TiB`: `"64 MiB"`. A bare number is bytes.
- A **rate** is a number and `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s`, in decimal steps as operators
  of networks count: `"512 kbit/s"`. A bare number is bit/s.
- A **name** has letters, digits, `_`, `.` and `-`, starts with a letter or digit and has at most 64
  characters.
- A **path** that is not absolute begins at the directory of the main file, in `conf.d` too. The
  files that enabled devices and uplinks name must exist and be readable. One that holds a private
  key or a password must not be readable by every user of the machine.
- `config.schema.json` beside this page is the same as JSON Schema, for editors. With Taplo, begin
  the file with `#:schema` and the path to it.

| Variable | Meaning |
|---|---|
| `FOREBAY_CONFIG` | the main file |
| `FOREBAY_STATE` | the directory of all that is kept, by default `/var/lib/forebay` |
| `FOREBAY_SOCKET` | the control socket; goes before `control.socket` |

Limits: 1 MiB for each TOML file, 32 MiB for a tag list, 100,000 tags and 16 stages for a device,
1,000 devices, 16 uplinks, 64 plugins.
"""

LIMITS_HEAD = """\
# limits.toml

Written by `python -m forebay.config.docs --write` from the settings classes; edit those, not this.

What a fleet server may do to this box: a configuration that it pushes, and the commands that it
sends, stay within `/etc/forebay/limits.toml`. Nothing that comes over the network can change that
file, or say where it is; `FOREBAY_LIMITS`, in the agent's own environment, names another. The file
and its directory must belong to root, and nobody else may write to them, or every push is refused.
Without the file the defaults below hold: devices are polled and data is sent anywhere, and nothing
is written to any device. A configuration that a person starts the agent with is not held to it.

A pushed configuration may name its own files, directories below `FOREBAY_STATE/data`, models below
`FOREBAY_STATE/plugins`, and what `directories` allows; never the agent's keys. Journal and control
socket may stay where they are.

```toml
endpoints = ["10.20.0.0/16:502", "10.20.0.9:4840", "/dev/ttyUSB*", "fleet.example.org:7443"]
directories = ["/etc/forebay/certificates"]
plugins = ["anomaly", "forebay-*"]
journal_size = "64 GiB"
memory = "512 MiB"

[writes]
enabled = true

[[writes.allow]]
tags = ["press/Setpoint"]
min = 0
max = 80
rate = "1/s"

[commands]
operator = ["read", "write"]
```
"""

DEVICES = """\
Every device has these keys, and those of its protocol, below.
"""

UPLINKS = """\
One destination of readings. Every uplink has these keys, and those of its kind, below.
"""

PLUGINS = """\
One plugin that runs beside the data; the table's name is the source of its results, which are tags
`NAME/OUTPUT`. What is not set here is as the plugin's own `plugin.toml` has it. A plugin that is
missing, or that does not fit its table, is told by `forebay check` and is not run: the gateway
starts without it. See [the guide](../guides/plugins.md).
"""

GROUPS = """\
Tags of one group are read together. A tag list that names no group uses `default`, which needs no
table; any other group needs one. Without `mode`, a group is read as is usual for the protocol:
polled, unless the protocol's own table of a group says otherwise or it cannot.
"""

TAGS = """\
A CSV file whose first line names the columns, in any order, or `[[devices.NAME.tags]]` tables with
the same keys. The file is UTF-8, with or without a byte order mark. Cells are separated by commas,
or by semicolons or tabs if the first line has no comma, so exports of spreadsheets work as they
are; numbers have a decimal point in any case. A cell with the separator in it stands in quotes and
ends on its own line. Empty lines and lines that begin with `#` are skipped: put a name that begins
with `#` in quotes. An empty cell means the default. Besides these columns, a protocol may have
its own, above. What an `address` looks like is on the page of each protocol:
[modbus](../../agent/forebay/drivers/modbus/README.md),
[opcua](../../agent/forebay/drivers/opcua/README.md),
[mqtt](../../agent/forebay/drivers/mqtt/README.md) and
[simulated](../../agent/forebay/drivers/simulated/README.md), whose addresses are signals.
"""

TEXTS: Mapping[type[BaseModel], str] = MappingProxyType(
    {
        DeviceSettings: DEVICES,
        GroupSettings: GROUPS,
        UplinkSettings: UPLINKS,
        PluginSettings: PLUGINS,
    }
)


def _table(
    fields: Iterable[tuple[str, FieldInfo]], first: str, presets: BaseModel | None = None
) -> Iterator[str]:
    """Write a line for each field; `presets` holds defaults that go before the fields' own."""
    yield f"| {first} | Write | Default | Meaning |"
    yield "|---|---|---|---|"
    for name, field in fields:
        write = ", ".join(filter(None, (kind(field), bounds(field))))
        value = getattr(presets, name) if presets else default(field)
        preset = f"`{written(field, value)}`"
        if field.is_required() and not presets:
            preset = "**required**"
        about = field.description or (inspect.getdoc(type(value)) or "").partition("\n")[0]
        meaning = about.replace("|", "\\|")
        yield f"| `{name}` | {write} | {preset} | {meaning} |"
    yield ""


def _own(model: type[BaseModel], base: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Give the fields that `model` adds to `base`, and those that it restricts."""
    inherited = base.model_fields
    return [
        (name, field)
        for name, field in model.model_fields.items()
        if name not in {"protocol", "kind"}
        and (name not in inherited or _facts(inherited[name]) != _facts(field))
    ]


def _facts(field: FieldInfo) -> tuple[object, ...]:
    return kind(field), bounds(field), written(field, default(field)), field.description


def nested(
    fields: Iterable[tuple[str, FieldInfo]], path: str
) -> Iterator[tuple[str, type[BaseModel], BaseModel | None]]:
    """Give the tables that stand in fields of a table: path, class, and defaults if it has any."""
    for name, field in fields:
        for member in without_none(field.annotation):
            origin, inner = get_origin(member), get_args(member)
            table, suffix = member, ""
            if isinstance(origin, type) and inner:
                mapping = issubclass(origin, Mapping)
                table, suffix = (inner[-1], ".NAME") if mapping else (inner[0], "[]")
            if isinstance(table, type) and issubclass(table, BaseModel):
                preset = default(field)
                presets = preset if isinstance(preset, BaseModel) else None
                yield f"{path}{name}{suffix}", table, presets


def _section(
    path: str, model: type[BaseModel], level: int, presets: BaseModel | None = None
) -> Iterator[str]:
    """Write a table of the file, then the tables in it."""
    fields = list(model.model_fields.items())
    title = path.replace("[]", "")
    yield f"{'#' * level} `{f'[[{title}]]' if path.endswith('[]') else f'[{title}]'}`\n"
    yield TEXTS.get(model) or f"{inspect.getdoc(model)}\n"
    yield from _table(fields, "Key", presets)
    for inner, table, defaults in nested(fields, f"{path}."):
        yield from _section(inner, table, level + 1, defaults)


def _adapter(title: str, model: type[BaseModel], base: type[BaseModel], path: str) -> Iterator[str]:
    """Write what one adapter adds to the keys of its kind."""
    yield f"### `{title}`\n"
    yield f"{inspect.getdoc(model)}\n"
    own = _own(model, base)
    if own:
        yield from _table(own, "Key")
    for inner, table, defaults in nested(own, f"{path}."):
        yield from _section(inner, table, 4, defaults)


def page(adapters: Installed) -> str:
    """Give the text of `config.md`."""
    lines = [HEAD]
    for name, table, defaults in nested(Config.model_fields.items(), ""):
        lines += _section(name, table, 2, defaults)
    lines += _section("devices.NAME", DeviceSettings, 2)
    for driver in adapters.drivers:
        title = f'protocol = "{driver.protocol}"'
        lines += _adapter(title, driver.settings, DeviceSettings, "devices.NAME")
        lines.append(f"Modes: {', '.join(f'`{mode}`' for mode in sorted(driver.modes))}.\n")
        if columns := _own(driver.tag, TagSettings):
            lines += _table(columns, "Column")
    lines += ["## Tag lists\n", TAGS, *_table(TagSettings.model_fields.items(), "Column")]
    lines.append(
        "## `[[devices.NAME.stages]]`\n\nWhat each batch of the device passes, in order.\n"
    )
    for stage in adapters.stages:
        title = f'kind = "{stage.kind}"'
        lines += _adapter(title, stage.settings, StageSettings, "devices.NAME.stages[]")
    lines += _section("uplinks.NAME", UplinkSettings, 2)
    for uplink in adapters.uplinks:
        title = f'kind = "{uplink.kind}"'
        lines += _adapter(title, uplink.settings, UplinkSettings, "uplinks.NAME")
    lines += _section("plugins.NAME", PluginSettings, 2)
    return "\n".join(lines).rstrip("\n") + "\n"


def limits_page() -> str:
    """Give the text of `limits.md`."""
    fields = list(Limits.model_fields.items())
    lines = [LIMITS_HEAD, *_table(fields, "Key")]
    for name, table, defaults in nested(fields, ""):
        lines += _section(name, table, 2, defaults)
    return "\n".join(lines).rstrip("\n") + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the files; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m forebay.config.docs", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    adapters = installed(Registry())
    files = {
        options.directory / "config.md": page(adapters),
        options.directory / "limits.md": limits_page(),
        options.directory / "config.schema.json": json.dumps(json_schema(adapters), indent=2)
        + "\n",
    }
    stale = [p for p, text in files.items() if not p.is_file() or p.read_text("utf-8") != text]
    for path in stale:
        if options.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], "utf-8")
        sys.stdout.write(f"{'wrote' if options.write else 'stale:'} {path}\n")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
