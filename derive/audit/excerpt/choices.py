"""Values that depend on conditions, and the cases that they tell apart."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import sympy as sp

from derive.audit.excerpt.facts import FALSE, ONE, TRUE, ZERO, Facts, fact
from derive.audit.excerpt.reading import Unread
from derive.audit.excerpt.vocabulary import CLASSES

MOST_CASES = 64


class Choice(sp.Expr):
    """`Choice(e, signs, a, b)`: a where the sign of e is one of the signs, else b."""

    is_commutative = is_real = True

    def __new__(cls, e: sp.Expr, signs: Iterable[int], a: sp.Basic, b: sp.Basic) -> sp.Basic:
        if a == b:
            return a
        if not e.has(Choice) and (told := fact(e, signs)) in (TRUE, FALSE):
            return a if told == TRUE else b
        return sp.Expr.__new__(cls, e, sp.Tuple(*sorted(signs)), a, b)


def where(condition: sp.Basic, value: sp.Basic, other: sp.Basic = ZERO) -> sp.Basic:
    """The value where a condition is not 0, else the other."""
    return Choice(condition, (-1, 1), value, other)


def within_classes(n: sp.Expr) -> sp.Basic:
    """1 where n is the number of a class."""
    return where(Choice(n, {0, 1}, ONE, ZERO), Choice(n - CLASSES, {-1}, ONE, ZERO))


def cases(x: sp.Basic, facts: Facts) -> list[tuple[Facts, sp.Basic]]:
    """An expression without its choices, in each case that they tell apart."""
    found = list(itertools.islice(split(x, facts), MOST_CASES + 1))
    if len(found) > MOST_CASES:
        raise Unread("there are too many cases")
    return found


def split(x: sp.Basic, facts: Facts) -> Iterator[tuple[Facts, sp.Basic]]:
    if not x.has(Choice):
        yield facts, x
    elif isinstance(x, Choice):
        e, signs, a, b = x.args
        for middle, tested in split(e, facts):
            for end, truth in middle.decided(fact(tested, signs)):
                yield from split(a if truth else b, end)
    else:
        inside = next(a for a in x.args if a.has(Choice))
        for end, plain in split(inside, facts):
            yield from split(x.func(*(plain if a == inside else a for a in x.args)), end)


def merged(found: Iterable[tuple[Facts, Any]]) -> list[tuple[Facts, Any]]:
    """Cases, each with its facts and its result, without the facts that make no difference to the result."""
    kept: list[tuple[Facts, Any]] = []
    for facts, result in found:
        while near := next((each for each in kept if each[1] == result and each[0].joined(facts)), None):
            kept.remove(near)
            facts = near[0].joined(facts) or facts
        kept.append((facts, result))
    return kept
