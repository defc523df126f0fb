"""The verdict on a relation: bind it under its readings, prove it, or find the instance that refutes it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from derive.audit.judging.counterexample import Counterexample, search
from derive.audit.judging.notation import correction, derivation
from derive.audit.judging.proof import Proof, Use, proof
from derive.audit.judging.sizes import has_instance
from derive.audit.meaning.binding import RULES, World, bind
from derive.audit.meaning.network import (
    ACTIVATIONS,
    COSTS,
    PAIRS,
    Definitions,
    Extent,
    Network,
    network,
)
from derive.audit.meaning.rules import corrected, run_of
from derive.audit.meaning.scripts import nodes
from derive.audit.meaning.values import Bound, Misshapen, Unbindable, size_name
from derive.audit.meaning.vocabulary import FAILING, MEANINGS, SECTION, Ask, Reading
from derive.audit.syntax import formula as f

ALL_SIZES = "all sizes"
A_COUNTEREXAMPLE = "a counterexample"
FIRST = 6  # instances that are tried before a proof is
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
    depends: tuple[tuple[str, str], ...] = ()  # the same, with what was taken from the section without asking
    steps: tuple[Step, ...] = field(default=(), compare=False)  # how it was proved
    shown: tuple[Bound, Definitions, Proof] | None = field(default=None, compare=False)  # what the steps are made from
    right: bool = False  # of a refuted line: whether only the line before is wrong

    def told(self) -> "Outcome":
        """The outcome with the steps of its proof, and without what holds on to symbols."""
        steps = derivation(*self.shown) if self.shown else self.steps
        return replace(self, steps=steps, shown=None, places=frozenset())

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
    world: World = field(default_factory=World)
    agreed: tuple[tuple[str, str], ...] = ()
    refute: bool = True  # whether what is not proved is to be refuted
    memo: dict[tuple, list["Outcome"]] = field(default_factory=dict, compare=False)  # what was judged before


def judge(relation: f.Relation, context: Context | None = None) -> Outcome:
    """Proved if true as written, conditional if true under a reading, refuted if false under all that were tried."""
    context = context or Context()
    given = dict(context.agreed)
    answers = {question: given.get(question, options[0]) for question, (options, _) in SECTION.items()}
    key = (relation, context.world, context.cost, context.premise, context.refute)
    for known in context.memo.get(key, ()):
        if all(answers[question] == answer for question, answer in known.depends):
            return known
    reading = Reading(agreed=tuple(answers.items()))
    outcome = judged(relation, reading, context)
    depends = tuple((question, answers[question]) for question in sorted(reading.noted & answers.keys()))
    outcome = replace(outcome, depends=depends)
    context.memo.setdefault(key, []).append(outcome)
    return outcome


def judged(relation: f.Relation, reading: Reading, context: Context) -> Outcome:
    """First all readings without a search for counterexamples: what one proves, no other need refute."""
    outcomes: list[Outcome] = []
    for refute in (False, True) if context.refute else (False,):
        try:
            outcomes = list(under_readings(relation, reading, replace(context, refute=refute)))
        except RecursionError:
            return Outcome("unread", reason="it is nested too deeply", at=relation.at)
        if held := [o for o in outcomes if o.holds]:
            return min(held, key=lambda o: (o.verdict == "conditional", telling(o)))
    return min(outcomes, key=lambda o: (o.verdict == "unread", telling(o)))


def corrected_by(relation: f.Relation, context: Context) -> str | None:
    """What the left side of a relation is by the derivation, whatever stands on its right."""
    if any(isinstance(n, f.Matrix) for n in nodes(relation)):
        return relabelled(relation, context)
    found = settled(relation, Reading(agreed=context.agreed), context.world)
    return correction(*found) if found else None


def settled(relation: f.Relation, reading: Reading, world: World) -> tuple[Bound, Definitions] | None:
    """A relation bound under the first answer to each question; None where it has no meaning."""
    while True:
        try:
            return bind(relation, reading, world)
        except Ask as ask:
            reading = reading.with_(ask.question, ask.options[0])
        except (Unbindable, Misshapen):
            return None


def relabelled(figure: f.Relation, context: Context) -> str | None:
    r"""A figure whose `\delta` is another quantity of its layer, as what it is true of."""
    for letters in itertools.product(("z", "a", "delta"), repeat=2):
        sides = zip((figure.left, figure.right), letters, strict=True)
        left, right = (renamed(side, "delta", letter) for side, letter in sides)
        texts = zip(figure.written, letters, strict=True)
        one, other = (text.replace(r"\delta", letter if len(letter) == 1 else rf"\{letter}") for text, letter in texts)
        changed = replace(figure, left=left, right=right, written=(one, other))
        if judge(changed, replace(context, refute=False)).holds:
            return changed.source
    return None


def renamed(node: Any, old: str, new: str) -> Any:
    """The same with one letter for another."""
    if isinstance(node, f.Name):
        return replace(node, text=new) if node.text == old else node
    if isinstance(node, tuple):
        return tuple(renamed(part, old, new) for part in node)
    if isinstance(node, f.Node):
        return replace(node, **{name: renamed(part, old, new) for name, part in vars(node).items()})
    return node


def fails_under(relation: f.Relation, outcome: Outcome, context: Context) -> Outcome:
    """A true formula, with the field's other answers to the questions that it turns on under which it would be false."""
    false = []
    for question, answer in outcome.asked:
        for other in SECTION[question][0] if question in FAILING else ():
            agreed = (*((q, a) for q, a in context.agreed if q != question), (question, other))
            if other != answer and not judge(relation, replace(context, agreed=agreed, refute=False)).holds:
                false.append(FAILING[question].get(other) or MEANINGS[other])
    if not false or not outcome.reading:
        return outcome
    return replace(outcome, reading="; ".join([outcome.reading, *(f"false where {words}" for words in false)]))


def telling(outcome: Outcome) -> int:
    """Less is more: what is decided before what is not, an instance in numbers before shapes that do not fit."""
    return int(outcome.scope not in (ALL_SIZES, A_COUNTEREXAMPLE))


def under_readings(relation: f.Relation, reading: Reading, context: Context) -> Iterator[Outcome]:
    question, options = "", tuple[str, ...]()
    try:
        bound, net = bind(relation, reading, context.world)
    except Ask as ask:
        question, options = ask.question, ask.options
    except Unbindable as error:
        yield Outcome("unread", reason=error.reason, at=error.at, asked=asked(reading))
        return
    except Misshapen as error:
        yield replace(misshapen(relation, error, reading, context.world), asked=asked(reading))
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
    for cost in PAIRS if not context.cost else ():
        words = f"C is the {spaced(cost)} cost, and the last layer's activation the {spaced(PAIRS[cost].name)} function"
        paired = network("dense", cost, paired=True, summed=net.summed)
        outcome = decided(bound, reading.with_("cost", words), paired, False)
        if outcome.verdict == "conditional":
            yield outcome
    for cost in [context.cost] if context.cost else COSTS:
        named = reading
        if not context.premise:
            named = reading.with_("cost", f"C is the {spaced(cost)} cost{context.where}")
        yield from for_any_activation_or_one(bound, named, net, cost, context.refute)


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


def misshapen(relation: f.Relation, error: Misshapen, reading: Reading, world: World) -> Outcome:
    """Shapes that go together at no sizes but ones; the left side alone may still say what would be right."""
    sizes = {size_name(size): "2" for shape in (error.left, error.right) for size in shape if not size.is_Integer}
    shown = Counterexample(sizes, {}, shape_text(error.left), shape_text(error.right))
    alone = settled(replace(relation, right=relation.left), reading, world)
    instead = correction(replace(alone[0], right=sp.Integer(0)), alone[1]) if alone else None
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
    differs, _ = search(bound, net, FIRST) if net.is_rational else (None, 0)
    shown, used = (
        (None, frozenset()) if bound.mismatches or differs else proof(bound, net)
    )  # no use proving what is false
    common = Outcome("", system_of(bound, used, net), about=used, places=places, asked=asked(reading))
    if shown:
        words = str(reading) or None
        scope = f"the sizes of the figure: {figure_sizes(bound)}" if bound.fixed else ALL_SIZES
        return replace(
            common,
            verdict="conditional" if words else "proved",
            scope=scope,
            reading=words,
            shown=(bound, net, shown),
        )
    if not refute:
        return replace(common, verdict="unread", reason="not proved")
    found, compared = search(bound, net) if differs is None else (differs, 1)
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
    return replace(common, verdict="refuted", scope=scope, counterexample=found, correction=correction(bound, net))


def figure_sizes(bound: Bound) -> str:
    return ", ".join(f"${size_name(size)} = {n}$" for size, n in bound.fixed.items() if isinstance(size, Extent))


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
