"""Is a relation true for all sizes? Both sides are replaced by what defines them, stage by stage, until they are equal."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

from derive.audit.judging.equality import TooLarge, equal
from derive.audit.meaning.network import Definitions, Network, last, layer, rewrite, samples
from derive.audit.meaning.values import Bound

Sides = tuple[sp.Expr, sp.Expr]
Use = tuple[str, str]  # a system and the tensor whose equation was used
Choice = Callable[[sp.Indexed], bool]


@dataclass(frozen=True)
class Proof:
    """Both sides as they have the same normal form, and what was replaced on the way by what defines it."""

    sides: Sides
    opened: frozenset[sp.Indexed]


def proof(bound: Bound, net: Definitions) -> tuple[Proof | None, frozenset[Use]]:
    """The proof, if there is one, and the equations that one side was opened by and the other not: what it is about."""
    sides: Sides = (bound.left, bound.right)
    seen: set[sp.Indexed] = set()
    about: set[tuple[Use, sp.Expr]] = set()
    found = None
    try:
        for choose in stages(sides, net):
            used: tuple[set[sp.Indexed], set[sp.Indexed]] = (set(), set())
            left, right = (rewrite(side, net, choose(sides), own) for side, own in zip(sides, used, strict=True))
            sides = left, right
            about |= told_apart(used, net)
            seen |= used[0] | used[1]
            if all_equal(left, right, bound, net):
                found = Proof(sides, frozenset(seen))
                break
    except TooLarge:
        pass
    return found, frozenset(use for use, _ in about)


def stages(sides: Sides, net: Definitions) -> Iterator[Callable[[Sides], Choice]]:
    """What is replaced at each stage: sensitivities, down to the highest named, then forward quantities too."""

    def defined(x: sp.Indexed) -> bool:
        return net.definition(x) is not None

    if not isinstance(net, Network):
        yield lambda _: lambda x: x.base.name.startswith("delta_") and defined(x)
        yield lambda _: defined
        return
    tops = highest_sensitivities(sides, net)
    if net.kind.coupled:  # down to what is normalised; its variance stays one, by whose root all is divided
        yield lambda _: lambda x: False
        yield lambda _: lambda x: is_derived(x, tops, net)
        for kept in (("var",), ()):
            above = {name for name in net.order[net.order.index("z") + 1 :] if name not in kept}
            yield lambda _, above=above: lambda x: x.base.name in above and defined(x)  # type: ignore[misc]
        return
    yield lambda _: lambda x: is_derived(x, tops, net)

    def forward_too(sides: Sides) -> Choice:
        lows = lowest_quantities(sides, net)
        return lambda x: height(x, net) > lows[chain(x)[0]] if is_forward(x, net) else is_derived(x, tops, net)

    yield forward_too


def told_apart(uses: tuple[set[sp.Indexed], set[sp.Indexed]], net: Definitions) -> set[tuple[Use, sp.Expr]]:
    """The equations, each with its layer, that one side was opened by and the other not: what the relation is about."""
    one, other = ({((d.system, d.tensor), x.indices[0]) for x in side if (d := net.definition(x))} for side in uses)
    return one ^ other


def all_equal(left: sp.Expr, right: sp.Expr, bound: Bound, net: Definitions) -> bool:
    """Equality for all values of the free indices; those of a given range (a column of numbers) one by one."""
    difference = net.with_slopes(left - right)
    if bound.batch:
        difference = difference.xreplace({samples: sp.Integer(bound.batch)})
    difference = difference.xreplace(bound.fixed)
    sizes = {index: size.xreplace(bound.fixed) for index, size in bound.free.items()}
    given = {index: int(size) for index, size in sizes.items() if size.is_Integer}
    rest = {index: size for index, size in sizes.items() if index not in given}

    def extents(x: sp.Indexed) -> tuple[sp.Expr | None, ...]:
        return tuple(e.xreplace(bound.fixed) if e is not None else None for e in net.sizes(x))

    places = itertools.product(*(map(sp.Integer, range(size)) for size in given.values()))
    return all(
        equal(difference.xreplace(dict(zip(given, place, strict=True))), sp.Integer(0), rest, extents)
        for place in places
    )


def chain(x: sp.Indexed) -> tuple[sp.Expr, int]:
    """A layer as its letter (l, L, or none) and what is added to it."""
    at = sp.expand(x.indices[0])
    letter = sp.Add(*(s for s in (layer, last) if at.has(s)))
    return letter, int(at - letter)


def highest_sensitivities(sides: Sides, net: Network) -> dict[sp.Expr, int]:
    """The highest layer at which a sensitivity is read, by letter: those below unroll to it."""
    tops: dict[sp.Expr, int] = {last: 0} if net.at_last else {}
    for x in sp.Tuple(*sides).atoms(sp.Indexed):
        if x.base.name.startswith(("delta_", "C:", "E:")) or x.base.name.endswith("_new"):
            letter, shift = chain(x)
            tops[letter] = max(tops.get(letter, shift), shift)
    return tops


def is_derived(x: sp.Indexed, tops: dict[sp.Expr, int], net: Network) -> bool:
    name = x.base.name
    if name == "delta_a":
        letter, shift = chain(x)
        return (x.indices[0] == last and bool(net.at_last)) or shift < tops.get(letter, shift)
    return net.definition(x) is not None and not is_forward(x, net)


def is_forward(x: sp.Indexed, net: Network) -> bool:
    return x.base.name in net.order


def height(x: sp.Indexed, net: Network) -> int:
    """How far a quantity's position stands from that of layer l (or L, or 0) itself."""
    return int(net.position(x) - len(net.order) * chain(x)[0])


def lowest_quantities(sides: Sides, net: Network) -> dict[sp.Expr, int]:
    lows: dict[sp.Expr, int] = {}
    for x in sp.Tuple(*sides).atoms(sp.Indexed):
        if is_forward(x, net):
            letter = chain(x)[0]
            lows[letter] = min(lows.get(letter, height(x, net)), height(x, net))
    return lows
