"""Elementwise equations and reductions as nests of loops; those that share their first index share one loop over it."""

from collections.abc import Sequence

import sympy as sp

from derive.calculus.adjoint import loop_bounds
from derive.calculus.equation import Equation, Term, size_of, tensors_of
from derive.lowering.expressions import IndexPrinter, ValuePrinter, with_locals
from derive.lowering.kernel import Assign, If, Loop

index_text = IndexPrinter().doprint


class Nest:
    """Builds the body of one kernel; collects what its text needs: functions, scalars, sizes, typed constants."""

    def __init__(self, arrays: dict[str, tuple[str, ...]], split: str) -> None:
        self.arrays, self.split = arrays, split
        self.locals: dict[str, str] = {}  # tensors held in a local variable: one value a row
        self.constants: dict[sp.Expr, str] = {}
        self.printer = ValuePrinter(self.place)
        self.index_sizes: set[str] = set()

    def place(self, x: sp.Indexed) -> str:
        """How a component is read: a local variable, or an element of an array in the order of its storage."""
        if x.base.name in self.locals:
            return self.locals[x.base.name]
        order = self.arrays[x.base.name]
        if not order:
            return f"{x.base.name}[0]"
        named = dict(zip(self.declared[x.base.name], x.indices, strict=True))
        return f"{x.base.name}[{', '.join(self.index(named[i]) for i in order)}]"

    declared: dict[str, tuple[str, ...]]

    def index(self, e: sp.Expr) -> str:
        """An integer expression as text."""
        self.index_sizes |= {s.name for s in e.free_symbols if s.name[:1].isupper()}
        return index_text(e)

    def value(self, e: sp.Expr) -> str:
        """A real expression as text, its index-free parts computed once in double precision."""
        return self.printer.doprint(e.xreplace(self._hoisted(e)))

    def _hoisted(self, e: sp.Expr) -> dict[sp.Expr, sp.Symbol]:
        change: dict[sp.Expr, sp.Symbol] = {}

        def visit(part: sp.Expr) -> None:
            free = {s for s in part.free_symbols if not s.name.startswith(".") and not isinstance(s, sp.Indexed)}
            plain = not part.has(sp.Indexed) and not any(s.name.startswith(".") for s in part.free_symbols)
            if plain and part.args and any(s.is_integer is not True for s in free) and not _division(part):
                if part not in self.constants:
                    self.constants[part] = f"c{len(self.constants) + 1}"
                change[part] = sp.Symbol(f".{self.constants[part]}", real=True)
                return
            if not isinstance(part, sp.Indexed):
                for a in part.args:
                    if isinstance(a, sp.Expr):
                        visit(a)

        visit(e)
        return change

    def statements(self, bodies: dict[str, sp.Expr]) -> list[Assign]:
        """``name = body`` for each, with common subexpressions as local variables."""
        taken = {*self.arrays, *self.locals.values(), *self.declared, self.split}
        found, right = with_locals(list(bodies.values()), taken)
        lines = [Assign(self.printer.doprint(name), self.value(e)) for name, e in found]
        return lines + [Assign(left, self.value(e)) for left, e in zip(bodies, right, strict=True)]

    def loops(self, ranges: Sequence[tuple[sp.Symbol, sp.Expr, sp.Expr]], body: list) -> list:
        """``body`` inside one loop a range, the first outermost."""
        for k, low, high in reversed(ranges):
            body = [Loop(k.name, self.index(low), self.index(sp.expand(high + 1)), body)]
        return body

    def conditional(self, conditions: Sequence[sp.Expr], body: list) -> list:
        """``body`` where all conditions are >= 0."""
        return [If(" and ".join(f"{self.index(c)} >= 0" for c in conditions), body)] if conditions else body


def _division(e: sp.Expr) -> bool:
    """Whether the part is one over a size, which reads better where it stands."""
    return e.is_Pow and e.exp == -1 and e.base.is_Symbol and bool(e.base.is_integer)


def in_range(term: Term, target: Sequence[sp.Symbol], declared: dict[str, tuple[sp.Symbol, ...]]) -> Term:
    """The term with its loops bounded to where every operand is inside its sizes: beyond them a tensor is zero."""
    conditions = list(term.conditions)
    for x in tensors_of(term.body):
        if x.base.name not in declared:
            continue
        for component, own in zip(x.indices, declared[x.base.name], strict=True):
            plain = isinstance(component, sp.Symbol) and size_of(component) == size_of(own)
            if not plain and not component.has(sp.Indexed) and isinstance(own, sp.Symbol):
                conditions += [sp.expand(component), sp.expand(size_of(own) - 1 - component)]
    over, left = loop_bounds({k: (low, high) for k, low, high in term.over}, conditions)
    return Term(term.body, tuple(over), tuple(left))


def row_body(nest: Nest, equations: Sequence[Equation], stored: set[str]) -> list:
    """One row of the split index: each equation after the other, values that only the row needs in local variables."""
    lines: list = []
    for equation in equations:
        inner = [i for i in equation.target.indices if isinstance(i, sp.Symbol) and i.name != nest.split]
        if equation.kind == "max":
            lines += _maximum(nest, equation, inner, stored)
            continue
        ranges = [(i, sp.Integer(0), size_of(i) - 1) for i in inner]
        reductions = [t for t in equation.terms if t.over]
        if not inner:
            lines += _row_value(nest, equation, reductions, stored)
        elif not reductions:
            lines += nest.loops(ranges, _element(nest, equation))
        else:
            body = _row_value(nest, equation, reductions, stored)
            lines += nest.loops(ranges, body)
    return lines


def _element(nest: Nest, equation: Equation) -> list:
    place = nest.place(equation.target)
    plain = sp.Add(*(t.body for t in equation.terms if not t.conditions))
    lines: list = list(nest.statements({place: plain}))
    for term in equation.terms:
        if term.conditions:
            added = [Assign(place, nest.value(term.body), "+=")]
            lines += nest.conditional(term.conditions, added)
    return lines


def _row_value(nest: Nest, equation: Equation, reductions: Sequence[Term], stored: set[str]) -> list:
    """A value that needs sums: each summed up in a variable, then the equation from those variables."""
    lines: list = []
    whole: sp.Expr = sp.Add(*(t.body for t in equation.terms if not t.over and not t.conditions))
    for count, term in enumerate(reductions):
        summed = [k for k, *_ in term.over]
        outside = sp.Mul(*(f for f in sp.Mul.make_args(term.body) if not f.has(*summed)))
        if count or len(equation.terms) > 1 or outside != 1 or equation.name in stored:
            name = f"total{count + 1}" if len(reductions) > 1 else "total"
        else:
            name = equation.name
        lines.append(Assign(name, nest.printer._number("0")))
        local = nest.statements({name: term.body / outside})
        local[-1].operator = "+="
        lines += nest.loops(term.over, nest.conditional(term.conditions, local))
        whole += outside * sp.Symbol(f".{name}", real=True)
    if equation.name in stored:
        lines += nest.statements({nest.place(equation.target): whole})
    else:
        if whole != sp.Symbol(f".{equation.name}", real=True):
            lines += nest.statements({equation.name: whole})
        nest.locals[equation.name] = equation.name
    return lines


def _maximum(nest: Nest, equation: Equation, inner: Sequence[sp.Symbol], stored: set[str]) -> list:
    """The largest value of a row and where it first stands."""
    (term,) = equation.terms
    ((k, low, _),) = term.over
    first = {k: low}
    name, at = equation.name, f"{equation.name}_at"
    value = nest.value(term.body)
    take = If(f"{value} > {name}", [Assign(name, value), Assign(at, k.name)])
    lines = [Assign(name, nest.value(term.body.xreplace(first))), Assign(at, nest.index(low)), *nest.loops(term.over, [take])]
    nest.locals[name], nest.locals[at] = name, at
    if name in stored:
        raise NotImplementedError(f"the maximum {name} is read by a later kernel")
    return nest.loops([(i, sp.Integer(0), size_of(i) - 1) for i in inner], lines)


def accumulated(nest: Nest, equation: Equation) -> list:
    """A reduction over a slow index: rows added up one after the other, along unit stride."""
    targets = list(equation.target.indices)
    ranges = [
        (i, sp.Symbol("first", integer=True), sp.Symbol("last", integer=True) - 1)
        if i.name == nest.split
        else (i, sp.Integer(0), size_of(i) - 1)
        for i in targets
    ]
    place = nest.place(equation.target)
    plain = [t for t in equation.terms if not t.over]
    lines = nest.loops(ranges, _element(nest, Equation(equation.target, tuple(plain) or (Term(sp.Integer(0)),))))
    for term in equation.terms:
        if term.over:
            added = nest.statements({place: term.body})
            added[-1].operator = "+="
            lines += nest.loops([*term.over, *ranges], nest.conditional(term.conditions, added))
    return _plain_spans(lines, nest.split)


def _plain_spans(lines: list, split: str) -> list:
    """Marks the loops over the split index: here it is an address as it stands, never part of an affine one."""
    for line in lines:
        if isinstance(line, Loop):
            line.plain = line.index == split
        if isinstance(line, Loop | If):
            _plain_spans(line.body, split)
    return lines
