"""Configurations with places for what differs from box to box: pure.

A string of a TOML file that is `"${name}"` and nothing else becomes the value of that box's
variable, of its own type; within a longer string, `"opc.tcp://${plc}:4840"`, its text is put in and
quoted. `$${` stands for `${`. Nowhere else may a place stand: not in a key, not in a literal or a
long string, so that no value can become more than a value. Comments are left alone. Other files
are taken as they are.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from forebay_fleet.rollouts.labels import Scalar

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<long>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5})
      | (?P<basic>"(?:\\.|[^"\\\n])*")
      | (?P<literal>'[^'\n]*')""",
    re.VERBOSE | re.DOTALL,
)
_PLACE = re.compile(r"\$?\$\{([^{}\"\n]*)\}")
_WHOLE = re.compile(r'"\$\{([^{}"\n]*)\}"')
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MARK = re.compile("\ue000([0-9]+)\ue001")
"""What stands in a place while a file is checked: the number of the place."""
_NONE = "a place stands where none can be"


class Fault(NamedTuple):
    """What is wrong with a template for a box, and where: `path` is FILE:LINE."""

    path: str
    message: str
    hint: str


class Place(NamedTuple):
    """Where a variable goes in: `path` is FILE:LINE; `whole` if it is all of its string."""

    name: str
    path: str
    whole: bool


class Template:
    """Files with their places, read once for any number of boxes.

    `faults` are wrong for each box; `places` are all there are.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        """Read it. Raises nothing: see `faults`."""
        self.faults: list[Fault] = []
        self.places: list[Place] = []
        self._contents = dict(contents)
        self._parts: dict[str, list[str | Place]] = {}
        for path, data in contents.items():
            if not path.endswith(".toml"):
                continue
            try:
                file = _File(path, data.decode())
            except UnicodeDecodeError:
                self.faults.append(Fault(f"{path}:1", "is not UTF-8", "save it as UTF-8"))
                continue
            self.faults += file.faults
            self._parts[path] = file.parts
            self.places += (part for part in file.parts if isinstance(part, Place))
        self.names = {place.name for place in self.places}

    def missing(self, variables: Container[str]) -> list[Fault]:
        """Say which places a box with these variables leaves empty."""
        return [
            Fault(
                place.path,
                f"the box has no variable {place.name!r}",
                f"forebay-fleet variable set BOX {place.name}=",
            )
            for place in self.places
            if place.name not in variables
        ]

    def render(self, variables: Mapping[str, Scalar]) -> dict[str, bytes]:
        """Give the files of a box, which has all `names`, of a template without faults."""
        return {
            path: data if path not in self._parts else self._text(path, variables).encode()
            for path, data in self._contents.items()
        }

    def _text(self, path: str, variables: Mapping[str, Scalar]) -> str:
        return "".join(
            part if isinstance(part, str) else _put_in(variables[part.name], whole=part.whole)
            for part in self._parts[path]
        )


class _File:
    """One file in `parts`; `faults` are those of all boxes."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text
        self.faults: list[Fault] = []
        self.parts: list[str | Place] = list(self._read())
        if not self.faults:
            self._check()

    def _read(self) -> Iterator[str | Place]:
        at = 0
        for token in _TOKEN.finditer(self._text):
            yield self._plain(at, token.start())
            at = token.end()
            if token.lastgroup == "basic":
                yield from self._string(token[0], token.start())
            elif token.lastgroup == "comment":
                yield token[0]
            else:
                yield self._plain(token.start(), at)
        yield self._plain(at, len(self._text))

    def _plain(self, first: int, end: int) -> str:
        """Give text that no place may stand in."""
        text = self._text[first:end]
        if (found := text.find("${")) >= 0:
            self._fault(self._where(first + found), _NONE, 'write "${name}"')
        return text

    def _string(self, literal: str, start: int) -> Iterator[str | Place]:
        where = self._where(start)
        whole = _WHOLE.fullmatch(literal)
        if whole is not None:
            yield self._place(whole[1], where, whole=True)
            return
        at = 0
        for found in _PLACE.finditer(literal):
            yield literal[at : found.start()]
            at = found.end()
            doubled = found[0].startswith("$$")
            yield found[0][1:] if doubled else self._place(found[1], where, whole=False)
        yield literal[at:]

    def _place(self, name: str, where: str, *, whole: bool) -> Place:
        if not _NAME.fullmatch(name):
            self._fault(where, f"${{{name}}} names no variable", "a-z 0-9 _, a letter first")
        return Place(name, where, whole)

    def _check(self) -> None:
        """Note what is no TOML, and places in keys."""
        places = [part for part in self.parts if isinstance(part, Place)]
        numbers = iter(range(len(places)))
        text = "".join(
            part
            if isinstance(part, str)
            else _put_in(f"\ue000{next(numbers)}\ue001", whole=part.whole)
            for part in self.parts
        )
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self._fault(self._path, str(error), "check it: forebay check")
            return
        for key in _keys(tables):
            for found in _MARK.finditer(key):
                if int(found[1]) < len(places):
                    self._fault(places[int(found[1])].path, _NONE, "a key is the same for all")

    def _where(self, at: int) -> str:
        line = self._text.count("\n", 0, at) + 1
        return f"{self._path}:{line}"

    def _fault(self, where: str, message: str, hint: str) -> None:
        self.faults.append(Fault(where, message, hint))


class Rendered(NamedTuple):
    """Files as a box gets them, or what is wrong, and then no files."""

    contents: dict[str, bytes]
    faults: list[Fault]


def render(contents: Mapping[str, bytes], variables: Mapping[str, Scalar]) -> Rendered:
    """Give a template's files for one box."""
    template = Template(contents)
    faults = template.faults or template.missing(variables)
    return Rendered({} if faults else template.render(variables), faults)


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _keys(one)
    elif isinstance(value, list):
        for one in value:
            yield from _keys(one)


def _put_in(value: Scalar, *, whole: bool) -> str:
    if whole:
        return toml(value)
    return toml(value if isinstance(value, str) else toml(value))[1:-1]


def toml(value: Scalar) -> str:
    """Write a value as TOML 1.0 does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            return str(value)
        return repr(value)
    if isinstance(value, int):
        return str(value)
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped, and pairs of surrogates.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
