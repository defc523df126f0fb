"""The kinds of equation, by their index maps alone: contraction, elementwise, reduction.

A contraction is a sum over a product of two operands, each indexed by plain indices, in which every summed index stands in
both. Everything else is a nest of loops around its body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.equation import Equation, Term, size_of, tensor, tensors_of

Declared = Mapping[str, Sequence[sp.Symbol]]  # each tensor's indices as its definition has them
Order = Mapping[str, tuple[str, ...]]  # their names in the order of storage


@dataclass(frozen=True)
class Contraction:
    """``target (+)= sum over summed of a * b``, scaled by what does not depend on the summed indices, plus the rest.

    ``lane`` runs along unit stride of the target and stands in ``b``; ``row`` stands in ``a``; ``outer`` are the target's
    other indices.
    """

    equation: Equation
    a: sp.Indexed
    b: sp.Indexed
    row: sp.Symbol | None
    lane: sp.Symbol
    outer: tuple[sp.Symbol, ...]
    summed: tuple[sp.Symbol, ...]
    scale: sp.Expr
    rest: tuple[Term, ...]


def as_stored(x: sp.Indexed, declared: Declared, order: Order) -> list[sp.Expr]:
    """The indices of a component in the order in which its tensor is stored."""
    at = dict(zip(map(str, declared[x.base.name]), x.indices, strict=True))
    return [at[i] for i in order[x.base.name]]


def stored_order(at: Sequence[sp.Expr]) -> tuple[str, ...]:
    """The names of a tensor's indices in the order of storage: planes [n, c, y, x] are stored channels last.

    Channels in groups, [n, g, c, y, x], are channels in a row.
    """
    names = tuple(str(i) for i in at if isinstance(i, sp.Symbol))
    if len(names) == len(at) in (4, 5):
        n, *channels, y, x = names
        return n, y, x, *channels
    return names


def with_plain_operands(equations: Sequence[Equation], declared: Declared, order: Order) -> list[Equation]:
    """Operands of contractions that are expressions (``w**2``) become elementwise equations of their own.

    They are stored as the first of their tensors that has all their indices.
    """
    result: list[Equation] = []
    made: dict[sp.Expr, sp.Indexed] = {}
    for equation in equations:
        terms = []
        for term in equation.terms:
            groups = _operands(term, declared) if equation.kind == "sum" else None
            if groups is None:
                terms.append(term)
                continue
            scale, products = groups
            for product in products:
                if isinstance(product, sp.Indexed) or product in made:
                    continue
                indices = next(
                    (as_stored(x, declared, order) for x in tensors_of(product) if set(x.indices) == _indices(product)),
                    sorted(_indices(product), key=lambda i: (i not in equation.target.indices, i.name)),
                )
                name = f"{equation.name}_of_{'_'.join(dict.fromkeys(x.base.name for x in tensors_of(product)))}"
                made[product] = tensor(name)[tuple(indices)]
                result.append(
                    Equation(made[product], (Term(product),), note="an operand of the contraction that follows")
                )
            terms.append(replace(term, body=scale * sp.Mul(*(made.get(p, p) for p in products))))
        result.append(replace(equation, terms=tuple(terms)))
    return result


def _indices(e: sp.Expr) -> set[sp.Symbol]:
    return {i for x in tensors_of(e) for i in x.indices}


def positions(e: sp.Expr) -> set[sp.Symbol]:
    """Indices whose own value counts, outside of any tensor's."""
    values = e.xreplace({x: sp.Dummy(real=True) for x in tensors_of(e)})
    return {s for s in values.free_symbols if s.is_integer and s.name[:1].islower()}


def _operands(term: Term, declared: Declared) -> tuple[sp.Expr, list[sp.Expr]] | None:
    """(scale, two operands) of a sum over a product, factors with the same indices taken together; None if it is not so."""
    summed = {k for k, *_ in term.over}
    if not summed or term.conditions or any((low, high) != (0, size_of(k) - 1) for k, low, high in term.over):
        return None
    scale: sp.Expr = sp.Integer(1)
    groups: dict[frozenset, sp.Expr] = {}
    for factor in sp.Mul.make_args(term.body):
        if not factor.has(*summed):
            scale *= factor
            continue
        if not all(_is_plain(x, declared) for x in tensors_of(factor)):
            return None
        key = frozenset(_indices(factor))
        if not key or not positions(factor) <= key:
            return None
        groups[key] = groups.get(key, sp.Integer(1)) * factor
    if len(groups) != 2 or any(not summed <= key for key in groups):
        return None
    return scale, list(groups.values())


def _is_plain(x: sp.Indexed, declared: Declared) -> bool:
    """Whether each component is an index of its own, which runs over the whole of its axis."""
    if len(set(x.indices)) < len(x.indices) or not all(isinstance(i, sp.Symbol) for i in x.indices):
        return False
    own = declared.get(x.base.name, x.indices)
    return all(isinstance(o, sp.Symbol) and size_of(i) == size_of(o) for i, o in zip(x.indices, own, strict=True))


def contraction(equation: Equation, declared: Declared, order: Order) -> Contraction | None:
    """The equation as a contraction into its target as that is stored; None if it is of another kind."""
    if equation.kind != "sum" or sum(bool(t.over) for t in equation.terms) != 1:
        return None
    (term,) = (t for t in equation.terms if t.over)
    found = _operands(term, declared)
    if found is None or len(term.over) > 2 or not _is_plain(equation.target, declared):
        return None
    scale, operands = found
    lanes = as_stored(equation.target, declared, order)
    if not lanes or not all(isinstance(p, sp.Indexed) for p in operands):
        return None
    lane = lanes[-1]
    with_lane = [x for x in operands if lane in x.indices]
    rest = tuple(t for t in equation.terms if not t.over)
    if len(with_lane) != 1 or any(
        t.conditions or not all(_is_plain(x, declared) for x in tensors_of(t.body)) for t in rest
    ):
        return None
    (b,) = with_lane
    (a,) = (x for x in operands if x is not b)
    if not set(lanes) <= set(a.indices) | set(b.indices):
        return None
    rows = [i for i in lanes[:-1] if i in a.indices and i not in b.indices]
    row = rows[-1] if rows else None
    outer = tuple(i for i in lanes[:-1] if i != row)
    return Contraction(equation, a, b, row, lane, outer, tuple(k for k, *_ in term.over), scale, rest)


def storage_for(
    equations: Sequence[Equation], parameters: Sequence[sp.Indexed], declared: Declared
) -> dict[str, tuple[str, ...]]:
    """The order in which each parameter's indices are stored: the forward contraction's lane last, so it reads in place."""
    order = {p.base.name: tuple(map(str, p.indices)) for p in parameters}
    for equation in equations:
        lane = equation.target.indices[-1]
        found = [_operands(t, declared) for t in equation.terms if equation.kind == "sum"]
        for product in (product for groups in found if groups for product in groups[1]):
            for x in tensors_of(product):
                if x.base.name in order and lane in x.indices and set(x.indices) == _indices(product):
                    own = dict(zip(x.indices, map(str, declared[x.base.name]), strict=True))
                    order[x.base.name] = (*(own[i] for i in x.indices if i != lane), own[lane])
    return order


def is_flat(equation: Equation, order: Order) -> bool:
    """Whether everything is read and written at one and the same place, stored alike: all elements are treated alike."""
    if equation.kind != "sum" or any(t.over or t.conditions for t in equation.terms):
        return False
    operands = [equation.target, *(x for t in equation.terms for x in tensors_of(t.body))]
    plain = all(x.indices == equation.target.indices and len(order[x.base.name]) == len(x.indices) for x in operands)
    sizes = {s for t in equation.terms for s in t.body.atoms(sp.Symbol) if s.is_integer and s.name[:1].isupper()}
    places = {s for t in equation.terms for s in positions(t.body)}
    return (
        plain and not sizes | places and len({order[x.base.name] for x in operands}) == 1 and bool(operands[0].indices)
    )


def conditions_in(body: sp.Expr) -> tuple[sp.Expr, list[sp.Basic]]:
    """The body without those of its factors that only choose places, and what these say."""
    conditions: list[sp.Basic] = []
    factors = []
    for f in sp.Mul.make_args(body):
        if isinstance(f, sp.KroneckerDelta):
            conditions.append(sp.Eq(*f.args, evaluate=False))
        elif isinstance(f, sp.Piecewise) and len(f.args) == 2 and f.args[1] == (0, True) and _of_places(f.args[0][1]):
            inside, more = conditions_in(f.args[0][0])
            factors.append(inside)
            conditions += [*_parts(f.args[0][1]), *more]
        else:
            factors.append(f)
    return sp.Mul(*factors), conditions


def _parts(condition: sp.Basic) -> list[sp.Basic]:
    """The relations of a conjunction; ``a >= b`` as ``a - b``, which must be >= 0."""
    parts = condition.args if isinstance(condition, sp.And) else (condition,)
    return [sp.expand(c.gts - c.lts) if isinstance(c, sp.Ge | sp.Le) else c for c in parts]


def _of_places(condition: sp.Basic) -> bool:
    parts = condition.args if isinstance(condition, sp.And) else (condition,)
    return all(isinstance(c, sp.Rel) and c.lhs.is_integer and c.rhs.is_integer and not tensors_of(c) for c in parts)
