"""Exact comparison: a form that tells equal expressions, and the smallest instance in which others differ."""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import reduce

import sympy as sp

from derive.audit.excerpt.facts import FALSE, ONE, ZERO, Facts, bounded
from derive.audit.excerpt.vocabulary import BIASES, EARLIER, INDEX, OBJECT_INDEX, SHARES
from derive.audit.judging import exact

MOST_INTEGERS, MOST_REALS, MOST_TRIED = 400, 400, 4_000  # of the instances that may refute
Instance = dict[sp.Basic, sp.Rational]  # the value of every symbol, and of every element of an array
Shown = tuple[Instance, sp.Expr, sp.Expr, int]  # an instance, both sides there, and how far it is from the smallest


def canonical(e: sp.Expr) -> sp.Expr:
    """A form that is 0 if the expression is, by the algebra of quotients and the rules of logarithms."""
    e = bounded(e).replace(sp.exp, lambda x: sp.expand(sp.exp(sp.expand(sp.expand_log(x)))))
    return sp.factor(sp.cancel(sp.together(sp.expand(sp.expand_log(e), log=False))))


def smallest(left: sp.Expr, rights: Sequence[sp.Expr], facts: Facts) -> Shown | None:
    """The first instance, small numbers first, in which the facts hold and the left side differs from every right one."""
    if not facts.possible:
        return None
    named, tried = facts.named, 0
    facts, sides = facts.at(named), sp.Tuple(left, *rights).xreplace(named)
    integers, _ = free(sp.Tuple(sides, *(f.e for f in facts.every)))
    for rank, whole in ranked([choices(s) for s in integers], MOST_INTEGERS):
        at: Instance = dict(zip(integers, whole, strict=True))
        kept = facts.at(at)
        if FALSE in kept.every:
            continue
        there = sides.xreplace(at)
        _, reals = free(sp.Tuple(there, *(f.e for f in kept.every)))
        for more, values in ranked([choices(x) for x in reals], MOST_REALS):
            tried += 1
            if tried > MOST_TRIED:
                return None
            given: Instance = dict(zip(reals, values, strict=True))
            if not kept.at(given).every:
                one, *others = there.xreplace(given)
                if all(differ(one, other) for other in others):
                    at |= given
                    return at | {s: e.xreplace(at) for s, e in named.items()}, one, others[0], rank + more
    return None


def free(e: sp.Basic) -> tuple[list[sp.Symbol], list[sp.Expr]]:
    """The integers in an expression; its real numbers and the elements of arrays."""
    cells = e.atoms(sp.Indexed)
    symbols = {s for s in e.free_symbols - {x.base.label for x in cells} if s.is_Symbol}
    integers = {s for s in symbols if s.is_integer}
    return sorted(integers, key=str), sorted((symbols - integers) | cells, key=str)


def ranked(among: Sequence[Sequence[sp.Rational]], most: int) -> Iterator[tuple[int, list[sp.Rational]]]:
    """Combinations of choices with the sum of their places, which comes out in order."""

    def of_sum(total: int, left: Sequence[Sequence[sp.Rational]]) -> Iterator[list[sp.Rational]]:
        if not left:
            yield from [[]] if total == 0 else []
            return
        for place, value in enumerate(left[0][: total + 1]):
            for rest in of_sum(total - place, left[1:]):
                yield [value, *rest]

    totals = range(sum(len(values) - 1 for values in among) + 1)
    return itertools.islice(((total, found) for total in totals for found in of_sum(total, among)), most)


def choices(x: sp.Expr) -> list[sp.Rational]:
    """The numbers that are tried, small ones first. Outputs lie between 0 and 1, where they are logistic."""
    if x in (INDEX, OBJECT_INDEX):
        return [ZERO]
    if x in SHARES:
        return [ONE, ONE / 2, ONE / 4] if x.is_positive else [ONE / 2, ONE / 4, ONE * 3 / 4, ONE, ZERO]
    if isinstance(x, sp.Indexed) and x.base != BIASES:
        return [ZERO, ONE] if x.base == EARLIER else [ONE / 2, ONE / 4, ONE * 3 / 4]
    numbers = [ONE, ONE * 2, ONE * 3] if x.is_integer else [ONE, ONE * 2, ONE / 2, ONE * 3]
    return numbers if x.is_positive else [ZERO, *numbers] if x.is_nonnegative else [ZERO, *numbers, -ONE]


def differ(one: sp.Expr, other: sp.Expr) -> bool:
    """Whether two numbers certainly differ."""
    try:
        return exact.differ(number(one), number(other))
    except (exact.Inexact, exact.Undefined):
        return False


def number(e: sp.Expr) -> exact.Number:
    """An expression without symbols as an exact number."""
    if isinstance(e, sp.Rational):
        return Fraction(int(e.p), int(e.q))
    if e.is_Add or e.is_Mul:
        return reduce(exact.plus if e.is_Add else exact.times, map(number, e.args))
    if isinstance(e, sp.log):
        return exact.logarithm(number(e.args[0]))
    if isinstance(e, sp.exp | sp.core.numbers.Exp1):
        return exact.exponential(number(e.as_base_exp()[1]))
    if e.is_Pow and e.exp.is_Integer:
        return exact.raised(number(e.base), Fraction(int(e.exp)))
    raise exact.Inexact(type(e).__name__)
