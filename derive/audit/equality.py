"""Are two expressions over indexed tensors equal, for every size? Exact: each is brought to a normal form.

An expression is expanded to a sum of terms: a coefficient (a rational function of scalars and sizes) times operands,
summed over indices. Kronecker deltas are eliminated, a sum of what does not depend on its index is its size, and summed
indices are named so that the term reads smallest among all namings. The arguments of functions have normal forms of
their own. Equal normal forms are a proof; unlike ones prove nothing, and go to the search for a counterexample.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp
from sympy.core.function import AppliedUndef

from derive.audit.network import sigma, slope

MOST_TERMS = 400
MOST_NAMINGS = 200
UNROLLED = 12  # sums of a given number of terms, up to this many, are written out


class TooLarge(ValueError):
    """An expression whose normal form is not worth its time."""


@dataclass(frozen=True)
class Addend:
    coefficient: sp.Expr
    operands: tuple[sp.Expr, ...] = ()
    summed: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()  # (index, size)


def equal(left: sp.Expr, right: sp.Expr, ranges: Mapping[sp.Symbol, sp.Expr]) -> bool:
    """Whether left = right for all sizes; `ranges` are the free indices and their sizes. Raises TooLarge."""
    return not normal(left - right, ranges)


def normal(e: sp.Expr, ranges: Mapping[sp.Symbol, sp.Expr]) -> tuple[tuple[str, sp.Expr], ...]:
    """The normal form: its terms and their coefficients, none of them zero."""
    found: dict[str, sp.Expr] = {}
    for count, addend in enumerate(addends(e)):
        if count > MOST_TERMS:
            raise TooLarge(f"more than {MOST_TERMS} terms")
        addend = contracted(addend, ranges)
        if addend.coefficient != 0:
            key = name(addend, ranges)
            found[key] = found.get(key, sp.Integer(0)) + addend.coefficient
    reduced = {key: sp.cancel(c) for key, c in found.items()}
    return tuple(sorted((key, c) for key, c in reduced.items() if c != 0))


def addends(e: sp.Expr) -> Iterator[Addend]:
    """The terms of an expression: products multiplied out, sums pulled to the front with indices of their own."""
    if isinstance(e, sp.Add):
        for a in e.args:
            yield from addends(a)
    elif isinstance(e, sp.Mul):
        for chosen in itertools.product(*(list(limited(a)) for a in e.args)):
            yield Addend(
                sp.Mul(*(c.coefficient for c in chosen)),
                tuple(o for c in chosen for o in c.operands),
                tuple(s for c in chosen for s in c.summed),
            )
    elif isinstance(e, sp.Pow) and e.exp.is_Integer and e.exp > 1 and not is_scalar(e):
        yield from product_of([e.base] * int(e.exp))
    elif isinstance(e, sp.Sum):
        (k, low, high), *others = e.limits
        body = sp.Sum(e.function, *others) if others else e.function
        size = sp.expand(high - low + 1)
        if size.is_Integer and size <= UNROLLED:
            for i in range(int(size)):
                yield from addends(body.xreplace({k: low + i}))
            return
        new = sp.Dummy(k.name, integer=True)
        for a in addends(body.xreplace({k: new + low})):
            yield replace(a, summed=((new, size), *a.summed))
    elif is_scalar(e):
        yield Addend(e)
    else:
        yield Addend(sp.Integer(1), (e,))


def limited(e: sp.Expr) -> Iterator[Addend]:
    for count, addend in enumerate(addends(e)):
        if count > MOST_TERMS:
            raise TooLarge(f"more than {MOST_TERMS} terms")
        yield addend


def product_of(factors: list[sp.Expr]) -> Iterator[Addend]:
    """The terms of a product whose factors may be alike: each gets summed indices of its own."""
    first, *rest = factors
    if not rest:
        yield from limited(first)
        return
    for a in limited(first):
        for b in product_of(rest):
            yield Addend(a.coefficient * b.coefficient, a.operands + b.operands, a.summed + b.summed)


def is_scalar(e: sp.Expr) -> bool:
    return not e.has(sp.Indexed, sp.KroneckerDelta, sp.Sum, sigma, slope)


def contracted(addend: Addend, ranges: Mapping[sp.Symbol, sp.Expr]) -> Addend:
    """Without the deltas that fix a summed index to another index of the same range, and without empty sums."""
    sizes = dict(ranges) | dict(addend.summed)
    for delta in addend.operands:
        if not isinstance(delta, sp.KroneckerDelta):
            continue
        for k, i in (delta.args, delta.args[::-1]):
            fixed = (k, sizes.get(k)) in addend.summed and (sizes.get(i) == sizes[k] or in_range(i, sizes[k]))
            if fixed:
                rest = tuple(o.xreplace({k: i}) for o in addend.operands if o is not delta)
                return contracted(
                    Addend(addend.coefficient, rest, tuple(s for s in addend.summed if s[0] != k)), ranges
                )
    coefficient, summed = addend.coefficient, []
    for k, size in addend.summed:
        if any(o.has(k) for o in addend.operands) or coefficient.has(k):
            summed.append((k, size))
        else:
            coefficient *= size
    operands = []
    for o in addend.operands:  # a delta of two numbers has become one, or the whole term zero
        if is_scalar(o):
            coefficient *= o
        else:
            operands.append(o)
    return Addend(coefficient, tuple(operands), tuple(summed))


def in_range(i: sp.Expr, size: sp.Expr) -> bool:
    return bool(i.is_Integer and size.is_Integer and 0 <= i < size)


def name(addend: Addend, ranges: Mapping[sp.Symbol, sp.Expr]) -> str:
    """The smallest reading of a term among all namings of its summed indices that could matter."""
    groups: dict[str, list[sp.Symbol]] = {}
    for k, size in addend.summed:
        groups.setdefault(f"{size} {occurrences(k, addend)}", []).append(k)
    orders = [itertools.permutations(groups[key]) for key in sorted(groups)]
    sizes = dict(addend.summed)
    best = None
    for count, order in enumerate(itertools.product(*orders)):
        if count > MOST_NAMINGS:
            raise TooLarge("too many summed indices that look alike")
        named = [k for group in order for k in group]
        naming = {k: sp.Symbol(f"@{depth(ranges)}.{n}", integer=True) for n, k in enumerate(named)}
        inner = dict(ranges) | {naming[k]: sizes[k] for k in named}
        read = sorted(reading(o.xreplace(naming), inner) for o in addend.operands)
        whole = f"{[str(sizes[k]) for k in named]} {' '.join(read)}"
        if addend.coefficient.has(*naming):  # an index as a number: part of the term's name
            raise TooLarge("an index used as a number")
        best = whole if best is None else min(best, whole)
    return best or ""


def depth(ranges: Mapping[sp.Symbol, sp.Expr]) -> int:
    """How many namings are in force: inner ones must not be mistaken for outer ones."""
    return sum(s.name.startswith("@") for s in ranges)


def occurrences(k: sp.Symbol, addend: Addend) -> list[str]:
    """Where an index occurs: the same for indices that a renaming could exchange."""
    found = []
    for o in addend.operands:
        outer = type(o).__name__
        for x in o.atoms(sp.Indexed):
            found += [f"{outer} {x.base.name} {x.indices[0]} {p}" for p, i in enumerate(x.indices) if i.has(k)]
        found += [f"{outer} delta" for d in o.atoms(sp.KroneckerDelta) if d.has(k)]
    return sorted(found)


def reading(o: sp.Expr, ranges: Mapping[sp.Symbol, sp.Expr]) -> str:
    """An operand as text; functions and powers hold the normal form of what is inside."""
    if isinstance(o, sp.Indexed):
        return f"{o.base.name}[{','.join(str(sp.expand(i)) for i in o.indices)}]"
    if isinstance(o, sp.KroneckerDelta):
        return f"delta[{','.join(sorted(str(sp.expand(i)) for i in o.args))}]"
    if isinstance(o, sp.Pow):
        return f"({normal(o.base, ranges)})**({normal(o.exp, ranges)})"
    if isinstance(o, AppliedUndef | sp.Function):
        return f"{type(o).__name__}({'; '.join(str(normal(a, ranges)) for a in o.args)})"
    raise TooLarge(f"{type(o).__name__} has no normal form here")
