"""Expressions over tags: Python's syntax of arithmetic and comparison, a closed list of it.

A text is parsed by `ast` and never run: every node that is not named here is refused. What is left
becomes functions over numpy vectors.

    tag("press/Temp") > 80 and lasting(flow < 3, "5 s")
    mean(temp) - min(temp, 20)

Owns the language. A row is NaN where a tag that the expression needs is bad, or a result is not
finite.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forebay_rules.durations import duration_ns
from forebay_rules.lasting import lasting, switched

if TYPE_CHECKING:
    from forebay_rules.rows import Rows, Vector

CHARS_MAX, NODES_MAX, DEPTH_MAX = 1000, 200, 25
Run = Callable[["Rows"], "Vector"]


class ExpressionError(ValueError):
    """The text is no expression of this language; the message shows where, and what is possible."""


@dataclass(frozen=True)
class Expression:
    """A text that was understood.

    Attributes:
        text: as it was written.
        tags: DEVICE/TAG that it needs.
        at_end: it looks at a window as a whole, so it has one value for each window, at its last
            row; else one for each row.
        run: rows -> (rows) float64, NaN where bad; true is 1.
        keys: of `Rows.memory` that it uses; another text has other keys.
    """

    text: str
    tags: frozenset[str]
    at_end: bool
    run: Run
    keys: tuple[str, ...] = ()


def compile_expression(
    text: str, tags: Sequence[str], aliases: Mapping[str, str], name: str
) -> Expression:
    """Understand `text`; `name` is unique, and names what the expression keeps between windows.

    `tags` are those that there are, `aliases` short names for some.

    Raises:
        ExpressionError: syntax, an unknown name, or more than the limits allow.
    """
    if len(text) > CHARS_MAX:
        raise ExpressionError(f"{len(text)} characters; {CHARS_MAX} at most")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as wrong:
        raise ExpressionError(f"{text!r} is no expression: {wrong}") from wrong
    nodes = sum(1 for _ in ast.walk(tree))
    if nodes > NODES_MAX:
        raise ExpressionError(f"{nodes} parts; {NODES_MAX} at most")
    compiler = _Compiler(frozenset(tags), aliases, name, text)
    try:
        run = compiler.compile(tree.body, 0)
    except ExpressionError as wrong:
        raise ExpressionError(f"{text!r}: {wrong}") from wrong
    if not compiler.used:
        raise ExpressionError(f"{text!r} looks at no tag")
    return Expression(
        text, frozenset(compiler.used), compiler.at_end, _quiet(run), tuple(compiler.keys)
    )


def _quiet(run: Run) -> Run:
    def quiet(rows: Rows) -> Vector:
        with np.errstate(all="ignore"):
            return _finite(run(rows))

    return quiet


def _finite(values: Vector) -> Vector:
    return np.where(np.isfinite(values), values, np.nan)


def _strict(do: Callable[..., object]) -> Callable[..., Vector]:
    """Make `do` bad where one of its vectors is: comparisons of NaN would say False."""

    def strictly(*vectors: Vector) -> Vector:
        bad = np.logical_or.reduce([np.isnan(vector) for vector in vectors])
        made = np.asarray(do(*vectors), dtype=np.float64)
        return np.where(bad, np.nan, made)

    return strictly


BINARY: Mapping[type[ast.operator], Callable[..., Vector]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
UNARY: Mapping[type[ast.unaryop], Callable[..., Vector]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: _strict(lambda x: x == 0),
}
COMPARE: Mapping[type[ast.cmpop], Callable[..., Vector]] = {
    ast.Lt: _strict(operator.lt),
    ast.LtE: _strict(operator.le),
    ast.Gt: _strict(operator.gt),
    ast.GtE: _strict(operator.ge),
    ast.Eq: _strict(operator.eq),
    ast.NotEq: _strict(operator.ne),
}
BOOLEAN: Mapping[type[ast.boolop], Callable[..., Vector]] = {
    ast.And: _strict(lambda *x: np.logical_and.reduce([one != 0 for one in x])),
    ast.Or: _strict(lambda *x: np.logical_or.reduce([one != 0 for one in x])),
}
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e, "true": 1.0, "false": 0.0}


def _instead(x: Vector, other: Vector) -> Vector:
    return np.where(np.isnan(x), other, x)


BY_ROW: Mapping[str, tuple[int, int, Callable[..., Vector]]] = {
    "abs": (1, 1, np.abs),
    "sqrt": (1, 1, np.sqrt),
    "exp": (1, 1, np.exp),
    "log": (1, 1, np.log),
    "round": (1, 1, np.round),
    "floor": (1, 1, np.floor),
    "ceil": (1, 1, np.ceil),
    "min": (2, 16, lambda *x: np.min(np.stack(x), axis=0)),
    "max": (2, 16, lambda *x: np.max(np.stack(x), axis=0)),
    "clip": (3, 3, lambda x, low, high: np.minimum(np.maximum(x, low), high)),
    "good": (1, 1, lambda x: (~np.isnan(x)).astype(np.float64)),
    "default": (2, 2, _instead),
}
"""Functions of each row: fewest and most arguments, and what is done."""
OVER_WINDOW: Mapping[str, Callable[[Vector], np.floating]] = {
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "std": np.std,
    "sum": np.sum,
    "median": np.median,
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
}
"""Functions of one argument over the whole window."""
OF_TAG = ("rate", "delta", "age")
KEEPING = ("lasting", "hysteresis")


class _Compiler:
    """From nodes to functions; remembers what they use."""

    def __init__(
        self, tags: frozenset[str], aliases: Mapping[str, str], name: str, text: str
    ) -> None:
        self._tags, self._aliases, self._name, self._text = tags, aliases, name, text
        self._kept, self._inside = 0, False
        self.used: set[str] = set()
        self.keys: list[str] = []
        self.at_end = False

    def compile(self, node: ast.expr, depth: int) -> Run:
        """Give the function of one node."""
        if depth > DEPTH_MAX:
            raise ExpressionError(f"deeper than {DEPTH_MAX} levels")
        deeper = depth + 1
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.Name):
            return self._name_of(node)
        if isinstance(node, ast.Call):
            return self._call(node, deeper)
        if isinstance(node, ast.Compare) and all(type(op) in COMPARE for op in node.ops):
            return self._compare(node, deeper)
        do, parts = _operation(node)
        return _applied(do, [self.compile(part, deeper) for part in parts])

    def _constant(self, node: ast.Constant) -> Run:
        if not isinstance(node.value, bool | int | float) or abs(node.value) > 1e300:
            raise ExpressionError(f"{str(node.value)[:40]!r} is no number")
        value = float(node.value)
        return lambda rows: np.full(len(rows.times), value)

    def _name_of(self, node: ast.Name) -> Run:
        if node.id in CONSTANTS and node.id not in self._aliases:
            value = CONSTANTS[node.id]
            return lambda rows: np.full(len(rows.times), value)
        return _held(self._tag_of(node))

    def _tag_of(self, node: ast.expr) -> str:
        """The tag that `tag("DEVICE/TAG")` or an alias names."""
        if isinstance(node, ast.Name):
            known = self._aliases
            if node.id not in known:
                raise ExpressionError(f"unknown name {node.id}{_near(node.id, known)}")
            name = known[node.id]
        else:
            name = self._literal(node)
        if name not in self._tags:
            raise ExpressionError(f"no tag {name!r} among the inputs{_near(name, self._tags)}")
        self.used.add(name)
        return name

    def _literal(self, node: ast.expr) -> str:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "tag"
            and len(node.args) == 1
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
            and not node.keywords
        ):
            return node.args[0].value
        raise ExpressionError(f'{ast.unparse(node)[:40]!r} must be a name or tag("DEVICE/TAG")')

    def _compare(self, node: ast.Compare, depth: int) -> Run:
        sides = [self.compile(side, depth) for side in (node.left, *node.comparators)]
        pairs = [
            _applied(COMPARE[type(op)], [left, right])
            for op, left, right in zip(node.ops, sides, sides[1:], strict=False)
        ]
        return pairs[0] if len(pairs) == 1 else _applied(BOOLEAN[ast.And], pairs)

    def _call(self, node: ast.Call, depth: int) -> Run:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise ExpressionError(f"{ast.unparse(node)[:40]!r} is not possible here")
        name, count = node.func.id, len(node.args)
        if any(isinstance(part, ast.Starred) for part in node.args):
            raise ExpressionError(f"{ast.unparse(node)[:40]!r} is not possible here")
        if name == "tag":
            return _held(self._tag_of(node))
        if name in OF_TAG:
            _counted(name, count, 1, 1)
            return _of_tag(name, self._tag_of(node.args[0]))
        if name in OVER_WINDOW and count == 1:
            return self._over_window(name, node.args[0], depth)
        if name in KEEPING:
            return self._keeping(name, node.args, depth)
        if name not in BY_ROW:
            known = [*BY_ROW, *OVER_WINDOW, *OF_TAG, *KEEPING, "tag"]
            raise ExpressionError(f"unknown function {name}{_near(name, known)}")
        least, most, do = BY_ROW[name]
        _counted(name, count, least, most)
        parts = [self.compile(part, depth) for part in node.args]
        return _applied(do, parts)

    def _over_window(self, name: str, argument: ast.expr, depth: int) -> Run:
        if self._inside:
            raise ExpressionError(f"{name} of a window inside of another: take it apart")
        outside, self.used = self.used, set()
        self._inside = True
        inner = self.compile(argument, depth)
        self._inside = False
        tags, self.used = frozenset(self.used), outside | self.used
        self.at_end = True
        reduce = OVER_WINDOW[name]

        def over(rows: Rows) -> Vector:
            values = _finite(inner(rows.all_rows(tags)))
            good = values[~np.isnan(values)]
            enough = len(good) > 0 and len(good) >= rows.good_part * len(values)
            return np.full(len(rows.times), float(reduce(good)) if enough else np.nan)

        return over

    def _keeping(self, name: str, arguments: Sequence[ast.expr], depth: int) -> Run:
        if self._inside:
            raise ExpressionError(f"{name} inside of a function over the window: take it apart")
        key = f"{self._name}#{self._kept}:{self._text}"
        self._kept += 1
        self.keys.append(key)
        if name == "hysteresis":
            _counted(name, len(arguments), 3, 3)
            parts = [self.compile(part, depth) for part in arguments]
            return _hysteresis(key, *parts)
        _counted(name, len(arguments), 2, 2)
        least_ns = _duration(arguments[1])
        condition = self.compile(arguments[0], depth)

        def held(rows: Rows) -> Vector:
            true = condition(rows)
            true = np.where(np.isnan(true), np.nan, (true != 0).astype(np.float64))
            found, rows.memory[key] = lasting(true, rows.times, rows.memory.get(key), least_ns)
            return found

        return held


def _operation(node: ast.expr) -> tuple[Callable[..., Vector], list[ast.expr]]:
    """What is done by an operator, and to which parts."""
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        return BINARY[type(node.op)], [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        return UNARY[type(node.op)], [node.operand]
    if isinstance(node, ast.BoolOp):
        return BOOLEAN[type(node.op)], node.values
    if isinstance(node, ast.IfExp):
        return _chosen, [node.test, node.body, node.orelse]
    raise ExpressionError(f"{ast.unparse(node)[:40]!r} is not possible here")


def _held(tag: str) -> Run:
    def held(rows: Rows) -> Vector:
        track = rows.tracks[tag]
        return track.held(track.values, rows.times, rows.stale_ns)

    return held


def _of_tag(name: str, tag: str) -> Run:
    def of_tag(rows: Rows) -> Vector:
        track = rows.tracks[tag]
        if name == "age":
            return track.age_s(rows.times)
        steps = track.steps(per_second=name == "rate")
        return track.held(steps, rows.times, rows.stale_ns)

    return of_tag


def _hysteresis(key: str, value: Run, low: Run, high: Run) -> Run:
    def switch(rows: Rows) -> Vector:
        x, below, above = value(rows), low(rows), high(rows)
        up, down = COMPARE[ast.Gt](x, above), COMPARE[ast.Lt](x, below)
        found, rows.memory[key] = switched(up, down, on=rows.memory.get(key))
        return found

    return switch


def _applied(do: Callable[..., Vector], parts: Sequence[Run]) -> Run:
    return lambda rows: _finite(do(*(part(rows) for part in parts)))


def _chosen(test: Vector, body: Vector, otherwise: Vector) -> Vector:
    return np.where(np.isnan(test), np.nan, np.where(test != 0, body, otherwise))


def _duration(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        try:
            return duration_ns(node.value)
        except ValueError as wrong:
            raise ExpressionError(str(wrong)) from wrong
    raise ExpressionError(f'{ast.unparse(node)[:40]!r} is no duration; write for example "5 s"')


def _counted(name: str, count: int, least: int, most: int) -> None:
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise ExpressionError(f"{name} takes {wanted} arguments, not {count}")


def _near(name: str, known: object) -> str:
    names = sorted(known) if isinstance(known, frozenset | list | Mapping) else []
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; is {' or '.join(close)} meant?" if close else ""
