"""Exact numbers: rational ones, with logarithms of primes, with square roots and powers of e; intervals where none serves.

Logarithms of primes are independent of one another over the rationals, as are roots of whole numbers without square
factors, and powers of e with different exponents (Lindemann, Weierstrass). So two such numbers are equal only if they are
written alike. An interval holds its number; two that do not meet hold different ones.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import sympy as sp
from mpmath import iv, mpf, nstr
from mpmath.ctx_iv import ivmpf

LARGEST = 4000  # bits of a number that is worked with


class Undefined(ValueError):
    """A component that does not exist in this instance."""


class Inexact(ValueError):
    """A value that is not rational, or too large to work with."""


@dataclass(frozen=True)
class Logarithms:
    """A rational number plus rational multiples of logarithms of primes, which are independent of one another."""

    rational: Fraction
    of: tuple[tuple[int, Fraction], ...] = ()  # by prime, none of them zero

    @staticmethod
    def of_number(x: Fraction) -> "Logarithms":
        if x <= 0:
            raise Undefined("the logarithm of a number that is not positive")
        if max(x.numerator, x.denominator) > 10**9:
            raise Inexact("a number too large to take its logarithm")
        factors = sp.factorint(x.numerator) | {p: -k for p, k in sp.factorint(x.denominator).items()}
        return Logarithms(Fraction(0), tuple(sorted((int(p), Fraction(int(k))) for p, k in factors.items())))

    def combined(self, other: "Logarithms", times: Fraction) -> "Logarithms":
        total = dict(self.of)
        for prime, k in other.of:
            total[prime] = total.get(prime, Fraction(0)) + times * k
        return Logarithms(
            self.rational + times * other.rational, tuple(sorted((p, k) for p, k in total.items() if k != 0))
        )

    def __str__(self) -> str:
        terms = [str(self.rational)] if self.rational else []
        terms += [f"{k} log {p}" if k not in (1, -1) else f"{'-' if k < 0 else ''}log {p}" for p, k in self.of]
        return " + ".join(terms).replace("+ -", "- ") or "0"


# As SymPy's: with square roots or powers of e. As an interval: what has no exact form, such as a product of logarithms.
Number: TypeAlias = "Fraction | Logarithms | sp.Expr | iv.mpf"
iv.dps = 60


def plus(one: Number, other: Number) -> Number:
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one + other
    if is_interval(one) or is_interval(other):
        return as_interval(one) + as_interval(other)
    if isinstance(one, sp.Expr) or isinstance(other, sp.Expr):
        return rooted(as_expression(one) + as_expression(other))
    return plain(as_logarithms(one).combined(as_logarithms(other), Fraction(1)))


def times(one: Number, other: Number) -> Number:
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one * other
    if is_interval(one) or is_interval(other) or (isinstance(one, Logarithms) and isinstance(other, Logarithms)):
        return as_interval(one) * as_interval(other)
    if isinstance(one, sp.Expr) or isinstance(other, sp.Expr):
        return rooted(as_expression(one) * as_expression(other))
    scalar, logs = (one, other) if isinstance(one, Fraction) else (other, one)
    assert isinstance(scalar, Fraction)
    return plain(Logarithms(Fraction(0)).combined(as_logarithms(logs), scalar))


def raised(base: Number, power: Fraction) -> Number:
    """A whole or half power; raises Undefined for a division by zero or the root of a negative number."""
    if power.denominator > 2:
        raise Inexact("a root that is not a square one")
    if isinstance(base, Logarithms) or is_interval(base):
        return power_of_interval(as_interval(base), power)
    size = base.numerator.bit_length() if isinstance(base, Fraction) else 1
    if abs(power) * size > LARGEST:
        raise Inexact("a number too large to work with")
    if base == 0 and power < 0:
        raise Undefined("a division by zero")
    if isinstance(base, sp.Expr):
        if power.denominator != 1:
            raise Inexact("a root of a root")
        return rooted(base ** int(power))
    if power.denominator == 1:
        return base ** int(power)
    if base < 0:
        raise Undefined("a root of a negative number")
    return rooted(sp.Rational(base.numerator, base.denominator) ** sp.Rational(power.numerator, 2))


def power_of_interval(base: Any, power: Fraction) -> Number:
    if base.a <= 0 and (power < 0 or power.denominator == 2):
        raise Undefined("a root or a division that is not certain to exist")
    return base ** int(power) if power.denominator == 1 else iv.sqrt(base) ** int(2 * power)


def logarithm(x: Number) -> Number:
    """The natural logarithm; raises Undefined for what is not certain to be positive."""
    if isinstance(x, Fraction):
        return plain(Logarithms.of_number(x))
    enclosed = as_interval(x)
    if enclosed.a <= 0:
        raise Undefined("the logarithm of a number that is not certain to be positive")
    return iv.log(enclosed)


def exponential(x: Number) -> Number:
    """e to the power of a number: rational where that is a multiple of logarithms."""
    if is_interval(x):
        return iv.exp(x)
    if isinstance(x, Fraction) and x != 0:
        return sp.exp(as_expression(x))
    logs = as_logarithms(x)
    if logs.rational or any(k.denominator != 1 or abs(k) > 20 for _, k in logs.of):
        return iv.exp(as_interval(x))
    return math.prod((Fraction(p) ** int(k) for p, k in logs.of), start=Fraction(1))


def is_interval(x: Number) -> bool:
    return isinstance(x, ivmpf)


def as_interval(x: Number) -> Any:
    """An interval that holds the number."""
    if is_interval(x):
        return x
    if isinstance(x, sp.Expr):
        raise Inexact("an interval beside roots or powers of e")
    logs = as_logarithms(x)
    total = iv.mpf(logs.rational.numerator) / logs.rational.denominator
    for prime, k in logs.of:
        total += iv.log(prime) * k.numerator / k.denominator
    return total


def as_expression(x: Number) -> sp.Expr:
    if isinstance(x, Logarithms):
        raise Inexact("logarithms beside roots")
    return x if isinstance(x, sp.Expr) else sp.Rational(x.numerator, x.denominator)


def rooted(e: sp.Expr) -> Number:
    """Multiples of roots of whole numbers without square factors, or a rational function of powers of e."""
    e = sp.cancel(sp.together(e)) if e.has(sp.exp) else sp.expand(sp.radsimp(sp.expand(e)))
    return Fraction(int(e.p), int(e.q)) if isinstance(e, sp.Rational) else e


def as_logarithms(x: Number) -> Logarithms:
    if isinstance(x, sp.Expr):
        raise Inexact("logarithms beside roots")
    return x if isinstance(x, Logarithms) else Logarithms(x)


def plain(x: Logarithms) -> Number:
    return x if x.of else x.rational


def differ(one: Number, other: Number) -> bool:
    """Whether two values differ: of powers of e and roots, whether their difference is zero once multiplied out.

    Powers of e with different exponents are independent (Lindemann, Weierstrass), as are roots without square factors.
    Intervals differ where they do not meet; raises Inexact where they do.
    """
    if is_interval(one) or is_interval(other):
        if 0 in as_interval(one) - as_interval(other):
            raise Inexact("intervals that meet")
        return True
    if not isinstance(one, sp.Expr) and not isinstance(other, sp.Expr):
        return one != other
    gap = sp.together(as_expression(one) - as_expression(other))
    return sp.expand(sp.radsimp(sp.expand(sp.numer(gap)))) != 0


def shown(x: Number) -> str:
    """A value as text; of an interval, the digits that its ends share."""
    if not is_interval(x):
        return str(x)
    enclosed = as_interval(x)
    low, high = (nstr(mpf(end), 15) for end in (enclosed.a, enclosed.b))
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return "".join(digit for digit, _ in shared)[:12] + "..."
