"""Index equations: the one object that definitions make, the calculus transforms, and lowering and the auditor read.

An equation is ``target[i, ...] = sum over terms of (sum over k, ... of body)``, or the maximum over k, ... of one body.
Operands are indexed by integer-affine maps of the indices; a tensor is zero outside its sizes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits

Range = tuple[sp.Symbol, sp.Expr, sp.Expr]  # an index and its first and last value, both included


class Maximum(ExprWithLimits):
    """The maximum of an expression over summed indices, unevaluated; ties go to the first index that attains it."""

    is_extended_real = True


def size_of(index: sp.Symbol) -> sp.Symbol:
    """The size of an index: index ``k`` runs over ``0 <= k < K``; a trailing number or prime names the same range."""
    name = index.name.rstrip("0123456789_'")
    return sp.Symbol(name[:1].upper() + name[1:], integer=True, positive=True)


def tensor(name: str) -> sp.IndexedBase:
    """The tensor of that name, of real components."""
    return sp.IndexedBase(name, real=True)


def tensors_of(expression: sp.Basic) -> list[sp.Indexed]:
    """The tensor components that an expression reads as values, not as addresses, in a fixed order."""
    operands = expression.atoms(sp.Indexed)
    addresses = {inner for x in operands for i in x.indices for inner in i.atoms(sp.Indexed)}
    return sorted(operands - addresses, key=str)


@dataclass(frozen=True)
class Term:
    """One addend of an equation: the sum of ``body`` over the indices in ``over`` where all ``conditions`` are >= 0."""

    body: sp.Expr
    over: tuple[Range, ...] = ()
    conditions: tuple[sp.Expr, ...] = ()

    def expression(self) -> sp.Expr:
        """The term as SymPy writes it."""
        body = self.body
        if self.conditions:
            body = sp.Piecewise((body, sp.And(*(c >= 0 for c in self.conditions))), (0, True))
        return sp.Sum(body, *self.over) if self.over else body

    def map(self, change: dict[sp.Basic, sp.Basic]) -> "Term":
        """The term with expressions replaced, in body, bounds and conditions."""
        return Term(
            self.body.xreplace(change),
            tuple((change.get(k, k), low.xreplace(change), high.xreplace(change)) for k, low, high in self.over),
            tuple(c.xreplace(change) for c in self.conditions),
        )


@dataclass(frozen=True)
class Equation:
    """``target = sum of terms``; with kind ``max``, the maximum of its one term over that term's indices."""

    target: sp.Indexed
    terms: tuple[Term, ...]
    kind: str = "sum"
    note: str = field(default="", compare=False)  # how it came about, for readers

    @property
    def name(self) -> str:
        """The name of the tensor that the equation defines."""
        return self.target.base.name

    def expression(self) -> sp.Expr:
        """The right side as SymPy writes it."""
        if self.kind == "max":
            (term,) = self.terms
            return Maximum(term.body, *term.over)
        return sp.Add(*(t.expression() for t in self.terms))

    def map(self, change: dict[sp.Basic, sp.Basic]) -> "Equation":
        """The equation with expressions replaced on both sides."""
        return replace(self, target=self.target.xreplace(change), terms=tuple(t.map(change) for t in self.terms))

    def reads(self) -> set[str]:
        """Names of the tensors on the right side."""
        return {x.base.name for t in self.terms for x in t.body.atoms(sp.Indexed)}

    def __str__(self) -> str:
        return f"{self.target} = {self.expression()}"


def equations_for(target: sp.Indexed, right: sp.Expr) -> list[Equation]:
    """``target = right`` as equations.

    A sum inside anything nonlinear, or one that is the same for all values of an index of the target, becomes an equation
    of its own, named after the target.
    """
    helpers: list[Equation] = []
    right = _distinct(sp.sympify(right), set(target.indices))

    def extract(reduction: sp.Expr) -> sp.Indexed:
        free = [i for i in target.indices if reduction.has(i)]
        name = f"{target.base.name}_{'max' if isinstance(reduction, Maximum) else 'sum'}"
        count = sum(h.name.startswith(name) for h in helpers)
        helper = tensor(name + (str(count + 1) if count else ""))[tuple(free) or (sp.Integer(0),)]
        helpers.extend(equations_for(helper, reduction))
        return helper

    if isinstance(right, Maximum):
        (body, limits), kind = (right.function, right.limits), "max"
        body = _without_reductions(body, extract)
        return [*helpers, Equation(target, (Term(body, tuple(tuple(x) for x in limits)),), kind)]
    terms = []
    for addend in sp.Add.make_args(right):
        factors = sp.Mul.make_args(addend)
        sums = [f for f in factors if isinstance(f, sp.Sum)]
        if len(sums) == 1 and all(sums[0].has(i) for i in target.indices if isinstance(i, sp.Symbol)):
            outside = sp.Mul(*(f for f in factors if f is not sums[0]))
            limits = tuple(tuple(limit) for limit in sums[0].limits)
            body = _without_reductions(sums[0].function, extract)
            terms.append(Term(_without_reductions(outside, extract) * body, limits))
        else:
            terms.append(Term(_without_reductions(addend, extract)))
    return [*helpers, Equation(target, tuple(terms))]


def _without_reductions(e: sp.Expr, extract) -> sp.Expr:
    found = {r for r in e.atoms(sp.Sum, Maximum)}
    outer = sorted((r for r in found if not any(r in (o.atoms(sp.Sum, Maximum) - {o}) for o in found)), key=str)
    return e.xreplace({r: extract(r) for r in outer})


def _distinct(e: sp.Expr, taken: set[sp.Symbol]) -> sp.Expr:
    """Rename summed indices that an outer index already uses, so that none captures another."""
    if not e.atoms(sp.Sum, Maximum):
        return e
    if isinstance(e, sp.Sum | Maximum):
        change, ranges = {}, []
        for k, low, high in e.limits:
            new = fresh(k, taken)
            change[k] = new
            taken = taken | {new}
            ranges.append((new, low, high))
        return e.func(_distinct(e.function.xreplace(change), taken), *ranges)
    return e.func(*(_distinct(a, taken) for a in e.args))


def fresh(index: sp.Symbol, taken: Iterable[sp.Symbol]) -> sp.Symbol:
    """``index`` itself, or the first of index1, index2, ... that is not taken."""
    names = {t.name for t in taken if isinstance(t, sp.Symbol)}
    stem, count = index.name.rstrip("0123456789"), 0
    name = index.name
    while name in names:
        count += 1
        name = f"{stem}{count}"
    return sp.Symbol(name, integer=True)
