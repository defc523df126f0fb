"""An excerpt under one reading, case by case: what it leaves in an entry of `delta`, and what should be there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import sympy as sp

from derive.audit.excerpt import vocabulary as v
from derive.audit.excerpt.choices import Choice, cases, merged, where, within_classes
from derive.audit.excerpt.comparison import Shown, canonical, smallest
from derive.audit.excerpt.facts import BEFORE, ONE, TRUE, ZERO, Facts, fact, unknowns
from derive.audit.excerpt.reading import Body, Unread
from derive.audit.excerpt.sensitivities import Sensitivity, encoded, sensitivity
from derive.audit.excerpt.statements import Executor


@dataclass(frozen=True)
class Case:
    """What is left in an entry under some facts, and what should be: the sensitivity with its sign, or several that do.

    `at` is the statement that left it (-1: nothing touched it). Without `shown` and `reason` the left side is the first
    right one.
    """

    entry: str
    address: sp.Expr
    facts: Facts
    at: int
    left: sp.Expr
    rights: tuple[sp.Expr, ...]
    shown: Shown | None = None
    reason: str = ""

    def compared(self) -> "Case":
        """Both sides compared: equal, refuted by an instance that is shown, or neither for a reason."""
        left, *rights = sp.Tuple(self.left, *self.rights).xreplace({BEFORE: ZERO})
        change = self.facts.equalities
        try:
            for right in rights:
                if canonical((left - right).xreplace(change)) == 0:
                    return replace(self, rights=(right,))
        except Unread as error:
            return replace(self, reason=error.reason)
        if missing := unknowns(left.xreplace(change), *(f.e for f in self.facts.every)):
            return replace(self, reason=missing[0])
        shown = smallest(left, rights, self.facts)
        return replace(self, shown=shown, reason="" if shown else "neither proved nor refuted")

    @property
    def later(self) -> bool:
        """Whether an earlier truth was assigned."""
        return self.facts.tell(fact(v.LATER, {1})) == TRUE


class Execution:
    """A body run under one reading: the sign of delta, and whether the cost of x and y is half the squared error."""

    def __init__(self, body: Body, sign: int, squared: bool) -> None:
        self.body, self.sign, self.squared = body, sign, squared
        self.of_boxes, self.of_classes = bool(body.names & v.OF_BOXES), bool(body.names & v.OF_CLASSES)
        if self.of_boxes and self.of_classes:
            raise Unread("it names both a box and classes: `index + k*stride` could be either", body.head_at)
        self.executor = Executor(body, sign)
        self.executor.run()
        self.spelled = self.executor.spelled
        self.written = [w for w in self.executor.memory if w.array == v.DELTA]
        self.marked = self.of_classes and any(w.guard.has(v.LATER) for w in self.written)  # it asks for earlier truths

    @cached_property
    def cases(self) -> list[Case]:
        """What is left in every entry, compared with what should be."""
        return [case.compared() for case in self.left()]

    def left(self) -> Iterator[Case]:
        """What is left in every entry; statements that are no function claim only what they write."""
        for entry, address in self.entries():
            found = []
            both = sp.Tuple(self.executor.stored(v.DELTA, address, told=True), self.intended(entry, address))
            for facts, ((at, left), rights) in cases(both, self.granted(entry)):
                fitting = [right for right in rights if sp.expand(left - right) == 0]
                if at >= 0 or self.body.head:
                    found.append((facts, (int(at), left, tuple(fitting[:1] or rights))))
            for facts, result in merged(found):
                yield Case(entry, address, facts, *result)

    def entries(self) -> Iterator[tuple[str, sp.Expr]]:
        """The entries of the kinds that are written, with their addresses."""
        if any(w.address.has(v.OBJECT_INDEX) for w in self.written):
            yield v.OBJECT, v.OBJECT_INDEX
        if any(w.address.has(v.INDEX) for w in self.written):
            if self.of_boxes:
                yield from ((entry, v.INDEX + v.STRIDE * k) for k, entry in enumerate(v.BOX))
            elif self.of_classes:
                yield v.ONE_CLASS, v.INDEX + v.STRIDE * sp.Dummy("n", integer=True)

    def entry_at(self, address: sp.Expr) -> str | None:
        m = v.multiple_at(address)
        if address == v.OBJECT_INDEX or m is None:
            return v.OBJECT if m is None and address == v.OBJECT_INDEX else None
        return dict(enumerate(v.BOX)).get(m) if self.of_boxes else v.ONE_CLASS if self.of_classes else None

    def granted(self, entry: str) -> Facts:
        """What an excerpt takes for granted: that a class exists, that a box has its centre in its cell."""
        found = [] if self.marked else [fact(v.LATER, {0})]
        if entry == v.ONE_CLASS:
            found += [fact(v.CLASSES - n, {1}) for n in (v.CLASS, *({v.N} & self.spelled.keys()))]
        if entry in v.BOX[:2]:
            found += [fact(e, {1}) for e in (self.target(entry), 1 - self.target(entry))]
        return Facts().given(*found)

    def intended(self, entry: str, address: sp.Expr) -> sp.Basic:
        """The sensitivity of an entry with its sign, as a tuple: of several, any will do."""

        def one(target: sp.Expr, weight: sp.Expr = ONE) -> sp.Expr:
            return self.sensitivity(entry, address, target, weight)

        def by_threshold(
            truth: int, ignore: int
        ) -> sp.Basic:  # at a threshold itself it may count as above or as below
            below = [one(ZERO, ZERO)] * (ignore >= 0) + [one(ZERO)] * (ignore <= 0)
            return sp.Tuple(*[one(ONE)] * (truth >= 0), *below * (truth <= 0))

        if entry == v.ONE_CLASS:
            n = v.multiple_at(address)
            right = one(Choice(n - v.CLASS, {0}, ONE, Choice(v.LATER, {1}, v.EARLIER[n], ZERO)))
            return sp.Tuple(where(within_classes(n), right, BEFORE))
        if entry == v.OBJECT:
            above, ignored = v.BEST_IOU - v.TRUTH_THRESH, v.BEST_IOU - v.IGNORE_THRESH
            return by_sign(above, lambda t: by_sign(ignored, lambda i: by_threshold(t, i)))
        return sp.Tuple(one(self.target(entry), self.weight))

    def target(self, entry: str) -> sp.Expr:
        """The target of a box: what decodes to the truth, or tx, ty, ... where the excerpt does not work them out."""
        named = v.NAMES[v.TARGET[entry]]
        return named if named in self.spelled else encoded(entry)

    @cached_property
    def weight(self) -> sp.Expr:
        """The weight of a box: `scale`, or else what the first statement multiplies by, or 1."""
        if "scale" in self.body.names:
            return self.executor.held("scale").e
        for w in self.written:
            entry, (_, e) = self.entry_at(w.address), cases(w.e, Facts())[0]
            if entry in v.TARGET and not unknowns(e):
                e = canonical(e / self.sensitivity(entry, w.address, self.target(entry), ONE))
                return ONE if e.has(v.OUTPUT) or e.is_nonpositive else e
        return ONE

    def sensitivity(self, entry: str, address: sp.Expr, target: sp.Expr, weight: sp.Expr) -> sp.Expr:
        return self.sign * self.derivation(entry).at(v.OUTPUT[address], target, weight)

    def derivation(self, entry: str) -> Sensitivity:
        return sensitivity(entry, self.squared and entry in v.BOX[:2])


def by_sign(e: sp.Expr, of: Callable[[int], sp.Basic]) -> sp.Basic:
    """What there is of each sign of an expression."""
    return Choice(e, {1}, of(1), Choice(e, {0}, of(0), of(-1)))
