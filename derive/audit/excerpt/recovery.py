"""The cost behind a document's excerpts: what they leave in `delta`, integrated, term by term.

An excerpt is executed as for its verdict (`cases`). What it leaves in an entry, in each of its cases, is integrated by
the calculus over the entry's output, as `yolo` defines it from the raw input. The kind of what comes out is told by the
costs that are defined by themselves; only then is the sum set beside `yolo_cost`, of which nothing went into it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import sympy as sp

from derive.audit.excerpt import vocabulary as v
from derive.audit.excerpt.cases import Case, Execution
from derive.audit.excerpt.choices import cases
from derive.audit.excerpt.comparison import canonical
from derive.audit.excerpt.facts import BEFORE, ZERO, fact, unknowns
from derive.audit.excerpt.printing import CPrinter
from derive.audit.excerpt.reading import Unread, assigns_to_delta, parsed
from derive.audit.excerpt.sensitivities import decoded, output, sensitivity
from derive.audit.source.document import Formula, read_document
from derive.calculus.equation import Equation, equations_for, size_of
from derive.calculus.recovery import NoCost, Recovered, Sensitivity, generalised, is_zero, recovered
from derive.forward.logistic_cross_entropy import logistic_cross_entropy
from derive.forward.quadratic import quadratic
from derive.forward.yolo import yolo
from derive.forward.yolo_cost import yolo_cost

KINDS = {"cross-entropy": logistic_cross_entropy, "half the squared error": quadratic}
ENTRIES = (*v.BOX, v.OBJECT, v.ONE_CLASS)


@dataclass(frozen=True)
class Part:
    """The cost of an entry in one case of an excerpt.

    `found` has the target and the weight that the excerpt has, `general` tensors for those that are no numbers; `target` and
    `weight` are the excerpt's, in C. `source` is the statement, in `line` of the document (empty and 0 where nothing is
    assigned); `where` says, in C, in which case, `later` whether an earlier truth was assigned. `decodes`: of a box,
    whether the target is the output that is decoded to the truth. `intended`: whether minus the derivative of `yolo_cost` at
    this target and weight, as the calculus derives it, is what the excerpt leaves.
    """

    excerpt: str
    line: int
    source: str
    where: tuple[str, ...]
    later: bool
    found: Recovered
    general: Recovered
    target: str
    weight: str
    decodes: bool
    intended: bool


@dataclass(frozen=True)
class Term:
    """What one kind of output adds to the cost; `reason` says why there is no cost."""

    entry: str
    parts: tuple[Part, ...]
    reason: str = ""

    @property
    def output(self) -> sp.Indexed:
        return own_equation(self.entry).target

    @cached_property
    def kind(self) -> str | None:
        """The kind of all parts that count; None if it is none that is known, or they do not agree."""
        kinds = {part.found.name for part in self.parts if part.found.integrand != 0}
        return kinds.pop() if len(kinds) == 1 and not self.reason else None

    @cached_property
    def equation(self) -> Equation | None:
        """The term in the cost of a sample, of any target and weight: summed over predictions, and over classes."""
        if self.kind not in KINDS:
            return None
        system, (target, weight) = KINDS[self.kind], data(self.entry)
        (of_one,) = system.equations[0].terms
        (a,), (t,) = system.inputs, system.targets
        sample, *summed = self.output.indices
        body = weight * of_one.body.xreplace({a: self.output, t: target})
        left = defined_term(self.entry).target.base[sample]
        (found,) = equations_for(left, sp.Sum(body, *((i, 0, size_of(i) - 1) for i in summed)))
        return found

    @cached_property
    def is_defined(self) -> bool:
        """Whether `yolo_cost` has this term."""
        its = defined_term(self.entry)
        if self.equation is None or len(its.terms) != 1:
            return False
        (mine,), (other,) = self.equation.terms, its.terms
        return mine.over == other.over and is_zero(mine.body - other.body)


@dataclass(frozen=True)
class RecoveredCost:
    """The terms that a document's excerpts state, in the order of the outputs; `unread` is what could not be read."""

    document: str
    terms: tuple[Term, ...]
    unread: tuple[str, ...] = ()

    @property
    def parts(self) -> list[Part]:
        return [part for term in self.terms for part in term.parts]

    @cached_property
    def total(self) -> Equation | None:
        """The cost of a sample. None if one of its terms is missing."""
        found = [term.equation for term in self.terms]
        if not all(found):
            return None
        (total,) = equations_for(yolo_cost.outputs[0], sp.Add(*(e.target for e in found if e)))
        return total

    @cached_property
    def weights_agree(self) -> bool:
        """Whether outputs that share a weight in `yolo_cost` have one weight in the excerpts."""
        shared: dict[sp.Indexed, list[Term]] = {}
        for term in self.terms:
            shared.setdefault(data(term.entry)[1], []).append(term)
        several = [terms for weight, terms in shared.items() if len(terms) > 1 or terms[0].output.rank > weight.rank]
        return all(len({part.weight for term in terms for part in term.parts}) <= 1 for terms in several)

    @cached_property
    def is_defined(self) -> bool:
        """Whether it is `yolo_cost`: each of its terms, and their sum."""
        same = self.total is not None and is_zero(self.total.expression() - yolo_cost.equations[-1].expression())
        return same and self.weights_agree and all(term.is_defined for term in self.terms)

    @property
    def decodes(self) -> bool:
        """Whether the targets of boxes are the outputs that are decoded to the truth."""
        return all(part.decodes for part in self.parts)

    @property
    def is_gradient(self) -> bool:
        """Whether minus the derivative of `yolo_cost` is all that the excerpts leave."""
        every = not self.unread and not any(term.reason for term in self.terms)
        return every and all(part.intended for part in self.parts)

    @property
    def proved(self) -> bool:
        """Whether all of it holds."""
        return self.is_defined and self.decodes and self.is_gradient


def excerpts(path: Path) -> list[Formula]:
    """The excerpts of C in a document's sections about `yolo`."""
    return [f for f in read_document(path) if f.kind == "code" and f.section.system == yolo.name]


def recovered_cost(formulas: Sequence[Formula], document: str = "document") -> RecoveredCost:
    """The cost whose sensitivities excerpts state. Nothing is raised: what is no gradient or cannot be read is a reason."""
    parts: dict[str, list[Part]] = {entry: [] for entry in ENTRIES}
    reasons: dict[str, str] = {}
    unread: list[str] = []
    for formula in formulas:
        try:
            left = left_by(formula.source)
        except Unread as error:
            unread.append(f"{formula.id} ({formula.place(error.at)}): {error.reason}")
            continue
        for run, case in left:
            if case.left == BEFORE and not within_classes(case):
                continue
            try:
                parts[case.entry].append(part(run, case, formula))
            except (NoCost, Unread) as error:
                reasons.setdefault(case.entry, f"{formula.id} ({formula.place(max(case.at, 0))}): {error}")
    terms = tuple(Term(e, settled(parts[e], reasons.get(e, "")), reasons.get(e, "")) for e in ENTRIES)
    none = "no excerpt says what its sensitivity is"
    terms = tuple(term if term.parts or term.reason else replace(term, reason=none) for term in terms)
    return RecoveredCost(document, terms, tuple(unread))


@lru_cache(64)
def left_by(text: str) -> list[tuple[Execution, Case]]:
    """What an excerpt leaves in each case, `delta` being minus the derivative of the cost; raises Unread."""
    bodies = [body for body in parsed(text) if any(map(assigns_to_delta, body.walk()))]
    runs = [Execution(body, -1, False) for body in bodies]
    return [(run, case) for run in runs for case in run.cases]


@lru_cache(256)
def integrated(own: Sensitivity, entry: str) -> tuple[Recovered, Recovered]:
    """The cost of one output with the target and the weight that stand in its sensitivity, and with those of `yolo_cost`."""
    (found,) = recovered([own], KINDS)
    return found, generalised(found, KINDS, *data(entry))


def settled(parts: Sequence[Part], reason: str) -> tuple[Part, ...]:
    """The parts of a first truth, and of later ones if the first leaves what they take to stand there."""
    first = [part for part in parts if not part.later]
    later = [part for part in parts if part.later]
    return (*first, *(later if not reason and all(part.intended for part in first) else ()))


def part(run: Execution, case: Case, formula: Formula) -> Part:
    """The cost of an entry in one case; raises NoCost if there is none, Unread for what is not understood."""
    if missing := unknowns(case.left.xreplace(case.facts.equalities)):
        raise Unread(missing[0])
    if not within_classes(case):
        raise NoCost("it writes beyond the classes")
    own, *others = read_by(run, case)
    for each in others:
        recovered([own, each], KINDS)
    if others:
        raise NoCost("it is a gradient, but of a cost that is no sum of terms of one output each")
    found, general = integrated(own, case.entry)
    target = ZERO if found.target is None else found.target
    derived = -sensitivity(case.entry).at(own.output, target, found.weight)
    decodes = case.entry not in v.BOX or found.target is None or decodes_to_truth(case.entry, target)
    source, line = statement(run, case, formula)
    c = CPrinter({**run.spelled, **dict.fromkeys(case.address.atoms(sp.Dummy), "k")})
    return Part(
        formula.id, line, source, tuple(where(run, case, c)), case.later, found, general,
        c.doprint(sp.logcombine(target)), c.doprint(found.weight), decodes,
        not case.shown and not case.reason and is_zero(derived - own.delta),
    )  # fmt: skip


def read_by(run: Execution, case: Case) -> Iterator[Sensitivity]:
    """The sensitivity that a case leaves, then those of all other outputs that it reads, in each of their cases."""
    same = case.facts.equalities
    cell, left = (e.xreplace(same) for e in (v.OUTPUT[case.address], case.left.xreplace({BEFORE: ZERO})))
    others = sorted((x for x in left.atoms(sp.Indexed) if x.base == v.OUTPUT and x != cell), key=str)
    places = {cell: place(case.entry)}
    for x in others:
        (address,) = x.indices
        entry = run.entry_at(address)
        if entry is None:
            raise NoCost(
                f"it reads `{CPrinter(run.spelled).doprint(x)}`, which is no output of which it has a sensitivity"
            )
        places[x] = place(entry, v.multiple_at(address))
    change = {x: output for x, (_, output, _) in places.items()}
    yield Sensitivity(left.xreplace(change), *places[cell])
    for x in others:
        for _, e in cases(run.executor.stored(v.DELTA, x.indices[0]), case.facts):
            yield Sensitivity(e.xreplace({BEFORE: ZERO}).xreplace(same).xreplace(change), *places[x])


def place(entry: str, at_class: sp.Expr | None = None) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """The raw input of an entry, its output, and the one in terms of the other."""
    equation = own_equation(entry)
    value = equation.expression()
    (raw,) = value.atoms(sp.Indexed)
    index = equation.target.indices[-1]
    change = {index: at_class} if entry == v.ONE_CLASS and at_class is not None else {}
    return raw.xreplace(change), equation.target.xreplace(change), value.xreplace(change)


def own_equation(entry: str) -> Equation:
    """The output of an entry from its raw input."""
    return next(e for e in yolo.equations if e.name == entry)


def defined_term(entry: str) -> Equation:
    """The term of `yolo_cost` that an output has."""
    return next(e for e in yolo_cost.equations if entry in e.reads())


def data(entry: str) -> tuple[sp.Indexed, sp.Indexed]:
    """The target and the weight that an output has in its term of `yolo_cost`."""
    read = [t for t in yolo_cost.targets if t.base.name in defined_term(entry).reads()]
    (target,) = (t for t in read if t.base.name == f"{entry}_true")
    (weight,) = (t for t in read if t != target)
    return target, weight


def decodes_to_truth(entry: str, target: sp.Expr) -> bool:
    """Whether the output of a box that is its target is decoded to the truth."""
    return canonical(decoded(entry)[0].xreplace({output: target}) - v.NAMES[v.TRUTH[entry]]) == 0


def within_classes(case: Case) -> bool:
    """Whether a case may be of an output; there are none beyond the classes."""
    if case.entry != v.ONE_CLASS:
        return True
    k = v.multiple_at(case.address)
    return case.facts.given(fact(k, {0, 1}), fact(k - v.CLASSES, {-1})).possible


def statement(run: Execution, case: Case, formula: Formula) -> tuple[str, int]:
    """The statement that left a case, and the line of the document that it stands in."""
    for node in run.body.walk():
        if assigns_to_delta(node) and run.body.offset(node.lvalue) == case.at:
            place = formula.place(case.at).split(",")[0]
            return run.body.source(node.lvalue), int(place.removeprefix("line "))
    return "", 0


def where(run: Execution, case: Case, c: CPrinter) -> Iterator[str]:
    """What tells a case apart, in C."""
    granted = run.granted(case.entry).every
    within = {v.CLASSES, *case.address.atoms(sp.Dummy)}  # that k is one of the classes
    for f in case.facts.every:
        if f not in granted and not f.e.has(v.LATER) and not f.e.free_symbols <= within:
            yield c.fact(f)
