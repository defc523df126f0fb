"""Expressions of C as expressions of mathematics; what depends on conditions is a choice."""

import re
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp
from pycparser import c_ast as ast

from derive.audit.excerpt import vocabulary as v
from derive.audit.excerpt.choices import Choice, cases, where, within_classes
from derive.audit.excerpt.facts import BEFORE, ONE, ZERO, Facts, Unknown, bounded, size, unknown, unknowns
from derive.audit.excerpt.reading import Body, Unread, dotted, steps_by_one, walk
from derive.audit.excerpt.sensitivities import sensitivity

LARGEST = 1_000  # parts of an expression
COMPARISONS = {  # the signs that left - right may have
    ">": {1}, "<": {-1}, "<=": {-1, 0}, ">=": {0, 1}, "==": {0}, "!=": {-1, 1},
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A number of C: its expression, and whether its type is int."""

    e: sp.Expr
    whole: bool = False


@dataclass(frozen=True)
class Write:
    """What a statement put at an address where `guard` is not 0; with a counter, for every value that it may have."""

    array: sp.IndexedBase
    address: sp.Expr
    e: sp.Expr
    at: int
    guard: sp.Expr
    counter: sp.Symbol | None = None

    def happens(self, facts: Facts) -> bool:
        return any(guard != 0 for _, guard in cases(self.guard, facts))

    def reaches(self, array: sp.IndexedBase, address: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """Where it put something at that address, as a guard, and what."""
        gap = sp.expand(address - self.address)
        if self.array != array or (gap.has(v.INDEX) and gap.has(v.OBJECT_INDEX)):
            return ZERO, ZERO  # nothing of a box or of classes stands where an objectness does
        turn = sp.cancel(gap / self.address.coeff(self.counter) + self.counter) if self.counter else ZERO
        if gap.has(v.INDEX, v.OBJECT_INDEX) or sp.denom(turn) != 1:
            raise Unread("addresses cannot be told apart", self.at)
        if not self.counter:
            return Choice(gap, {0}, self.guard, ZERO), self.e
        own = {u: unknown(u.name) for u in sp.Tuple(self.e, self.guard).atoms(Unknown)}  # another in each turn
        change = own | {self.counter: sp.expand(turn)}
        return self.guard.xreplace(change), self.e.xreplace(change)


class Evaluator:
    """Works expressions out with what variables and arrays hold; `sign` is that of the sensitivities in `delta`."""

    def __init__(self, body: Body, sign: int) -> None:
        self.body, self.sign = body, sign
        self.spelled: dict[Any, str] = {}  # the symbols and arrays that were read, as the excerpt calls them
        self.names: dict[str, Value] = {}
        self.memory: list[Write] = []
        self.context: sp.Expr = ONE  # what has to be so for the block of statements to be run
        self.alive: sp.Expr = ONE  # what has to be so for the block not to have been left
        self.turn = 0  # how much of the memory there was when the loop's turn began
        self.crossed: list[tuple[sp.IndexedBase, sp.Expr, sp.Expr]] = []  # what was read from before it, and where

    def refuse(self, reason: str, node: ast.Node) -> Unread:
        return Unread(reason, self.body.offset(node))

    def value(self, node: ast.Node) -> Value:
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.ArrayRef):
            return self.sized(self.stored(*self.place(node)), False, node)
        if dotted(node):
            return self.name(node)
        if isinstance(node, ast.UnaryOp) and node.op in ("+", "-"):
            zero = ast.Constant("int", "0", node.coord)
            return self.value(ast.BinaryOp(node.op, zero, node.expr, node.coord))
        if isinstance(node, ast.UnaryOp) and node.op == "!":
            return Value(where(self.value(node.expr).e, ZERO, ONE), True)
        if isinstance(node, ast.BinaryOp):
            return self.combined(node, self.value(node.left), self.value(node.right))
        if isinstance(node, ast.TernaryOp):
            condition, a, b = map(self.value, (node.cond, node.iftrue, node.iffalse))
            return self.sized(where(condition.e, a.e, b.e), a.whole and b.whole, node)
        if isinstance(node, ast.Cast) and isinstance(node.to_type.type, ast.TypeDecl):
            return self.converted(self.value(node.expr), self.is_whole(node.to_type), node)
        if isinstance(node, ast.FuncCall):
            return self.call(node)
        raise self.refuse(f"{type(node).__name__} is not read here", node)

    def sized(self, e: sp.Expr, whole: bool, node: ast.Node) -> Value:
        if size(e) > LARGEST:
            raise self.refuse("the expression is too large", node)
        return Value(e, whole)

    def combined(self, node: ast.BinaryOp, left: Value, right: Value) -> Value:
        a, b, whole = left.e, right.e, left.whole and right.whole
        if node.op in COMPARISONS:
            return self.sized(Choice(a - b, COMPARISONS[node.op], ONE, ZERO), True, node)
        if node.op in ("&&", "||"):
            second = where(b, ONE)
            return self.sized(where(a, second) if node.op == "&&" else where(a, ONE, second), True, node)
        if node.op in ("+", "-", "*"):
            return self.sized(a + b if node.op == "+" else a - b if node.op == "-" else a * b, whole, node)
        if node.op != "/" or b == 0:
            raise self.refuse("a division by zero" if node.op == "/" else f"the operator `{node.op}` is not read", node)
        if whole and not (a.is_Integer and b.is_Integer):
            raise self.refuse("a division of integers is not read", node)
        return self.sized(sp.sign(a * b) * (abs(a) // abs(b)) if whole else a / b, whole, node)  # C cuts towards zero

    def constant(self, node: ast.Constant) -> Value:
        number = node.value.rstrip("fFlL")
        whole = bool(re.fullmatch(r"0|[1-9]\d{0,9}", number))
        if whole or re.fullmatch(r"(?=.*[.eE])[\d.]{1,40}([eE][+-]?\d\d?)?", number):
            return Value(sp.Rational(number), whole)
        raise self.refuse(f"the constant `{node.value}` is not read", node)

    def name(self, node: ast.Node) -> Value:
        name = dotted(node)
        if name in v.ARRAYS and name not in self.names:
            raise self.refuse(f"`{name}` is read without an address", node)
        value = self.held(name)
        if not isinstance(value.e, Unknown):
            self.spelled.setdefault(value.e, name)
        return value

    def held(self, name: str) -> Value:
        """What a variable holds; one that was given nothing means what the vocabulary says."""
        if name in self.names:
            return self.names[name]
        if name not in v.NAMES or name.split(".")[0] in self.names:
            return Value(unknown(f"`{name}` is not in the vocabulary"))
        return Value(v.NAMES[name], bool(v.NAMES[name].is_integer))

    def call(self, node: ast.FuncCall) -> Value:
        name, arguments = dotted(node.name), list(node.args.exprs) if node.args else []
        if name in v.FUNCTIONS and len(arguments) == 1:
            return self.sized(v.FUNCTIONS[name](self.value(arguments[0]).e), False, node)
        for inner in (inner for a in arguments for inner in walk(a)):
            if isinstance(inner, ast.Assignment) or steps_by_one(inner) or getattr(inner, "op", "") == "&":
                raise self.refuse("an argument that may change something is not read", inner)
            if v.ARRAYS.get(dotted(inner)) == v.DELTA:
                raise self.refuse(f"`{name}` is not known and is handed `{dotted(inner)}`", node)
        return Value(unknown(f"`{name}(...)` is not known"))

    # Arrays

    def place(self, node: ast.ArrayRef) -> tuple[sp.IndexedBase, sp.Expr]:
        """The array and the address that an element is at."""
        name, address = dotted(node.name), self.value(node.subscript)
        array = v.ARRAYS.get(name, sp.IndexedBase(name or "none"))
        if not name or name in self.names or self.spelled.setdefault(array, name) != name:
            raise self.refuse("one array has two names, or what is indexed is none", node)
        if not address.whole or unknowns(address.e):
            raise self.refuse("the address is not read", node)
        return array, sp.expand(bounded(address.e))

    def stored(self, array: sp.IndexedBase, address: sp.Expr, *, told: bool = False) -> sp.Expr:
        """What stands at an address; `told`: behind the offset of the statement that put it there (-1: it was there)."""

        def shown(at: int, e: sp.Expr) -> sp.Basic:
            return sp.Tuple(sp.Integer(at), e) if told else e

        found, crosses = shown(-1, self.before(array, address)), True
        for k, w in enumerate(self.memory):
            guard, e = w.reaches(array, address)
            found = where(guard, shown(w.at, e), found)
            crosses = crosses and not (guard == 1 and k >= self.turn)
        if crosses:
            self.crossed.append((array, address, where(self.context, self.alive)))
        return found

    def before(self, array: sp.IndexedBase, address: sp.Expr) -> sp.Expr:
        """What an array holds before the excerpt: `delta` holds 0, or what earlier truths left."""
        if array in (v.OUTPUT, v.BIASES):
            return array[address]
        if array != v.DELTA:
            return unknown(f"`{array}` is not in the vocabulary")
        n, left = v.multiple_at(address), unknown("an entry of `delta` that belongs to no class")
        if n is not None:
            left = self.sign * sensitivity(v.ONE_CLASS).at(v.OUTPUT[address], v.EARLIER[n], ONE)
            left = where(within_classes(n), left, BEFORE)
        return Choice(v.LATER, {1}, left, BEFORE)

    # Types

    def is_whole(self, node: ast.Decl | ast.Typename) -> bool | None:
        """Whether a type is int; None for one that is no number."""
        words = set(getattr(node.type.type, "names", ()))
        if words & {"unsigned", "char", "_Bool", "bool", "size_t"}:
            raise self.refuse(f"the type `{' '.join(sorted(words))}` is not read", node)
        return False if words & {"float", "double"} else True if words & {"int", "long", "short", "signed"} else None

    def converted(self, value: Value, whole: bool | None, node: ast.Node) -> Value:
        """A value given to a variable of a type."""
        if whole and not value.whole:
            raise self.refuse("a real number is cut to an integer", node)
        return replace(value, whole=bool(whole))
