"""The house rules that no linter knows, as functions from source text to findings.

Pure: reads no file and knows no tree; `test_tidy.py` applies it to the tree and plants violations.
Limits of shape are counted without docstrings, so that explaining never costs room.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
PUBLIC_METHODS_MAX = 15
BLOB_BYTES_MAX = 1024 * 1024
MAY_PRINT = re.compile(r"/cli/|/cli[.]py$|^plugins/[^/]+/(?:train|evaluate)[^/]*[.]py$")
"""Commands. What trains a plugin's model, or prints its figures, is no part of the plugin."""

# Written so that this file does not match itself.
FORBIDDEN_TEXT = {
    "a registry address": re.compile(
        r"pythonhosted[.]org|pypi[.]org/(?:simple|packages|pypi)|npmjs[.](?:org|com)"
        r"|deb[.]debian[.]org|static[.]crates[.]io|proxy[.]golang[.]org|repo1?[.]maven"
    ),
    "a path of one machine": re.compile(r"(?<![\w.-])/(?:[w]ork|tmp/[f]b)(?![\w-])"),
    "an open end": re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX)\b"),
}
BOUNDLESS_QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"}
BARE_DURATIONS = {"timeout", "interval", "delay", "duration", "period", "ttl"}
MUTABLE_CALLS = {"list", "dict", "set", "defaultdict", "deque", "OrderedDict", "Counter"}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Finding:
    """One broken rule. `rule` names it; `where` is the dotted name of the function or class."""

    path: str
    line: int
    rule: str
    where: str = ""

    def __str__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        return f"{self.path}:{self.line}: {self.rule}{place}"


def check_blob(path: str, size_bytes: int) -> Iterator[Finding]:
    """Refuse what does not belong into a repository by its size."""
    if size_bytes > BLOB_BYTES_MAX:
        yield Finding(path, 1, f"larger than {BLOB_BYTES_MAX} bytes")


def check_text(path: str, text: str) -> Iterator[Finding]:
    """Refuse text that must stand in no tracked file, whatever its language."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN_TEXT.items():
            if pattern.search(line):
                yield Finding(path, number, what)


def check_length(path: str, text: str) -> Iterator[Finding]:
    """Refuse a file of code that nobody can hold in their head."""
    lines = len(text.splitlines())
    if lines > FILE_LINES_MAX:
        yield Finding(path, FILE_LINES_MAX + 1, f"file of {lines} lines, over {FILE_LINES_MAX}")


def check_python(path: str, source: str, *, product: bool) -> Iterator[Finding]:
    """Check one Python module; `product` adds the rules for code that runs at a customer's."""
    tree = ast.parse(source, path)
    yield from _check_head(path, tree)
    if product:
        yield from _check_module_state(path, tree)
    for node, where in _walk(tree, ()):
        if isinstance(node, FunctionNode):
            yield from _check_function(path, node, where, product=product)
        elif isinstance(node, ast.ClassDef):
            yield from _check_class(path, node, where)
        elif isinstance(node, ast.ExceptHandler) and _catches_everything(node):
            yield Finding(path, node.lineno, "catches everything", where)
        elif isinstance(node, ast.Call) and product:
            yield from _check_call(path, node, where)
        elif isinstance(node, ast.Global) and product:
            yield Finding(path, node.lineno, "global state", where)


def _walk(node: ast.AST, scope: tuple[str, ...]) -> Iterator[tuple[ast.AST, str]]:
    """Every node below `node` with the dotted name of the scope that it defines or stands in."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, FunctionNode | ast.ClassDef)
        inner = (*scope, child.name) if named else scope  # type: ignore[attr-defined]
        yield child, ".".join(inner)
        yield from _walk(child, inner)


def _check_head(path: str, tree: ast.Module) -> Iterator[Finding]:
    if ast.get_docstring(tree) is None:
        yield Finding(path, 1, "module without docstring")
    code = [node for node in tree.body if not _is_docstring(node)]
    postponed = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in code
    )
    if code and not postponed:
        yield Finding(path, 1, "module without `from __future__ import annotations`")


def _check_module_state(path: str, tree: ast.Module) -> Iterator[Finding]:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        constant = all(name.isupper() or name.startswith("__") for name in names)
        if not constant and _is_mutable(node.value):
            yield Finding(path, node.lineno, "mutable module state", ", ".join(names))


def _check_function(
    path: str, node: FunctionNode, where: str, *, product: bool
) -> Iterator[Finding]:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
    if lines > FUNCTION_LINES_MAX:
        rule = f"function of {lines} lines, over {FUNCTION_LINES_MAX}"
        yield Finding(path, node.lineno, rule, where)
    if product:
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            number = isinstance(argument.annotation, ast.Name | ast.BinOp) and re.search(
                r"\b(?:int|float)\b", ast.unparse(argument.annotation)
            )
            if argument.arg in BARE_DURATIONS and number:
                yield Finding(path, argument.lineno, f"`{argument.arg}` without its unit", where)


def _check_class(path: str, node: ast.ClassDef, where: str) -> Iterator[Finding]:
    public = {
        member.name
        for member in node.body
        if isinstance(member, FunctionNode) and not member.name.startswith("_")
    }
    if len(public) > PUBLIC_METHODS_MAX and not node.name.startswith("Test"):
        rule = f"class of {len(public)} public methods, over {PUBLIC_METHODS_MAX}"
        yield Finding(path, node.lineno, rule, where)


def _check_call(path: str, node: ast.Call, where: str) -> Iterator[Finding]:
    name = _called(node)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name == "print" and not MAY_PRINT.search(path):
        yield Finding(path, node.lineno, "prints", where)
    elif name == "create_task" and "name" not in keywords:
        yield Finding(path, node.lineno, "task without a name", where)
    elif name == "ensure_future":
        yield Finding(path, node.lineno, "task without an owner", where)
    elif name == "deque" and "maxlen" not in keywords and len(node.args) < len(("items", "maxlen")):
        yield Finding(path, node.lineno, "deque without a limit", where)
    elif name in BOUNDLESS_QUEUES and not _is_limit(keywords.get("maxsize"), node.args):
        yield Finding(path, node.lineno, "queue without a limit", where)


def _is_limit(keyword: ast.expr | None, positional: list[ast.expr]) -> bool:
    size = keyword if keyword is not None else next(iter(positional), None)
    if isinstance(size, ast.UnaryOp):  # a negative size means: no limit
        return False
    return size is not None and not (isinstance(size, ast.Constant) and not size.value)


def _called(node: ast.Call) -> str:
    called = node.func.value if isinstance(node.func, ast.Subscript) else node.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return _called(value) in MUTABLE_CALLS
    literals = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return isinstance(value, literals)


def _catches_everything(node: ast.ExceptHandler) -> bool:
    """Whether `node` swallows any fault; one that cleans up and raises it again does not."""
    last = node.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    broad = {"Exception", "BaseException"}
    return any(one is None or ast.unparse(one).split(".")[-1] in broad for one in caught)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _docstring_lines(node: FunctionNode) -> int:
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1 if _is_docstring(first) else 0
