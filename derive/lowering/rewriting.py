"""Rewritings of equations before they become kernels, each equal to what it replaces.

1. What is cheap to compute again from what is kept anyway is not kept for the backward pass.
2. Equal sums are summed once.
3. A sum over many samples is one of partial sums over fixed groups of them, which are shared out among threads: the result
   does not depend on how many there are. Those of each component of a row are in double precision: statistics cancel.
4. What depends on the fastest index alone is computed once, not in every row.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.equation import Equation, Term, fresh, index_of, size_of, tensor, tensors_of
from derive.lowering.expressions import FUNCTIONS
from derive.lowering.kinds import Declared, Order, as_stored, positions

GROUP = 1024  # samples of a partial sum


def recomputed(
    forward: Sequence[Equation], backward: Sequence[Equation], kept: Collection[str], wanted: Collection[str]
) -> tuple[list[Equation], list[Equation]]:
    """Both passes with elementwise tensors put in where the backward pass reads them, instead of kept for it.

    Only those that need no function, of tensors as large as themselves just those of ``kept``, and are not ``wanted``. What
    stands in one row for all, as a first sample, is kept: rows then need none but themselves.
    """
    read = {name for e in backward for name in e.reads()} - {*kept, *wanted}
    known: dict[str, Equation] = {}
    passes: tuple[list[Equation], list[Equation]] = ([], [])
    for equations, result in zip((forward, backward), passes, strict=True):
        for equation in equations:
            equation = put_in(equation, known)
            if equation.name in read and _is_cheap(equation, kept):
                known[equation.name] = equation
            else:
                result.append(equation)
    return passes


def _is_cheap(equation: Equation, kept: Collection[str]) -> bool:
    if not is_elementwise(equation):
        return False
    body, target = equation.terms[0].body, equation.target
    large = {x.base.name for x in tensors_of(body) if len(x.indices) >= len(target.indices)}
    fixed = any(x.indices[0].is_number for x in tensors_of(body))
    return (
        large <= set(kept)
        and not fixed
        and not any(f.func.__name__ in FUNCTIONS for f in body.atoms(sp.Function, sp.exp))
    )


def is_elementwise(equation: Equation) -> bool:
    """Whether each component is one expression, without a sum or a condition."""
    return equation.kind == "sum" and len(equation.terms) == 1 and equation.terms[0] == Term(equation.terms[0].body)


def put_in(equation: Equation, known: Mapping[str, Equation]) -> Equation:
    """The equation with the right sides of ``known`` elementwise equations in the place of what they define."""
    terms = []
    for t in equation.terms:
        body = t.body
        for x in tensors_of(body):
            if x.base.name in known:
                source = known[x.base.name]
                value = source.terms[0].body.xreplace(dict(zip(source.target.indices, x.indices, strict=True)))
                body = body.xreplace({x: sp.UnevaluatedExpr(value) if value.is_Add else value})  # as it is rounded
        terms.append(replace(t, body=body))
    return replace(equation, terms=tuple(terms))


def merged(equations: Sequence[Equation], apart: Collection[str]) -> list[Equation]:
    """The equations with each sum computed once; tensors in ``apart`` are read by nobody else, so never first."""
    alike: dict[Equation, list[Equation]] = {}
    for e in equations:
        alike.setdefault(_canonical(e), []).append(e)
    result: list[Equation] = []
    for e in equations:
        same = alike[_canonical(e)]
        first = next((other for other in same if other.name not in apart), None)
        if first is None or len(same) == 1 or not any(t.over for t in e.terms):
            result.append(e)
            continue
        if same[0] is e:
            result.append(first)
        if e is not first:
            at = dict(zip(first.target.indices, e.target.indices, strict=True))
            result.append(Equation(e.target, (Term(first.target.xreplace(at)),)))
    return result


def _canonical(equation: Equation) -> Equation:
    """The equation with names of its own for its target and all its indices."""
    terms = []
    own: dict[sp.Basic, sp.Basic] = {
        i: sp.Symbol(f"#{n}", integer=True) for n, i in enumerate(equation.target.indices) if isinstance(i, sp.Symbol)
    }
    for t in equation.terms:
        bound = {k: sp.Symbol(f"#{len(own) + n}", integer=True) for n, (k, *_) in enumerate(t.over)}
        terms.append(t.map({**own, **bound}))
    return Equation(tensor("#")[equation.target.xreplace(own).indices], tuple(terms), equation.kind)


@dataclass(frozen=True)
class Grouped:
    """Equations with sums by groups; ``double`` are tensors in double precision.

    ``groups`` says of an index that it counts groups of GROUP of another.
    """

    equations: list[Equation]
    double: set[str]
    groups: dict[str, str]


def in_groups(
    equations: Sequence[Equation],
    declared: Declared,
    order: Order,
    taken: Collection[str],
    groups: Mapping[str, str],
) -> Grouped:
    """Sums over samples that other equations wait for, or over planes of samples, as sums of partial sums.

    ``taken`` are names that a new index cannot have, ``groups`` those of an earlier pass.
    """
    read = {name for e in equations for name in e.reads()}
    result, double, groups = list[Equation](), set[str](), dict(groups)
    for equation in equations:
        reductions = [t for t in equation.terms if t.over]
        samples = _samples(equation, declared, order)
        if samples is None or not (equation.name in read or len(reductions[0].over) > 1):
            result.append(equation)
            continue
        (term,) = reductions
        inside, outside = _by_dependence(term.body, [k for k, *_ in term.over])
        if len(term.over) > 1:
            index = index_of(size_of(samples))
            over = tuple(r for r in term.over if r[0] != samples)
            inside = inside.xreplace({samples: index})
        else:
            index = _group_of(samples, groups, taken)
            over = ((samples, GROUP * index, sp.Min(size_of(samples) - 1, GROUP * index + GROUP - 1)),)
        part = tensor(f"{equation.name}_part")[(index, *equation.target.indices)]
        double |= {part.base.name} if len(equation.target.indices) == 1 else set()
        result.append(Equation(part, (Term(inside, over),), note="partial sums"))
        total = Term(outside * part, ((index, sp.Integer(0), size_of(index) - 1),))
        result.append(replace(equation, terms=tuple(total if t is term else t for t in equation.terms)))
    return Grouped(result, double, groups)


def _group_of(samples: sp.Symbol, groups: dict[str, str], taken: Collection[str]) -> sp.Symbol:
    """The index of the groups of these samples, a new one if there is none yet."""
    for name, of in groups.items():
        if size_of(sp.Symbol(of)) == size_of(samples):
            return sp.Symbol(name, integer=True)
    index = fresh(sp.Symbol("g", integer=True), [sp.Symbol(name) for name in taken])
    groups[index.name] = index_of(size_of(samples)).name
    return index


def _samples(equation: Equation, declared: Declared, order: Order) -> sp.Symbol | None:
    """The index of samples that a sum for each component of a row runs over: the slowest of its operand."""
    target = as_stored(equation.target, declared, order)
    reductions = [t for t in equation.terms if t.over]
    if (
        equation.kind != "sum"
        or len(reductions) != 1
        or not all(isinstance(i, sp.Symbol) for i in target)
        or not target
    ):
        return None
    (term,) = reductions
    ranges = {k: (low, high) == (0, size_of(k) - 1) for k, low, high in term.over}
    if term.conditions or not all(ranges.values()):
        return None
    operands = [as_stored(x, declared, order) for x in tensors_of(term.body)]
    if len(target) > 1 and not all(stored[:1] == operands[0][:1] and stored[-1:] == target[-1:] for stored in operands):
        return None  # a contraction, or weights
    for stored in operands:
        if stored and stored[-1] == target[-1] and set(stored) == {*ranges, target[-1]}:
            if len({size_of(i) for i in stored}) == len(stored):
                return stored[0]
    return None


def _by_dependence(body: sp.Expr, indices: Sequence[sp.Symbol]) -> tuple[sp.Expr, sp.Expr]:
    """The factors of a body with any of the indices, and those without."""
    factors = sp.Mul.make_args(body)
    return sp.Mul(*(f for f in factors if f.has(*indices))), sp.Mul(*(f for f in factors if not f.has(*indices)))


def with_small_parts(
    equations: Sequence[Equation], declared: Declared, order: Order, made: dict[sp.Expr, sp.Indexed]
) -> list[Equation]:
    """What of a right side has the target's fastest index and no other becomes an equation of its own.

    ``made`` are those there are already; new ones are added.
    """
    result: list[Equation] = []
    for equation in equations:
        stored = [i for i in as_stored(equation.target, declared, order) if isinstance(i, sp.Symbol)]
        if len(stored) < 2:
            result.append(equation)
            continue
        parts = _SmallParts(equation.name, stored[-1], made)
        terms = tuple(replace(t, body=parts.taken_out(t.body)) for t in equation.terms)
        result += [*parts.new, replace(equation, terms=terms)]
    return result


@dataclass
class _SmallParts:
    """What is taken out of one equation."""

    name: str
    lane: sp.Symbol
    made: dict[sp.Expr, sp.Indexed]

    def __post_init__(self) -> None:
        self.new: list[Equation] = []

    def taken_out(self, e: sp.Expr) -> sp.Expr:
        """The expression with tensors in the place of its parts of the lane alone."""
        if isinstance(e, sp.Indexed) or not e.has(sp.Indexed):
            return e
        if self._is_small(e):
            return self._part(e)
        if isinstance(e, sp.Mul):
            small = [f for f in e.args if f.has(sp.Indexed) and self._is_small(f)]
            small += [f for f in e.args if small and not f.has(sp.Indexed) and f.is_number is False]
            rest = [self.taken_out(f) for f in e.args if f not in small]
            return sp.Mul(*rest, self._part(sp.Mul(*small)) if small else 1)
        if isinstance(e, sp.Piecewise):
            return sp.Piecewise(*((self.taken_out(v), self.taken_out(c)) for v, c in e.args), evaluate=False)
        return e.func(*map(self.taken_out, e.args))

    def _is_small(self, e: sp.Basic) -> bool:
        indices = {s for x in e.atoms(sp.Indexed) for i in x.indices for s in i.atoms(sp.Symbol)}
        return isinstance(e, sp.Expr) and indices == {self.lane} and not positions(e)

    def _part(self, e: sp.Expr) -> sp.Expr:
        if isinstance(e, sp.Indexed):
            return e
        if e.could_extract_minus_sign():
            return -self._part(-e)
        if e not in self.made:
            names = "_".join(dict.fromkeys(x.base.name for x in tensors_of(e)))
            name, count = f"{self.name}_of_{names}", 1
            while tensor(name) in {x.base for x in self.made.values()}:
                count += 1
                name = f"{self.name}_of_{names}{count}"
            self.made[e] = tensor(name)[(self.lane,)]
            self.new.append(Equation(self.made[e], (Term(e),), note="what the rows that follow share"))
        return self.made[e]
