"""`model.toml`: what a model takes, gives and was trained on, as one checked value.

Owns the file's form. Reads no file but the text it is given, and knows no runtime.

```toml
[model]
name = "pump-normal"
version = "3"
description = "One line."
file = "model.onnx"
opsets = { "ai.onnx" = 17 }       # exactly those of the file

[files."model.onnx"]
sha256 = "…"
bytes = 1234

[inputs.x]
shape = ["batch", 20, "tags"]     # a text is a free dimension; the first is the batch
type = "float32"
names = ["flow", "pressure"]      # of the last dimension's columns; optional as the next two
units = ["l/min", "bar"]
ranges = [[0.0, 200.0], [-1.0, 16.0]]
nan = "refuse"                    # or "pass": the model takes NaN
constant = false                  # true: the value is in constants.file, not in the data
state = "h_out"                   # the output that it is in the next run; zeros at first

[outputs.score]
shape = ["batch"]
type = "float32"

[thresholds]
score = 1.0                       # at and over it: a finding; shadow runs compare by it

[constants]                            # optional
file = "constants.npz"

[selftest]                             # arrays in/NAME and out/NAME
file = "selftest.npz"
rtol = 1e-4
atol = 1e-5

[drift]                                # optional: arrays edges/NAME and shares/NAME
file = "drift.npz"

[training]
command = "python train.py --data PATH"
data_sha256 = "…"
```
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forebay_plugin.models.errors import ModelMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_BYTES_MAX = 256 * 1024
FILE_BYTES_MAX = 256 * 1024 * 1024
FILES_MAX = 16
PORTS_MAX = 64
DIMENSIONS_MAX = 8
COLUMNS_MAX = 4096
TYPES = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a model, a version, a file: no path, nothing hidden."""
SHA256 = re.compile(r"[0-9a-f]{64}")

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Port:
    """One input or output of the graph; what stands in the module's example, as a value.

    Attributes:
        name: as in the graph.
        shape: fixed sizes as int, free dimensions as their name.
        type: numpy's word for the dtype.
        names: of the columns of the last dimension; empty if they have none.
        units: one for each column, or empty.
        ranges: (least, most) of each column as trained, or empty.
        nan: whether the model takes NaN; else a row with one is not computed.
        constant: whether it comes from the folder's constants.
        state: the output that is this input of the next run; empty for data.
    """

    name: str
    shape: Shape
    type: str
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    nan: bool = False
    constant: bool = False
    state: str = ""


@dataclass(frozen=True)
class FileEntry:
    """A file of the folder: lower-case hex SHA-256, and size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ModelManifest:
    """A whole `model.toml`; keys as in the module's example."""

    name: str
    version: str
    description: str
    file: str
    opsets: Mapping[str, int]
    files: Mapping[str, FileEntry]
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    selftest_file: str
    rtol: float
    atol: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    constants_file: str = ""
    drift_file: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> list[Port]:
        """The inputs that data are for: neither constant nor state."""
        return [port for port in self.inputs.values() if not port.constant and not port.state]

    def interface(self) -> tuple[object, ...]:
        """What two models must have in common for one to stand in for the other."""
        data = [(port.name, port.shape, port.type, port.names) for port in self.data]
        return (data, [(port.name, port.shape, port.type) for port in self.outputs.values()])


def parse(text: bytes) -> ModelManifest:
    """Read the bytes of a `model.toml`.

    Raises:
        ModelMalformed: too long, no TOML, or a key is missing, unknown, or holds what it must not.
    """
    if len(text) > MANIFEST_BYTES_MAX:
        raise ModelMalformed(f"model.toml is over {MANIFEST_BYTES_MAX} bytes")
    try:
        table = _Table("", tomllib.loads(text.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelMalformed(f"model.toml is no TOML: {error}") from None
    head = table.table("model")
    opsets = head.table("opsets")
    tests = table.table("selftest")
    thresholds = table.table("thresholds", optional=True)
    constants = table.table("constants", optional=True)
    drift = table.table("drift", optional=True)
    training = table.table("training", optional=True)
    manifest = ModelManifest(
        name=head.name("name"),
        version=head.name("version"),
        description=head.text("description", ""),
        file=head.name("file"),
        opsets={domain: opsets.whole(domain) for domain in opsets.keys(PORTS_MAX)},
        files=_files(table.table("files")),
        inputs=_ports(table.table("inputs")),
        outputs=_ports(table.table("outputs")),
        selftest_file=tests.name("file"),
        rtol=tests.number("rtol", 1e-4),
        atol=tests.number("atol", 1e-5),
        thresholds={name: thresholds.number(name) for name in thresholds.keys(PORTS_MAX)},
        constants_file=constants.name("file", ""),
        drift_file=drift.name("file", ""),
        training=dict(training.take_all()),
    )
    for one in (table, head, tests, constants, drift):
        one.end()
    _check(manifest)
    return manifest


def _files(table: _Table) -> dict[str, FileEntry]:
    files = {}
    for name in table.keys(FILES_MAX):
        if not NAME.fullmatch(name):
            raise ModelMalformed(f"files.{name}: not the plain name of a file")
        entry = table.table(name)
        size = entry.whole("bytes")
        sha256 = entry.text("sha256")
        entry.end()
        if not 0 <= size <= FILE_BYTES_MAX:
            raise ModelMalformed(f"files.{name}: bytes must be at most {FILE_BYTES_MAX}")
        if not SHA256.fullmatch(sha256):
            raise ModelMalformed(f"files.{name}: sha256 must be 64 lower-case hex digits")
        files[name] = FileEntry(sha256, size)
    return files


def _ports(table: _Table) -> dict[str, Port]:
    return {name: _port(name, table.table(name)) for name in table.keys(PORTS_MAX)}


def _port(name: str, table: _Table) -> Port:
    where = f"{table.path}: "
    shape = table.items("shape", DIMENSIONS_MAX)
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int | str) or (size == 0):
            raise ModelMalformed(f"{where}shape holds {size!r}: a size, or a name in quotes")
    ranges = []
    for pair in table.items("ranges", COLUMNS_MAX, []):
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))):
            raise ModelMalformed(f"{where}ranges holds {pair!r}: [least, most] is wanted")
        ranges.append((float(pair[0]), float(pair[1])))
    port = Port(
        name=name,
        shape=tuple(shape),
        type=table.one_of("type", TYPES),
        names=tuple(map(str, table.items("names", COLUMNS_MAX, []))),
        units=tuple(map(str, table.items("units", COLUMNS_MAX, []))),
        ranges=tuple(ranges),
        nan=table.one_of("nan", ("refuse", "pass"), "refuse") == "pass",
        constant=table.flag("constant"),
        state=table.text("state", ""),
    )
    table.end()
    columns = {len(entry) for entry in (port.names, port.units, port.ranges) if entry}
    last = shape[-1] if shape else 0
    if len(columns) > 1 or (columns and isinstance(last, int) and columns != {last}):
        raise ModelMalformed(f"{where}names, units, ranges must have one entry for each column")
    return port


def _check(manifest: ModelManifest) -> None:
    """Refuse what no single key shows."""
    named = (
        manifest.file,
        manifest.selftest_file,
        manifest.constants_file,
        manifest.drift_file,
    )
    for name in filter(None, named):
        if name not in manifest.files:
            raise ModelMalformed(f"{name} has no entry under [files]")
    if not manifest.data or not manifest.outputs:
        raise ModelMalformed("a model has at least one input for data and one output")
    for port in manifest.inputs.values():
        if port.state and port.state not in manifest.outputs:
            raise ModelMalformed(f"inputs.{port.name}.state names no output: {port.state}")
        if port.constant and not manifest.constants_file:
            raise ModelMalformed(f"inputs.{port.name} is constant, and there is no [constants]")
    for name in manifest.thresholds:
        if name not in manifest.outputs:
            raise ModelMalformed(f"thresholds.{name} names no output")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_MISSING = object()


class _Table:
    """A TOML table whose keys are taken one by one; `end` refuses what nobody took."""

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path, self._values, self._taken = path, values, set[str]()

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _take(self, key: str, default: object, wanted: type, what: str) -> Any:  # noqa: ANN401
        self._taken.add(key)
        value = self._values.get(key, default)
        if value is _MISSING:
            raise ModelMalformed(f"model.toml: {self._at(key)} is missing")
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ModelMalformed(f"model.toml: {self._at(key)} must be {what}")
        return value

    def table(self, key: str, *, optional: bool = False) -> _Table:
        value = self._take(key, {} if optional else _MISSING, dict, "a table")
        return _Table(self._at(key), value)

    def keys(self, most: int) -> list[str]:
        if len(self._values) > most:
            raise ModelMalformed(f"model.toml: {self.path} has over {most} entries")
        return list(self._values)

    def text(self, key: str, default: object = _MISSING) -> str:
        return str(self._take(key, default, str, "a text"))

    def name(self, key: str, default: object = _MISSING) -> str:
        value = self.text(key, default)
        if value != default and not NAME.fullmatch(value):
            raise ModelMalformed(f"model.toml: {self._at(key)} must match {NAME.pattern}")
        return value

    def whole(self, key: str) -> int:
        return int(self._take(key, _MISSING, int, "a whole number"))

    def number(self, key: str, default: object = _MISSING) -> float:
        self._taken.add(key)
        value = self._values.get(key, default)
        if not _is_number(value):
            raise ModelMalformed(f"model.toml: {self._at(key)} must be a number")
        return float(value)

    def flag(self, key: str) -> bool:
        return bool(self._take(key, default=False, wanted=bool, what="true or false"))

    def items(self, key: str, most: int, default: object = _MISSING) -> list[Any]:
        value: list[Any] = self._take(key, default, list, "a list")
        if len(value) > most:
            raise ModelMalformed(f"model.toml: {self._at(key)} has over {most} entries")
        return value

    def one_of(self, key: str, words: tuple[str, ...], default: object = _MISSING) -> str:
        value = self.text(key, default)
        if value not in words:
            raise ModelMalformed(f"model.toml: {self._at(key)} must be one of {', '.join(words)}")
        return value

    def take_all(self) -> Mapping[str, Any]:
        self._taken.update(self._values)
        return self._values

    def end(self) -> None:
        unknown = set(self._values) - self._taken
        if unknown:
            raise ModelMalformed(f"model.toml: {self._at(min(unknown))} is no key that is known")
