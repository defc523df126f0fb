"""Index equations: the one object that definitions make, the calculus transforms, and lowering and the auditor read.

An equation is ``target[i, ...] = sum over terms of (sum over k, ... of body)``, or the maximum over k, ... of one body.
Operands are indexed by integer-affine maps of the indices; a tensor is zero outside its sizes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits

LONGEST = 1000  # the largest denominator of a decimal that is taken for a fraction
Range = tuple[sp.Symbol, sp.Expr, sp.Expr]  # an index and its first and last value, both included


class Maximum(ExprWithLimits):
    """The maximum of an expression over summed indices, unevaluated; ties go to the first index that attains it."""

    is_extended_real = True


def size_of(index: sp.Symbol) -> sp.Symbol:
    """The size of an index: index ``k`` runs over ``0 <= k < K``; a trailing number or prime names the same range."""
    name = index.name.rstrip("0123456789_'")
    return sp.Symbol(name[:1].upper() + name[1:], integer=True, positive=True)


def index_of(size: sp.Symbol) -> sp.Symbol:
    """The index that has a size: the other way round than :func:`size_of`."""
    return sp.Symbol(size.name[:1].lower() + size.name[1:], integer=True)


def tensor(name: str) -> sp.IndexedBase:
    """The tensor of that name, of real components."""
    return sp.IndexedBase(name, real=True)


def tensors_of(expression: sp.Basic) -> list[sp.Indexed]:
    """The tensor components that an expression reads as values, not as addresses, in a fixed order."""
    operands = expression.atoms(sp.Indexed)
    addresses = {inner for x in operands for i in x.indices for inner in i.atoms(sp.Indexed)}
    return sorted(operands - addresses, key=str)


def holds(condition: sp.Basic) -> sp.Basic:
    """A condition of a term as a relation: ``condition >= 0``, ``e mod c = 0``, or the relation that it is."""
    if not isinstance(condition, sp.Expr):
        return condition
    return sp.Eq(-condition, 0) if isinstance(-condition, sp.Mod) else sp.Ge(condition, 0, evaluate=False)


@dataclass(frozen=True)
class Term:
    """One addend of an equation: the sum of ``body`` over the indices in ``over`` where all ``conditions`` are >= 0.

    That ``e`` is a multiple of ``c`` is the condition ``-Mod(e, c)``; lowering has relations among the conditions besides.
    """

    body: sp.Expr
    over: tuple[Range, ...] = ()
    conditions: tuple[sp.Expr, ...] = ()

    def expression(self) -> sp.Expr:
        """The term as SymPy writes it."""
        body = self.body
        if self.conditions:
            body = sp.Piecewise((body, sp.And(*map(holds, self.conditions))), (0, True))
        return sp.Sum(body, *self.over) if self.over else body

    def choice(self) -> sp.Expr:
        """The body as a maximum sees it: -oo where a condition does not hold."""
        if not self.conditions:
            return self.body
        return sp.Piecewise((self.body, sp.And(*map(holds, self.conditions))), (-sp.oo, True), evaluate=False)

    def operands(self) -> set[sp.Indexed]:
        """Every component that the term reads, as a value or as an address, in body, bounds and conditions."""
        bounds = (bound for _, low, high in self.over for bound in (low, high))
        return {x for e in (self.body, *bounds, *self.conditions) for x in e.atoms(sp.Indexed)}

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

    def winners(self) -> dict[sp.Symbol, sp.Indexed]:
        """Of a maximum: where each summed index stands when the largest value is first attained."""
        (term,) = self.terms
        summed = [k for k, *_ in term.over]
        names = {k: f"{self.name}_at" + (f"_{k}" if len(summed) > 1 else "") for k in summed}
        return {k: sp.IndexedBase(name, integer=True)[self.target.indices] for k, name in names.items()}

    def expression(self) -> sp.Expr:
        """The right side as SymPy writes it."""
        if self.kind == "max":
            (term,) = self.terms
            return Maximum(term.choice(), *term.over)
        return sp.Add(*(t.expression() for t in self.terms))

    def map(self, change: dict[sp.Basic, sp.Basic]) -> "Equation":
        """The equation with expressions replaced on both sides."""
        return replace(self, target=self.target.xreplace(change), terms=tuple(t.map(change) for t in self.terms))

    def reads(self) -> set[str]:
        """Names of the tensors on the right side."""
        return {x.base.name for t in self.terms for x in t.operands()}

    def __str__(self) -> str:
        return f"{self.target} = {self.expression()}"


def equations_for(target: sp.Indexed, right: sp.Expr) -> list[Equation]:
    """``target = right`` as equations.

    A sum inside anything nonlinear, or one that is the same for all values of an index of the target, becomes an equation
    of its own, named after the target.
    """
    own = [i for i in target.indices if isinstance(i, sp.Symbol)]
    right = sp.sympify(right)
    written = {x: sp.Rational(repr(float(x))) for x in right.atoms(sp.Float)}
    right = right.xreplace({x: exact for x, exact in written.items() if exact.q <= LONGEST})  # 0.5 is meant as 1/2
    right = _distinct(right, set(own))
    helpers: list[Equation] = []

    def named(reduction: sp.Expr, scope: Sequence[sp.Symbol]) -> sp.Indexed:
        """The component of a new tensor that the reduction defines, whose indices are those of the scope that it has."""
        name = f"{target.base.name}_{'max' if isinstance(reduction, Maximum) else 'sum'}"
        count = sum(h.name.startswith(name) for h in helpers)
        at = tuple(i for i in scope if reduction.has(i)) or (sp.Integer(0),)
        helper = tensor(name + (str(count + 1) if count else ""))[at]
        helpers.extend(equations_for(helper, reduction))
        return helper

    if isinstance(right, Maximum):
        body, conditions = _chosen(right.function)
        term = Term(_without_reductions(body, named, [*own, *right.variables]), _ranges(right), conditions)
        return [*helpers, Equation(target, (term,), "max")]
    plain: list[sp.Expr] = []
    terms: list[Term] = []
    for addend in sp.Add.make_args(right):
        sums = [f for f in sp.Mul.make_args(addend) if isinstance(f, sp.Sum)]
        if len(sums) == 1 and all(sums[0].has(i) for i in own):
            (whole,) = sums
            outside = _without_reductions(sp.Mul(*(f for f in sp.Mul.make_args(addend) if f is not whole)), named, own)
            inside = _without_reductions(whole.function, named, [*own, *whole.variables])
            terms.append(Term(outside * inside, _ranges(whole)))
        else:
            plain.append(_without_reductions(addend, named, own))
    if plain or not terms:
        terms.insert(0, Term(sp.Add(*plain)))
    return [*helpers, Equation(target, tuple(terms))]


def _chosen(body: sp.Expr) -> tuple[sp.Expr, tuple[sp.Expr, ...]]:
    """A body that is -oo wherever inequalities of integers fail, as the body there and what must be >= 0."""
    if not (isinstance(body, sp.Piecewise) and len(body.args) == 2 and body.args[1] == (-sp.oo, True)):
        return body, ()
    value, condition = body.args[0]
    relations = sorted(sp.And.make_args(condition), key=str)
    if not all(isinstance(r, sp.Ge | sp.Le | sp.Gt | sp.Lt) and (r.gts - r.lts).is_integer for r in relations):
        return body, ()
    return value, tuple(sp.expand(r.gts - r.lts - int(isinstance(r, sp.Gt | sp.Lt))) for r in relations)


def _ranges(reduction: sp.Expr) -> tuple[Range, ...]:
    return tuple((k, low, high) for k, low, high in reduction.limits)


def _without_reductions(
    e: sp.Expr, named: Callable[[sp.Expr, Sequence[sp.Symbol]], sp.Indexed], scope: Sequence[sp.Symbol]
) -> sp.Expr:
    """The expression with its outermost sums and maxima replaced by tensors that ``named`` makes of them."""
    found = e.atoms(sp.Sum, Maximum)
    inner = {r for outer in found for r in outer.atoms(sp.Sum, Maximum) - {outer}}
    return e.xreplace({r: named(r, scope) for r in sorted(found - inner, key=str)})


def _distinct(e: sp.Expr, taken: set[sp.Symbol]) -> sp.Expr:
    """Summed indices renamed so that each has the size its name says, and none captures another."""
    if not e.has(sp.Sum, Maximum):
        return e
    if isinstance(e, sp.Sum | Maximum):
        change, ranges = {}, []
        for k, low, high in e.limits:
            size = sp.expand(high + 1)
            elsewhere = low == 0 and isinstance(size, sp.Symbol) and size != size_of(k)
            new = fresh(index_of(size) if elsewhere else k, taken)
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
