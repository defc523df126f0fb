"""The verdict on a relation: bind it under its readings, prove it, or find the instance that refutes it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import sympy as sp

from derive.audit import formula as f
from derive.audit.binding import RULES, World, bind
from derive.audit.equality import TooLarge, equal
from derive.audit.evaluation import Counterexample, has_instance, search
from derive.audit.latex import correction, derivation
from derive.audit.network import (
    ACTIVATIONS,
    COSTS,
    PAIRS,
    Definitions,
    Network,
    last,
    layer,
    network,
    rewrite,
    samples,
)
from derive.audit.rules import corrected, run_of
from derive.audit.values import Bound, Misshapen, Unbindable, size_name
from derive.audit.vocabulary import SECTION, Ask, Reading

ALL_SIZES = "all sizes"
A_COUNTEREXAMPLE = "a counterexample"
Sides = tuple[sp.Expr, sp.Expr]
Use = tuple[str, str]  # a system and the tensor whose equation was used
Step = tuple[str, str]  # of a derivation: what is done, and the LaTeX of what it gives


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
    asked: tuple[tuple[str, str], ...] = ()  # what its section was asked, and what it answered
    steps: tuple[Step, ...] = field(default=(), compare=False)  # how it was proved
    right: bool = False  # of a refuted line: whether only the line before is wrong

    @property
    def holds(self) -> bool:
        return self.verdict in ("proved", "conditional")


@dataclass(frozen=True)
class Context:
    """What the document has said before: the system its section speaks of, and what that answers to questions of
    notation; the cost it defined, and whether this formula rests on it as its premise; the case that is given."""

    cost: str | None = None
    where: str = ""
    premise: bool = False
    world: World = World()
    agreed: tuple[tuple[str, str], ...] = ()
    refute: bool = True  # whether what is not proved is to be refuted


def judge(relation: f.Relation, context: Context = Context()) -> Outcome:
    """Proved if true as written, conditional if true under a reading, refuted if false under all that were tried."""
    answers = dict(context.agreed)
    agreed = tuple((question, answers.get(question, options[0])) for question, (options, _) in SECTION.items())
    outcomes: list[Outcome] = []
    for refute in (False, True)[: 1 + context.refute]:  # what holds under one reading need not be refuted under the others
        try:
            outcomes = list(under_readings(relation, Reading(agreed=agreed), replace(context, refute=refute)))
        except RecursionError:
            return Outcome("unread", reason="it is nested too deeply", at=relation.at)
        last_try = refute or not context.refute
        for wanted in ("proved", "conditional", "refuted", "unread") if last_try else ("proved", "conditional"):
            found = [o for o in outcomes if o.verdict == wanted]
            if found:
                return min(found, key=telling)
    raise AssertionError("a relation without an outcome")


def corrected_by(relation: f.Relation, context: Context) -> str | None:
    """What the left side of a relation is by the derivation, whatever stands on its right."""
    reading = Reading(agreed=context.agreed)
    for _ in range(20):
        try:
            bound, net = bind(relation, reading, context.world)
        except Ask as ask:
            reading = reading.with_(ask.question, ask.options[0])
        except (Unbindable, Misshapen):
            return None
        else:
            return correction(bound, net)
    return None


def telling(outcome: Outcome) -> int:
    """Less is more: what is decided before what is not, an instance in numbers before shapes that do not fit."""
    return int(outcome.scope not in (ALL_SIZES, A_COUNTEREXAMPLE))


def under_readings(relation: f.Relation, reading: Reading, context: Context) -> Iterator[Outcome]:
    question, options = "", ()
    try:
        bound, net = bind(relation, reading, context.world)
    except Ask as ask:
        question, options = ask.question, ask.options
    except Unbindable as error:
        yield Outcome("unread", reason=error.reason, at=error.at, asked=asked(reading))
        return
    except Misshapen as error:
        yield replace(misshapen(relation, error, context.world), asked=asked(reading))
        return
    if question:
        for option in options:
            yield from under_readings(relation, reading.with_(question, option), context)
        return
    if not isinstance(net, Network):
        yield with_run(decided(bound, reading, net, context.refute), relation, reading, context.world)
        return
    names = {x.base.name for x in sp.Tuple(bound.left, bound.right).atoms(sp.Indexed)}
    if net.name != "dense":
        yield decided(bound, reading, net, context.refute)
        return
    if bound.defines and names & {"a", "y"}:
        yield from defining(bound, reading, context.refute)
        return
    if not ("y" in names and any(name.startswith(("delta_", "C:", "E:")) or name in ("C", "E") for name in names)):
        cost = context.cost if context.premise else None
        yield from for_any_activation_or_one(bound, reading, net, cost, context.refute)
        return
    for cost in [context.cost] if context.cost else COSTS:
        named = reading
        if not context.premise:
            named = reading.with_("cost", f"C is the {spaced(cost)} cost{context.where}")
        yield from for_any_activation_or_one(bound, named, net, cost, context.refute)
    for cost in PAIRS if not context.cost else ():
        words = f"C is the {spaced(cost)} cost, and the last layer's activation the {spaced(PAIRS[cost].name)} function"
        paired = network("dense", cost, paired=True, summed=net.summed)
        outcome = decided(bound, reading.with_("cost", words), paired, False)
        if outcome.verdict == "conditional":
            yield outcome


def asked(reading: Reading) -> tuple[tuple[str, str], ...]:
    return tuple((question, answer) for question, answer in reading.chosen if question in SECTION)


def for_any_activation_or_one(
    bound: Bound, reading: Reading, net: Network, cost: str | None, refute: bool
) -> Iterator[Outcome]:
    """What is false of an abstract activation may still hold for one whose slope is known by its output."""
    outcome = decided(bound, reading, network("dense", cost, summed=net.summed), refute)
    yield outcome
    if outcome.holds or refute or bound.mismatches:
        return
    for name in ACTIVATIONS:
        named = reading.with_("activation", f"the activation is the {spaced(name)} function")
        outcome = decided(bound, named, network("dense", cost, known=name, summed=net.summed), False)
        if outcome.verdict == "conditional":
            yield outcome


def spaced(name: str) -> str:
    return name.replace("_", " ")


def defining(bound: Bound, reading: Reading, refute: bool) -> Iterator[Outcome]:
    """`C = ...` claims to be one of our costs."""
    outcomes = [
        replace(decided(bound, reading, network("dense", cost), refute), cost=cost)
        for cost in COSTS
        if is_rational(network("dense", cost))
    ]
    right = [o for o in outcomes if o.holds]
    yield right[0] if right else replace(outcomes[0], cost=None)


def is_rational(net: Definitions) -> bool:
    """Whether the cost is one the reader could have read: it knows no logarithm."""
    return not net.definitions["C"].body.has(sp.log, sp.exp)


def with_run(outcome: Outcome, relation: f.Relation, reading: Reading, world: World) -> Outcome:
    """A refuted step of a rule, with what the rule does instead; a recurrence, with the run of numbers that shows it."""
    if outcome.verdict != "refuted" or world.system not in RULES:
        return outcome
    return replace(outcome, correction=corrected(relation, reading), reason=run_of(relation, reading))


def misshapen(relation: f.Relation, error: Misshapen, world: World) -> Outcome:
    """Shapes that go together at no sizes but ones; the left side alone may still say what would be right."""
    sizes = {size_name(size): "2" for shape in (error.left, error.right) for size in shape if not size.is_Integer}
    shown = Counterexample(sizes, {}, shape_text(error.left), shape_text(error.right))
    instead = None
    with suppress(Ask, Unbindable, Misshapen):
        alone, net = bind(replace(relation, right=relation.left), Reading(), world)
        instead = correction(replace(alone, right=sp.Integer(0)), net)
    return Outcome(
        "refuted", world.system, "shapes", counterexample=shown, correction=instead, reason=error.why, at=relation.at
    )


def shape_text(shape: tuple[sp.Expr, ...]) -> str:
    """A shape where every layer has two units."""
    return f"shape ({', '.join(str(size) if size.is_Integer else '2' for size in shape)})" if shape else "a number"


def decided(bound: Bound, reading: Reading, net: Definitions, refute: bool) -> Outcome:
    """Proof first; without one, the search for a counterexample; without either, an honest word on what was covered."""
    places = frozenset(sp.Tuple(bound.left, bound.right).atoms(sp.Indexed))
    if not has_instance(bound, net):
        return Outcome("unread", reason="no network has every layer that it speaks of", places=places)
    about: set[tuple[Use, sp.Expr]] = set()
    try:
        shown = proof(bound, net, about) if not bound.mismatches else None
    except TooLarge:
        shown = None
    used = frozenset(use for use, _ in about)
    common = Outcome("", system_of(bound, used, net), about=used, places=places, asked=asked(reading))
    if shown:
        words = str(reading) or None
        scope = f"the sizes of the figure: {figure_sizes(bound)}" if bound.fixed else ALL_SIZES
        return replace(
            common,
            verdict="conditional" if words else "proved",
            scope=scope,
            reading=words,
            steps=derivation(bound, net, shown),
        )
    if not refute:
        return replace(common, verdict="unread", reason="not proved")
    found, compared = search(bound, net)
    scope = A_COUNTEREXAMPLE
    if found is None and bound.mismatches:
        found, scope = sizes_that_differ(bound), "shapes"
    if found is None and not compared:
        return replace(common, verdict="unread", reason="too large to work out")
    if found is None:
        return replace(
            common,
            verdict="conditional",
            scope=f"not proved; {compared} exact instances agree",
            reading=str(reading) or None,
        )
    return replace(
        common, verdict="refuted", scope=scope, counterexample=found, correction=correction(bound, net)
    )


def figure_sizes(bound: Bound) -> str:
    return ", ".join(f"{size_name(size)} = {n}" for size, n in bound.fixed.items())


def sizes_that_differ(bound: Bound) -> Counterexample:
    """Where both sides agree as long as the sizes happen to be equal: sizes at which they are not."""
    (one, other), *_ = bound.mismatches
    return Counterexample({size_name(one): "1", size_name(other): "2"}, {}, "shape (1)", "shape (2)")


def system_of(bound: Bound, used: frozenset[Use], net: Definitions) -> str | None:
    """The forward system a relation speaks of: a rule or a cost whose equations it needs, else the network's layer."""
    systems = {system for system, _ in used}
    for name in ("weight_decay", "momentum", "gradient_descent", *COSTS, "logistic", "objective"):
        if name in systems:
            return name
    tensors = [x for x in sp.Tuple(bound.left, bound.right).atoms(sp.Indexed) if not x.base.name.startswith("any ")]
    return net.name if tensors or net.name != "dense" else None


def proof(bound: Bound, net: Definitions, about: set[tuple[Use, sp.Expr]]) -> tuple[Sides, set[sp.Indexed]] | None:
    """Both sides as they are equal for all sizes, and what was replaced by what defines it; None if they are not.

    First as they stand, then with sensitivities unrolled, then also with forward quantities.
    """
    sides = (bound.left, bound.right)
    seen: set[sp.Indexed] = set()
    if not isinstance(net, Network):
        for chosen in (lambda x: x.base.name.startswith("delta_"), lambda x: True):
            opened_ = opened(sides, net, lambda x, chosen=chosen: bool(net.definition(x)) and chosen(x), about, seen)
            if all_equal(*opened_, bound, net):
                return opened_, seen
        return None
    tops = highest_sensitivities(sides, net)
    if isinstance(net, Network) and net.kind.coupled and all_equal(*sides, bound, net):
        return sides, seen
    sides = opened(sides, net, lambda x: is_derived(x, tops, net), about, seen)
    if all_equal(*sides, bound, net):
        return sides, seen
    lows = lowest_quantities(sides, net)

    def chosen(x: sp.Indexed) -> bool:
        return height(x, net) > lows[chain(x)[0]] if is_forward(x, net) else is_derived(x, tops, net)

    sides = opened(sides, net, chosen, about, seen)
    return (sides, seen) if all_equal(*sides, bound, net) else None


def opened(
    sides: Sides,
    net: Definitions,
    chosen: Callable[[sp.Indexed], bool],
    about: set[tuple[Use, sp.Expr]],
    seen: set[sp.Indexed],
) -> Sides:
    """Both sides with the chosen quantities replaced by what defines them; notes what only one of them needed."""
    used: tuple[set[sp.Indexed], set[sp.Indexed]] = (set(), set())
    left, right = (rewrite(side, net, chosen, each) for side, each in zip(sides, used, strict=True))
    about |= told_apart(used, net)
    seen |= used[0] | used[1]
    return left, right


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
