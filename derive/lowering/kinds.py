"""The kinds of equation, by their index maps alone: contraction, elementwise, reduction.

A contraction is a sum over a product of two operands, each indexed by plain indices, in which every summed index stands in
both. Everything else is a nest of loops around its body.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from derive.calculus.equation import Equation, Term, tensor, tensors_of


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


def with_plain_operands(equations: Sequence[Equation]) -> list[Equation]:
    """Operands of contractions that are expressions (``w**2``) become elementwise equations of their own."""
    result: list[Equation] = []
    for equation in equations:
        terms = []
        for term in equation.terms:
            groups = _operands(term) if equation.kind == "sum" else None
            if groups is None:
                terms.append(term)
                continue
            scale, products = groups
            operands = []
            for product in products:
                if isinstance(product, sp.Indexed):
                    operands.append(product)
                    continue
                indices = tuple(sorted(_indices(product), key=lambda i, e=equation: _order(i, e, term)))
                operand = tensor(f"{equation.name}_of_{'_'.join(x.base.name for x in tensors_of(product))}")[indices]
                result.append(Equation(operand, (Term(product),), note="an operand of the contraction that follows"))
                operands.append(operand)
            terms.append(replace(term, body=scale * sp.Mul(*operands)))
        result.append(replace(equation, terms=tuple(terms)))
    return result


def _order(index: sp.Symbol, equation: Equation, term: Term) -> tuple[bool, int, str]:
    """Summed indices last but one, so that an operand is stored as it is read."""
    targets = list(equation.target.indices)
    return (index in targets, targets.index(index) if index in targets else 0, index.name)


def _indices(e: sp.Expr) -> set[sp.Symbol]:
    return {s for x in tensors_of(e) for i in x.indices for s in i.free_symbols if s.is_integer and not s.name[:1].isupper()}


def _operands(term: Term) -> tuple[sp.Expr, list[sp.Expr]] | None:
    """(scale, two operands) of a sum over a product, factors with the same indices taken together; None if it is not so."""
    summed = {k for k, *_ in term.over}
    if not summed or term.conditions or any(low != 0 for _, low, _ in term.over):
        return None
    scale, groups = sp.Integer(1), {}
    for factor in sp.Mul.make_args(term.body):
        if not factor.has(*summed):
            scale *= factor
            continue
        if any(len(set(x.indices)) < len(x.indices) or not all(i.is_Symbol for i in x.indices) for x in tensors_of(factor)):
            return None
        key = frozenset(_indices(factor))
        if not key or (factor.free_symbols & summed) - key:
            return None
        groups[key] = groups.get(key, sp.Integer(1)) * factor
    if len(groups) != 2 or any(not summed <= key for key in groups):
        return None
    return scale, list(groups.values())


def contraction(equation: Equation, lane_order: Sequence[sp.Symbol]) -> Contraction | None:
    """The equation as a contraction, for a target stored with its indices in ``lane_order``; None if it is of another kind."""
    if equation.kind != "sum" or sum(bool(t.over) for t in equation.terms) != 1:
        return None
    (term,) = (t for t in equation.terms if t.over)
    found = _operands(term)
    if found is None or not lane_order or not all(isinstance(p, sp.Indexed) for p in found[1]):
        return None
    scale, operands = found
    lane = lane_order[-1]
    with_lane = [x for x in operands if lane in x.indices]
    if len(with_lane) != 1 or len(term.over) > 2:
        return None
    b = with_lane[0]
    (a,) = (x for x in operands if x is not b)
    rows = [i for i in lane_order[:-1] if i in a.indices and i not in b.indices]
    row = rows[-1] if rows else None
    outer = tuple(i for i in lane_order[:-1] if i != row)
    if not set(lane_order) <= set(a.indices) | set(b.indices):
        return None
    rest = tuple(t for t in equation.terms if not t.over)
    return Contraction(equation, a, b, row, lane, outer, tuple(k for k, *_ in term.over), scale, rest)


def is_flat(equations: Sequence[Equation]) -> bool:
    """Whether every tensor of the equations is read and written at one and the same place: all elements alike."""
    places = {x.indices for e in equations for t in e.terms for x in (e.target, *tensors_of(t.body))}
    sizes = {s for e in equations for t in e.terms for s in t.body.atoms(sp.Symbol) if s.is_integer and s.name[:1].isupper()}
    return len(places) == 1 and not sizes and all(e.kind == "sum" and not t.over for e in equations for t in e.terms)
