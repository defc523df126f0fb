"""Are two expressions over indexed tensors equal, for every size? Exact: each is brought to a normal form.

An expression is expanded to a sum of terms: a coefficient (a rational function of scalars and sizes) times operands,
summed over indices. A tensor is zero outside its sizes, so a sum may run over all integers once its bounds stand as
factors (`nonnegative`), and a bound that an operand implies says nothing and is left out. Then equality is a change of
summed indices: Kronecker deltas are eliminated, a sum of what does not depend on its index is its size, components are
made plain indices where they have one with coefficient one, and summed indices are named so that the term reads
smallest among all namings. The arguments of functions have normal forms of their own. Equal normal forms are a proof;
unlike ones prove nothing, and go to the search for a counterexample.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.str import StrPrinter

from derive.audit.meaning.values import nonnegative

MOST_TERMS = 400
MOST_NAMINGS = 200
LONGEST = 20_000  # terms of a rational function
MOST_READINGS = 4000  # operands read in one comparison
UNROLLED = 12  # sums of a given number of terms, up to this many, are written out
Sizes = Callable[[sp.Indexed], tuple[sp.Expr | None, ...]]
Ranges = Mapping[sp.Symbol, sp.Expr | None]  # indices and their sizes; None where nothing is known of them


class Named(StrPrinter):
    """Text in which two indices of one name that are not the same do not look the same."""

    def _print_Dummy(self, e: sp.Dummy) -> str:
        return f"{e.name}~{e.dummy_index}"


text = Named().doprint


class TooLarge(ValueError):
    """An expression whose normal form is not worth its time."""


class Budget:
    """What one comparison may cost: counted in steps, so that the same expression always gets the same answer."""

    left = MOST_READINGS

    @classmethod
    def spend(cls) -> None:
        cls.left -= 1
        if cls.left < 0:
            raise TooLarge("too much to compare")


@dataclass(frozen=True)
class Addend:
    coefficient: sp.Expr
    operands: tuple[sp.Expr, ...] = ()
    summed: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()  # (index, the size that it was written with)
    straight: bool = False  # whether summed indices were changed: the sizes are then no longer theirs


def no_sizes(x: sp.Indexed) -> tuple[None, ...]:
    return (None,) * len(x.indices)


def equal(left: sp.Expr, right: sp.Expr, ranges: Ranges, sizes: Sizes = no_sizes) -> bool:
    """Whether left = right for all sizes; `ranges` are the free indices and their sizes. Raises TooLarge.

    `sizes` says beyond which sizes a tensor is zero.
    """
    difference = left - right
    Budget.left = MOST_READINGS
    return (
        difference == 0
        or (not difference.has(sp.Sum) and is_rational_zero(difference))
        or not normal(difference, ranges, sizes)
    )


def written_out(e: sp.Expr) -> int:
    """How many terms an expression may have once its products and powers are multiplied out."""
    if isinstance(e, sp.Add):
        return sum(map(written_out, e.args))
    if isinstance(e, sp.Mul):
        return math.prod(map(written_out, e.args))
    if isinstance(e, sp.Pow) and e.exp.is_Integer:
        return int(written_out(e.base) ** min(abs(int(e.exp)), LONGEST))
    return 1


def is_rational_zero(e: sp.Expr) -> bool:
    """Whether an expression without sums is zero as a rational function of its operands, with exp(x) and log(x) such."""
    if written_out(e) > LONGEST:
        return False
    e = e.replace(sp.log, lambda a: sp.expand_log(sp.log(sp.factor(a)), force=True))
    bases: dict[sp.Expr, sp.Symbol] = {}

    def by_base(x: sp.Expr) -> sp.Expr:  # exp(2 z - y) by exp(z) and exp(y)
        product = sp.Integer(1)
        for term in sp.Add.make_args(sp.expand(x)):
            multiple, rest = term.as_coeff_Mul()
            multiple, rest = (multiple, rest) if multiple.is_Integer else (sp.Integer(1), term)
            product *= bases.setdefault(rest, sp.Dummy(positive=True)) ** multiple
        return product

    e = e.replace(sp.exp, by_base)
    for kind in (sp.log, sp.Function, sp.Indexed):
        e = e.xreplace({x: sp.Dummy(real=True) for x in sorted(e.atoms(kind), key=str)})
    return not e.has(sp.Piecewise, sp.KroneckerDelta) and sp.cancel(sp.together(e)) == 0


def normal(e: sp.Expr, ranges: Ranges, sizes: Sizes = no_sizes) -> tuple[tuple[str, sp.Expr], ...]:
    """The normal form: its terms and their coefficients, none of them zero."""
    found: dict[str, sp.Expr] = {}
    for count, addend in enumerate(addends(e)):
        if count > MOST_TERMS:
            raise TooLarge(f"more than {MOST_TERMS} terms")
        addend = contracted(merged(addend, ranges, sizes), ranges, sizes)
        if addend.coefficient != 0:
            key = name(addend, ranges, sizes)
            found[key] = found.get(key, sp.Integer(0)) + addend.coefficient
    reduced = {key: sp.cancel(c) for key, c in found.items()}
    return tuple(sorted((key, c) for key, c in reduced.items() if c != 0))


def tidied(e: sp.Expr, ranges: Ranges, sizes: Sizes, *, straight: bool = False) -> sp.Expr:
    """An equal expression without the deltas and bounds that say nothing; as it is where that takes too long.

    With `straight`, components are made plain summed indices, as in the normal form.
    """
    total = sp.Integer(0)
    try:
        for addend in addends(e):
            addend = contracted(addend, ranges, sizes)
            addend = next(plain_forms(addend)) if straight else addend
            body = addend.coefficient * sp.Mul(*addend.operands)
            total += sp.Sum(body, *((k, 0, size - 1) for k, size in addend.summed)) if addend.summed else body
    except TooLarge:
        return e
    return total


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
    return not e.has(sp.Indexed, sp.KroneckerDelta, sp.Sum, nonnegative) and not any(
        f.args and not f.is_integer for f in e.atoms(AppliedUndef, sp.Function)
    )


def merged(addend: Addend, ranges: Ranges, sizes: Sizes) -> Addend:
    """Powers of the same base, however that is written, as one: sqrt(v + e) times (v + e)**(-3/2) is 1/(v + e)."""
    bases: dict[object, tuple[sp.Expr, sp.Expr]] = {}
    rest = []
    for o in addend.operands:
        if (isinstance(o, sp.Pow) and o.exp.is_Rational and not o.exp.is_Integer) or is_reciprocal(o):
            known = {**ranges, **dict(addend.summed)}
            key = normal(o.base, known, sizes)
            base, power = bases.get(key, (o.base, sp.Integer(0)))
            bases[key] = base, power + o.exp
        else:
            rest.append(o)
    return replace(addend, operands=(*rest, *(b**p for b, p in bases.values() if p != 0)))


def is_reciprocal(o: sp.Expr) -> bool:
    return isinstance(o, sp.Pow) and o.exp.is_Integer and o.exp < 0 and isinstance(o.base, sp.Add)


def contracted(addend: Addend, ranges: Ranges, sizes: Sizes) -> Addend:
    """Without the deltas that fix a summed index, without bounds that say nothing, without empty sums."""
    summed = dict(addend.summed)
    for delta in addend.operands:
        if not isinstance(delta, sp.KroneckerDelta):
            continue
        gap = sp.expand(delta.args[0] - delta.args[1])
        k = next((k for k in summed if gap.coeff(k) in (1, -1) and not k_inside(gap, k)), None)
        if k is not None:
            value = sp.expand(k - gap / gap.coeff(k))
            range_of_k = (nonnegative(value), nonnegative(summed[k] - 1 - value))
            rest = (*(at_place(o, {k: value}) for o in addend.operands if o is not delta), *range_of_k)
            left = tuple(s for s in addend.summed if s[0] is not k)
            return contracted(Addend(addend.coefficient.xreplace({k: value}), rest, left), ranges, sizes)
    coefficient, operands = addend.coefficient, []
    for o in addend.operands:  # a delta or bound of two numbers has become one, or the whole term zero
        if is_scalar(o):
            coefficient *= o
        else:
            operands.append(o)
    if coefficient == 0:
        return Addend(sp.Integer(0))
    bounds = [nonnegative(k) for k in summed] + [nonnegative(size - 1 - k) for k, size in addend.summed]
    fixed = quotients({*bounds, *(o for o in operands if isinstance(o, nonnegative))}, summed, ranges)
    if fixed:
        rest = tuple(at_place(o, fixed) for o in (*operands, *bounds))
        left = tuple(s for s in addend.summed if s[0] not in fixed)
        return contracted(Addend(coefficient, rest, left), ranges, sizes)
    operands, kept = without_bounds([*operands, *bounds], ranges, sizes), []
    for k, size in addend.summed:
        inside = [o for o in operands if o.has(k)]
        bounds_of_k = {o.args[0] for o in inside if isinstance(o, nonnegative)}
        constant = len(bounds_of_k) == len(inside) and not coefficient.has(k)
        if constant and bounds_of_k == {k, sp.expand(size - 1 - k)}:  # as often as there are terms
            operands = [o for o in operands if not o.has(k)]
            coefficient *= size
            continue
        kept.append((k, size))
    return Addend(coefficient, tuple(operands), tuple(kept))


def k_inside(gap: sp.Expr, k: sp.Symbol) -> bool:
    """Whether an index stands inside the address that a tensor holds, where no equation can be solved for it."""
    return any(x.has(k) for x in gap.atoms(sp.Indexed))


def at_place(o: sp.Expr, change: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    """An operand at other indices, its components expanded."""
    moved = o.xreplace(change)
    return moved.replace(lambda x: isinstance(x, sp.Indexed), lambda x: x.base[tuple(sp.expand(i) for i in x.indices)])


def quotients(bounds: set[sp.Expr], summed: Mapping[sp.Symbol, sp.Expr], ranges: Ranges) -> dict[sp.Symbol, sp.Expr]:
    """Summed k with 0 <= s i + u - s k < s and 0 <= u < s, which is i: division by s has one quotient and remainder."""
    arguments = {b.args[0] for b in bounds if isinstance(b, nonnegative)}
    for e in arguments:
        for k in summed:
            s = -e.coeff(k)
            if not s.is_Symbol or sp.expand(s - 1 - e) not in arguments:
                continue
            rest = sp.expand(e + s * k)
            i = rest.coeff(s)
            u = sp.expand(rest - s * i)
            if u in ranges and ranges[u] == s and not i.has(k):
                return {k: i}
    return {}


def without_bounds(operands: list[sp.Expr], ranges: Ranges, sizes: Sizes) -> list[sp.Expr]:
    """Bounds said once, and not at all where an operand is zero beyond them or the range of a free index implies them."""
    implied: set[sp.Expr] = set()
    for i, size in ranges.items():
        if size is not None:
            implied |= {i, sp.expand(size - 1 - i)}
    for o in operands:
        x = o.base if isinstance(o, sp.Pow) and o.exp.is_positive and isinstance(o.base, sp.Indexed) else o
        if isinstance(x, sp.Indexed):
            for i, end in zip(x.indices, sizes(x), strict=True):
                if end is not None:
                    implied |= {sp.expand(i), sp.expand(end - 1 - i)}
    kept, said = [], set(implied)
    for o in operands:
        if isinstance(o, nonnegative):
            if o.args[0] in said or is_natural(o.args[0], ranges):
                continue
            said.add(o.args[0])
        kept.append(o)
    return kept


def is_natural(e: sp.Expr, ranges: Ranges) -> bool:
    """Whether an expression is at least zero for all values of the free indices, by their ranges alone."""
    if any(s not in ranges and not s.is_positive for s in e.free_symbols):
        return False
    change: dict[sp.Basic, sp.Basic] = {}
    for i, size in ranges.items():
        if size is not None and e.has(i):
            change[i] = sp.Dummy(integer=True, nonnegative=True)
            if not isinstance(size, sp.Add | sp.Mul):  # i < size, where the size is a symbol
                change[size] = change[i] + 1 + sp.Dummy(integer=True, nonnegative=True)
    return bool(sp.expand(e.xreplace(change)).is_nonnegative)


def name(addend: Addend, ranges: Ranges, sizes: Sizes) -> str:
    """The smallest reading of a term among all namings of its summed indices that could matter."""
    best = None
    for form in plain_forms(addend):
        whole = name_of(form, ranges, sizes)
        best = whole if best is None else min(best, whole)
    return best or ""


def plain_forms(addend: Addend) -> Iterator[Addend]:
    """The term with components made plain summed indices, in every order of its operands that could matter."""
    summed = {k for k, _ in addend.summed}
    crooked = [
        x
        for o in addend.operands
        for x in o.atoms(sp.Indexed)
        if any(not c.is_Symbol and c.free_symbols & summed for c in x.indices)
    ]
    if not crooked:
        yield addend
        return
    tensors = sorted(
        (o for o in addend.operands if isinstance(o, sp.Indexed)), key=lambda o: (o.base.name, text(o.indices[0]))
    )
    groups = [list(g) for _, g in itertools.groupby(tensors, key=lambda o: (o.base.name, text(o.indices[0])))]
    for count, order in enumerate(itertools.product(*(itertools.permutations(g) for g in groups))):
        if count > MOST_NAMINGS:
            raise TooLarge("too many operands that look alike")
        yield straightened(addend, [o for group in order for o in group])


def straightened(addend: Addend, order: list[sp.Expr]) -> Addend:
    free = [k for k, _ in addend.summed]
    change: dict[sp.Symbol, sp.Expr] = {}
    for operand in order:
        for component in operand.indices:
            c = sp.expand(component.xreplace(change))
            ready = [k for k in free if c.coeff(k) in (1, -1) and not k_inside(c, k)]
            if ready:
                k = ready[0]
                value = sp.expand((k - (c - c.coeff(k) * k)) / c.coeff(k))  # the new k is the whole component
                change = {j: sp.expand(v.xreplace({k: value})) for j, v in change.items()} | {k: value}
                free.remove(k)
    operands = tuple(at_place(o, change) for o in addend.operands)
    return replace(addend, coefficient=addend.coefficient.xreplace(change), operands=operands, straight=True)


def name_of(addend: Addend, ranges: Ranges, sizes: Sizes) -> str:
    ends: dict[sp.Symbol, sp.Expr | None] = {k: None if addend.straight else size for k, size in addend.summed}
    groups: dict[str, list[sp.Symbol]] = {}
    for k, size in ends.items():
        groups.setdefault(f"{text(size)} {occurrences(k, addend)}", []).append(k)
    orders = [itertools.permutations(groups[key]) for key in sorted(groups)]
    best = None
    for count, order in enumerate(itertools.product(*orders)):
        if count > MOST_NAMINGS:
            raise TooLarge("too many summed indices that look alike")
        named = [k for group in order for k in group]
        naming = {k: sp.Symbol(f"@{depth(ranges)}.{n}", integer=True) for n, k in enumerate(named)}
        inner = dict(ranges) | {naming[k]: ends[k] for k in named}
        read = sorted(reading(o.xreplace(naming), inner, sizes) for o in addend.operands)
        whole = f"{[text(ends[k]) for k in named]} {' '.join(read)}"
        if addend.coefficient.has(*naming):  # an index as a number: part of the term's name
            raise TooLarge("an index used as a number")
        best = whole if best is None else min(best, whole)
    return best or ""


def depth(ranges: Ranges) -> int:
    """How many namings are in force: inner ones must not be mistaken for outer ones."""
    return sum(s.name.startswith("@") for s in ranges)


def occurrences(k: sp.Symbol, addend: Addend) -> list[str]:
    """Where an index occurs: the same for indices that a renaming could exchange."""
    found = []
    for o in addend.operands:
        outer = type(o).__name__
        for x in o.atoms(sp.Indexed):
            found += [f"{outer} {x.base.name} {text(x.indices[0])} {p}" for p, i in enumerate(x.indices) if i.has(k)]
        found += [f"{outer} delta" for d in o.atoms(sp.KroneckerDelta) if d.has(k)]
        found += [f"{outer} bound" for d in o.atoms(nonnegative) if d.has(k)]
    return sorted(found)


def shown(e: sp.Expr, ranges: Ranges, sizes: Sizes) -> str:
    """A normal form as text."""
    return " + ".join(f"{text(c)} {key}" for key, c in normal(e, ranges, sizes))


def reading(o: sp.Expr, ranges: Ranges, sizes: Sizes) -> str:
    """An operand as text; functions and powers hold the normal form of what is inside."""
    Budget.spend()
    if isinstance(o, sp.Indexed):
        return f"{o.base.name}[{','.join(text(sp.expand(i)) for i in o.indices)}]"
    if isinstance(o, sp.KroneckerDelta):
        return f"delta[{','.join(sorted(text(sp.expand(i)) for i in o.args))}]"
    if isinstance(o, nonnegative):
        return f"bound[{text(sp.expand(o.args[0]))}]"
    if isinstance(o, sp.Pow):
        return f"({shown(o.base, ranges, sizes)})**({shown(o.exp, ranges, sizes)})"
    if isinstance(o, AppliedUndef | sp.Function):
        return f"{type(o).__name__}({'; '.join(shown(a, ranges, sizes) for a in o.args)})"
    raise TooLarge(f"{type(o).__name__} has no normal form here")
