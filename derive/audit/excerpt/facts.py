"""What is known of a case: the signs that expressions have."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import sympy as sp

from derive.audit.excerpt.reading import Unread
from derive.audit.excerpt.vocabulary import EARLIER, OUTPUT

MOST_ADDENDS = 100
EVERY = frozenset((-1, 0, 1))
ZERO, ONE = sp.S.Zero, sp.S.One
BEFORE = sp.Dummy("before", real=True)  # the 0 that stands in `delta` before the excerpt


class Unknown(sp.Dummy):
    """A value that the excerpt does not say; its name is the reason."""


def unknown(why: str) -> sp.Symbol:
    return Unknown(why, real=True)


def unknowns(*expressions: sp.Basic) -> list[str]:
    return sorted(s.name for e in expressions for s in e.atoms(Unknown))


@lru_cache(10_000)
def size(e: sp.Basic) -> int:
    """How many parts an expression has, where a number counts by its length."""
    if isinstance(e, sp.Rational):
        return 1 + (int(e.p).bit_length() + int(e.q).bit_length()) // 32
    return 1 + sum(map(size, e.args))


def addends(e: sp.Basic) -> int:
    """A bound of the number of addends that an expression has once it is multiplied out."""
    if isinstance(e, sp.Add):
        return sum(map(addends, e.args))
    if isinstance(e, sp.Mul):
        return int(sp.prod([sp.Integer(addends(a)) for a in e.args]))
    if isinstance(e, sp.Pow) and e.exp.is_Integer:
        return addends(e.base) ** min(abs(int(e.exp)), 20)
    return max([1, *map(addends, e.args)])


def bounded(e: sp.Expr) -> sp.Expr:
    """The expression; raises Unread for one that is too large to multiply out."""
    if addends(e) > MOST_ADDENDS:
        raise Unread("an expression is too large to compare")
    return e


@dataclass(frozen=True)
class Fact:
    """The sign of `e` is one of `signs`."""

    e: sp.Expr
    signs: frozenset[int]

    def at(self, change: Mapping[sp.Basic, sp.Basic]) -> "Fact":
        return fact(self.e.xreplace(change), self.signs)

    @property
    def negated(self) -> "Fact":
        return Fact(self.e, EVERY - self.signs)

    def implies(self, other: "Fact") -> bool:
        if self.e == other.e:
            return self.signs <= other.signs
        mine = self.halves()
        return len(mine) == 1 and any(sp.expand(half - mine[0]).is_nonnegative for half in other.halves())

    def halves(self) -> list[sp.Expr]:
        """Of an integer: what is zero or more if it is not zero itself, one of them at least."""
        sides = (sign * self.e for sign in (-1, 1) if sign in self.signs and self.e.is_integer)
        return [side if 0 in self.signs else side - 1 for side in sides]


TRUE, FALSE = Fact(ONE, EVERY), Fact(ONE, frozenset())


def fact(e: sp.Expr, signs: Iterable[int]) -> Fact:
    """The fact in a form that equal ones share: without factors that do not matter. TRUE or FALSE if that is sure."""
    return shared(e.xreplace({BEFORE: ZERO}), frozenset(map(int, signs)))


@lru_cache(10_000)
def shared(e: sp.Expr, signs: frozenset[int]) -> Fact:
    symmetric = signs == {-s for s in signs}
    e = sp.expand(sp.expand_log(bounded(e))) if e.has(sp.exp, sp.log) else sp.factor(bounded(e))
    factors = [f for f in sp.Mul.make_args(e) if not (f.is_positive or (symmetric and f.is_nonzero))]
    e = sp.Mul(*(sp.S.NegativeOne if f.is_negative else f for f in factors))
    if e.could_extract_minus_sign():
        e, signs = -e, frozenset(-s for s in signs)
    excluded = {1: e.is_nonpositive, 0: e.is_nonzero, -1: e.is_nonnegative}
    possible = frozenset(sign for sign, never in excluded.items() if not never)
    return TRUE if possible <= signs else Fact(e, signs & possible) if possible & signs else FALSE


@dataclass(frozen=True)
class Facts:
    """Facts that hold together, one for each expression."""

    every: tuple[Fact, ...] = ()

    def given(self, *more: Fact) -> "Facts":
        signs = {f.e: f.signs for f in self.every}
        for f in more:
            if f != TRUE:
                signs[f.e] = signs.get(f.e, EVERY) & f.signs
        return Facts(tuple(itertools.starmap(Fact, signs.items())))

    @cached_property
    def equalities(self) -> dict[sp.Basic, sp.Basic]:
        """Symbols that the facts determine, by what they are equal to."""
        found: dict[sp.Basic, sp.Basic] = {}
        for f in self.every:
            e = sp.expand(f.e.xreplace(found)) if f.signs == {0} else ZERO
            for s in sorted(e.free_symbols, key=lambda s: (not isinstance(s, sp.Dummy), str(s))):
                rest = sp.expand(e - e.coeff(s) * s)
                if e.coeff(s) in (1, -1) and not rest.has(s):
                    solved = {s: sp.expand(-rest / e.coeff(s))}
                    found = {k: v.xreplace(solved) for k, v in found.items()} | solved
                    break
        return found

    @property
    def named(self) -> dict[sp.Basic, sp.Basic]:
        """Of them, what has no name in the excerpt."""
        return {s: e for s, e in self.equalities.items() if isinstance(s, sp.Dummy)}

    @cached_property
    def reduced(self) -> "Facts":
        """What else the facts say, with what they determine put in."""
        return self.at(self.equalities)

    def at(self, change: Mapping[sp.Basic, sp.Basic]) -> "Facts":
        return Facts().given(*(f.at(change) for f in self.every))

    @cached_property
    def possible(self) -> bool:
        every = self.reduced.every
        return all(f.signs and not any(other.implies(f.negated) for other in every) for f in every)

    def tell(self, tested: Fact) -> Fact:
        """TRUE or FALSE where the facts tell it, else the fact that is asked for as it stands under them."""
        tested = tested.at(self.equalities)
        if any(f.implies(tested) for f in self.reduced.every):
            return TRUE
        return FALSE if any(f.implies(tested.negated) for f in self.reduced.every) else sure(tested)

    def decided(self, tested: Fact) -> Iterator[tuple["Facts", bool]]:
        """The facts where one more holds and where it does not, without what contradicts them."""
        told = self.tell(tested)
        if told in (TRUE, FALSE):
            yield self, told == TRUE
            return
        for truth, same in ((True, told), (False, told.negated)):
            more = self.given(same)
            if more.possible or not self.possible:  # what was taken for granted in vain stays to be seen
                yield more, truth

    def joined(self, other: "Facts") -> "Facts | None":
        """What holds wherever either's facts do, if they differ in one expression alone."""
        mine, its = ({f.e: f.signs for f in facts.every} for facts in (self, other))
        if sum(mine.get(e) != its.get(e) for e in mine | its) > 1:
            return None
        union = {e: mine.get(e, EVERY) | its.get(e, EVERY) for e in mine | its}
        return Facts(tuple(Fact(e, signs) for e, signs in union.items() if signs != EVERY))


def sure(tested: Fact) -> Fact:
    """TRUE or FALSE where every target that earlier truths left and every output strictly between 0 and 1 agree."""
    cells = tested.e.atoms(sp.Indexed)
    targets = [x for x in cells if x.base == EARLIER]
    if not 1 <= len(targets) <= 2:
        return tested
    outputs = {x: 1 / (1 + sp.Dummy(positive=True)) for x in cells if x.base == OUTPUT}
    chosen = itertools.product((ZERO, ONE), repeat=len(targets))
    found = {tested.at(outputs | dict(zip(targets, each, strict=True))) for each in chosen}
    return found.pop() if found in ({TRUE}, {FALSE}) else tested
