"""The verdict on a relation: bind it under its readings, prove it, or find the instance that refutes it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import sympy as sp

from derive.audit import formula as f
from derive.audit.binding import Bound, bind
from derive.audit.equality import TooLarge, equal
from derive.audit.evaluation import Counterexample, has_instance, search
from derive.audit.latex import correction
from derive.audit.network import ACTIVATIONS, COSTS, PAIRS, Network, last, layer, network, position, rewrite, samples
from derive.audit.values import Misshapen, Unbindable, size_name
from derive.audit.vocabulary import Ask, Reading

ALL_SIZES = "all sizes"
A_COUNTEREXAMPLE = "a counterexample"
Sides = tuple[sp.Expr, sp.Expr]
Use = tuple[str, str]  # a system and the tensor whose equation was used


@dataclass(frozen=True)
class Outcome:
    """A verdict on one relation, without its place in a document."""

    verdict: str
    system: str | None = None
    scope: str | None = None
    reading: str | None = None
    counterexample: Counterexample | None = None
    correction: str | None = None
    reason: str | None = None
    at: int = 0
    about: frozenset[Use] = frozenset()  # the equations that one side needs and the other does not
    cost: str | None = None  # the cost that the relation defines
    places: frozenset[sp.Indexed] = field(default=frozenset(), compare=False)  # what it reads, with layers


@dataclass(frozen=True)
class Context:
    """What the document has said before: the cost it defined, and whether this formula rests on it as its premise."""

    cost: str | None = None
    where: str = ""
    premise: bool = False


def judge(relation: f.Relation, context: Context = Context()) -> Outcome:
    """Proved if true as written, conditional if true under a reading, refuted if false under all that were tried."""
    try:
        outcomes = list(under_readings(relation, Reading(), context))
    except RecursionError:
        return Outcome("unread", reason="it is nested too deeply", at=relation.at)
    for wanted in ("proved", "conditional", "refuted", "unread"):
        found = [o for o in outcomes if o.verdict == wanted]
        if found:
            return min(found, key=telling)
    raise AssertionError("a relation without an outcome")


def telling(outcome: Outcome) -> int:
    """Less is more: what is decided before what is not, an instance in numbers before shapes that do not fit."""
    return int(outcome.scope not in (ALL_SIZES, A_COUNTEREXAMPLE))


def under_readings(relation: f.Relation, reading: Reading, context: Context) -> Iterator[Outcome]:
    try:
        bound = bind(relation, reading)
    except Ask as ask:
        for option in ask.options:
            yield from under_readings(relation, reading.with_(ask.question, option), context)
        return
    except Unbindable as error:
        yield Outcome("unread", reason=error.reason, at=error.at)
        return
    except Misshapen as error:
        yield misshapen(relation, error)
        return
    names = {x.base.name for x in sp.Tuple(bound.left, bound.right).atoms(sp.Indexed)}
    if bound.defines and names & {"a", "y"}:
        yield from defining(bound, reading)
        return
    if not ("y" in names and any(name.startswith(("delta_", "C:", "E:")) or name in ("C", "E") for name in names)):
        yield from for_any_activation_or_one(bound, reading, context.cost if context.premise else None)
        return
    for cost in [context.cost] if context.cost else COSTS:
        named = reading
        if not context.premise:
            named = reading.with_("cost", f"C is the {spaced(cost)} cost{context.where}")
        yield from for_any_activation_or_one(bound, named, cost)
    for cost in PAIRS if not context.cost else ():
        words = f"C is the {spaced(cost)} cost, and the last layer's activation the {spaced(PAIRS[cost].name)} function"
        outcome = decided(bound, reading.with_("cost", words), network(cost, paired=True), refute=False)
        if outcome.verdict == "conditional":
            yield outcome


def for_any_activation_or_one(bound: Bound, reading: Reading, cost: str | None) -> Iterator[Outcome]:
    """What is false of an abstract activation may still hold for one whose slope is known by its output."""
    outcome = decided(bound, reading, network(cost))
    yield outcome
    if outcome.verdict != "refuted" or bound.mismatches:
        return
    for name in ACTIVATIONS:
        named = reading.with_("activation", f"the activation is the {spaced(name)} function")
        outcome = decided(bound, named, network(cost, known=name), refute=False)
        if outcome.verdict == "conditional":
            yield outcome


def spaced(name: str) -> str:
    return name.replace("_", " ")


def defining(bound: Bound, reading: Reading) -> Iterator[Outcome]:
    """`C = ...` claims to be one of our costs."""
    outcomes = [
        replace(decided(bound, reading, network(cost)), cost=cost) for cost in COSTS if is_rational(network(cost))
    ]
    right = [o for o in outcomes if o.verdict in ("proved", "conditional")]
    yield right[0] if right else replace(outcomes[0], cost=None)


def is_rational(net: Network) -> bool:
    """Whether the cost is one the reader could have read: it knows no logarithm."""
    return not net.definitions["C"].body.has(sp.log, sp.exp)


def misshapen(relation: f.Relation, error: Misshapen) -> Outcome:
    """Shapes that go together at no sizes but ones; the left side alone may still say what would be right."""
    sizes = {size_name(size): "2" for shape in (error.left, error.right) for size in shape if not size.is_Integer}
    shown = Counterexample(sizes, {}, shape_text(error.left), shape_text(error.right))
    instead = None
    with suppress(Ask, Unbindable, Misshapen):
        alone = bind(replace(relation, right=relation.left), Reading())
        instead = correction(replace(alone, right=sp.Integer(0)), network())
    return Outcome(
        "refuted", "dense", "shapes", counterexample=shown, correction=instead, reason=error.why, at=relation.at
    )


def shape_text(shape: tuple[sp.Expr, ...]) -> str:
    """A shape where every layer has two units."""
    return f"shape ({', '.join(str(size) if size.is_Integer else '2' for size in shape)})" if shape else "a number"


def decided(bound: Bound, reading: Reading, net: Network, *, refute: bool = True) -> Outcome:
    """Proof first; without one, the search for a counterexample; without either, an honest word on what was covered."""
    places = frozenset(sp.Tuple(bound.left, bound.right).atoms(sp.Indexed))
    if not has_instance(bound):
        return Outcome("unread", reason="no network has every layer that it speaks of", places=places)
    about: set[tuple[Use, sp.Expr]] = set()
    try:
        proof = proved(bound, net, about) and not bound.mismatches
    except TooLarge:
        proof = False
    used = frozenset(use for use, _ in about)
    common = Outcome("", system_of(bound, used), about=used, places=places)
    if proof:
        words = str(reading) or None
        return replace(common, verdict="conditional" if words else "proved", scope=ALL_SIZES, reading=words)
    if not refute:
        return replace(common, verdict="unread", reason="not proved")
    found, compared = search(bound, net)
    if found is None and bound.mismatches:
        found = sizes_that_differ(bound)
    if found is None and not compared:
        return Outcome("unread", reason="too large to work out", places=places)
    if found is None:
        return replace(
            common,
            verdict="conditional",
            scope=f"not proved; {compared} exact instances agree",
            reading=str(reading) or None,
        )
    return replace(
        common, verdict="refuted", scope=A_COUNTEREXAMPLE, counterexample=found, correction=correction(bound, net)
    )


def sizes_that_differ(bound: Bound) -> Counterexample:
    """Where both sides agree as long as the sizes happen to be equal: sizes at which they are not."""
    (one, other), *_ = bound.mismatches
    return Counterexample({size_name(one): "1", size_name(other): "2"}, {}, "shape (1)", "shape (2)")


def system_of(bound: Bound, used: frozenset[Use]) -> str | None:
    """The forward system a relation speaks of: a rule or a cost whose equations it needs, else the network's layer."""
    systems = {system for system, _ in used}
    for name in ("gradient_descent", *COSTS, "objective"):
        if name in systems:
            return name
    tensors = [x for x in sp.Tuple(bound.left, bound.right).atoms(sp.Indexed) if not x.base.name.startswith("any ")]
    return "dense" if tensors else None


def proved(bound: Bound, net: Network, about: set[tuple[Use, sp.Expr]]) -> bool:
    """Whether both sides are equal for all sizes once sensitivities are unrolled, then also forward quantities."""
    both = (bound.left, bound.right)
    tops = highest_sensitivities(both, net)
    sides = opened(both, net, lambda x: is_derived(x, tops, net), about)
    if all_equal(*sides, bound, net):
        return True
    lows = lowest_quantities(sides)

    def chosen(x: sp.Indexed) -> bool:
        return height(x) > lows[chain(x)[0]] if is_forward(x) else is_derived(x, tops, net)

    return all_equal(*opened(sides, net, chosen, about), bound, net)


def opened(sides: Sides, net: Network, chosen: Callable[[sp.Indexed], bool], about: set[tuple[Use, sp.Expr]]) -> Sides:
    """Both sides with the chosen quantities replaced by what defines them; notes what only one of them needed."""
    used: tuple[set[sp.Indexed], set[sp.Indexed]] = (set(), set())
    left, right = (rewrite(side, net, chosen, seen) for side, seen in zip(sides, used, strict=True))
    about |= told_apart(used, net)
    return left, right


def told_apart(uses: tuple[set[sp.Indexed], set[sp.Indexed]], net: Network) -> set[tuple[Use, sp.Expr]]:
    """The equations, each with its layer, that one side was opened by and the other not: what the relation is about."""
    one, other = ({((d.system, d.tensor), x.indices[0]) for x in side if (d := net.definition(x))} for side in uses)
    return one ^ other


def all_equal(left: sp.Expr, right: sp.Expr, bound: Bound, net: Network) -> bool:
    """Equality for all values of the free indices; those of a given range (a column of numbers) one by one."""
    difference = net.with_slopes(left - right)
    if bound.batch:
        difference = difference.xreplace({samples: sp.Integer(bound.batch)})
    given = {index: int(size) for index, size in bound.free.items() if size.is_Integer}
    rest = {index: size for index, size in bound.free.items() if index not in given}
    places = itertools.product(*(map(sp.Integer, range(size)) for size in given.values()))
    return all(
        equal(difference.xreplace(dict(zip(given, place, strict=True))), sp.Integer(0), rest) for place in places
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
    return name in net.definitions and not is_forward(x)


def is_forward(x: sp.Indexed) -> bool:
    return x.base.name in ("a", "z")


def height(x: sp.Indexed) -> int:
    """How far a quantity's position stands from that of layer l (or L, or 0) itself."""
    return int(position(x) - 2 * chain(x)[0])


def lowest_quantities(sides: Sides) -> dict[sp.Expr, int]:
    lows: dict[sp.Expr, int] = {}
    for x in sp.Tuple(*sides).atoms(sp.Indexed):
        if is_forward(x):
            letter = chain(x)[0]
            lows[letter] = min(lows.get(letter, height(x)), height(x))
    return lows
