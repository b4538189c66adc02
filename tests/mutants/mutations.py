"""Small changes to a module, one at a time, each of which some test should notice.

Annotations, docstrings and type aliases are left alone: they do nothing while the program runs.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias

Change: TypeAlias = Callable[[ast.AST], ast.AST]

COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
}
OPPOSITES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutation(NamedTuple):
    """Where (a function, a class or the module), what was there before, and what is there now."""

    where: str
    before: str
    after: str
    number: int
    site: int
    change: Change

    @property
    def name(self) -> str:
        """Stays the same while the lines around it change."""
        again = f" ({self.number})" if self.number > 1 else ""
        return f"`{self.where}`: `{self.before}` → `{self.after}`{again}"

    def apply(self, source: str) -> ast.Module:
        """The changed program."""
        tree = ast.parse(source)
        old, _ = list(_sites(tree, "module"))[self.site]
        _replace(tree, old, self.change(old))
        return ast.fix_missing_locations(tree)


def mutations(source: str) -> Iterator[Mutation]:
    """All of them, in the order of the source."""
    seen: Counter[str] = Counter()
    for site, (node, where) in enumerate(_sites(ast.parse(source), "module")):
        for change in _changes(node):
            found = Mutation(where, _text(node), _text(change(node)), 1, site, change)
            seen[found.name] += 1
            yield found._replace(number=seen[found.name])


def _sites(node: ast.AST, where: str) -> Iterator[tuple[ast.AST, str]]:
    """Every node that may be changed, with the name of what it belongs to."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        where = node.name if where == "module" else f"{where}.{node.name}"
    yield node, where
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns"} or _is_alias(node):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_docstring(child):
                yield from _sites(child, where)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_alias(node: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and _text(node.annotation) == "TypeAlias"


def _changes(node: ast.AST) -> list[Change]:  # noqa: PLR0911 - one for each kind of expression
    if isinstance(node, ast.stmt):
        return _changes_of_statement(node)
    match node:
        case ast.Compare(ops=[operator]):
            return [_set(ops=[other()]) for other in COMPARISONS[type(operator)]]
        case ast.Compare():
            return [_moved(n) for n in range(len(node.ops))]
        case ast.BoolOp():
            return [_set(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [lambda _: operand]
        case ast.BinOp(op=operator) if type(operator) in ARITHMETIC:
            return [_set(op=ARITHMETIC[type(operator)]())]
        case ast.IfExp():
            return [_set(body=node.orelse, orelse=node.body)]
        case ast.Name(id=name, ctx=ast.Load()) if name in OPPOSITES:
            return [_set(id=OPPOSITES[name])]
        case ast.Constant(value=value) if value is not None and value is not ...:
            return [_set(value=_another(value))]
        case _:
            return []


def _changes_of_statement(node: ast.stmt) -> list[Change]:
    match node:
        case ast.AugAssign(op=operator) if type(operator) in ARITHMETIC:
            return [_set(op=ARITHMETIC[type(operator)]())]
        case ast.If(test=test) | ast.While(test=test):
            return [_set(test=ast.UnaryOp(ast.Not(), test))]
        case ast.Return(value=ast.expr() as value) if _text(value) != "None":
            return [_set(value=ast.Constant(None))]
        case ast.Expr() | ast.Delete() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return [lambda _: ast.Pass()]
        case _:
            return []


def _another(value: object) -> object:
    if isinstance(value, bool):
        return not value
    return f"XX{value}" if isinstance(value, str) else value + 1  # type: ignore[operator] # a number


def _set(**fields: object) -> Change:
    def change(old: ast.AST) -> ast.AST:
        new = copy.copy(old)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    return change


def _moved(number: int) -> Change:
    """Of `a <= b <= c` one operator at a time."""

    def change(old: ast.AST) -> ast.AST:
        assert isinstance(old, ast.Compare)
        ops = list(old.ops)
        ops[number] = COMPARISONS[type(ops[number])][0]()
        return ast.Compare(old.left, ops, old.comparators)

    return change


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if value is old:
                setattr(node, field, new)
            elif isinstance(value, list):
                value[:] = [new if each is old else each for each in value]


def _text(node: ast.AST) -> str:
    """One line of it; for a statement with a body, its head."""
    return ast.unparse(node).splitlines()[0]
