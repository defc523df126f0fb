"""Exact instances of a network, and the search for the smallest one at which two sides differ.

An instance is a depth, sizes and rational values, an activation that is a polynomial with rational coefficients, and a
cost with a given gradient at the last layer. Both sides are evaluated component by component from the definitions alone
(the proofs' rewriting and normal forms play no part), in rational arithmetic: what differs here is a counterexample.
Roots stay rational because epsilon is chosen so that they are; exponentials, because logarithms are drawn.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any, TypeAlias

import sympy as sp
from mpmath import iv, mpf, nstr
from mpmath.ctx_iv import ivmpf

from derive.audit.meaning.network import (
    Definition,
    Definitions,
    Extent,
    channels,
    columns,
    epsilon,
    first_largest,
    last,
    layer,
    rows,
    samples,
    sigma,
    slope,
    stem,
    units,
    width,
    window,
)
from derive.audit.meaning.values import Bound, nonnegative, size_name
from derive.calculus.equation import Maximum, tensor

Polynomial = tuple[int, ...]  # coefficients, constant first
ACTIVATIONS: tuple[Polynomial, ...] = ((0, 0, 1), (1, -1, 1), (0, 1, 0, 1))
NETWORKS = 3  # choices of the depth and the layer l
WIDEST = 2  # units of a layer
OF_EACH = 2  # shapes of each depth and window, at least
ATTEMPTS = 3  # sets of values for each choice of sizes
MOST_INSTANCES = 300
MOST_PLANES = 60  # instances of networks of planes, which take longer
MOST_STEPS = 100_000  # of one instance's evaluation
MOST_IN_ALL = 600_000  # of a whole search
LARGEST = 4000  # bits of a number that is worked with
Sizes = dict[tuple[str, int], int]  # by the name of the size and the layer


class Undefined(ValueError):
    """A component that does not exist in this instance."""


class Inexact(ValueError):
    """A value that is not rational, or too large to work with."""


@dataclass(frozen=True)
class Counterexample:
    """Sizes and values by name, as text; the component at which the sides differ; both sides' values there."""

    sizes: dict[str, str]
    values: dict[str, str]
    left: str
    right: str

    def as_dict(self) -> dict[str, object]:
        return {"sizes": self.sizes, "values": self.values, "left": self.left, "right": self.right}


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


@dataclass
class Instance:
    """One network in numbers, in which components are worked out as they are asked for."""

    network: Definitions
    depth: int
    layer: int | None
    extents: Sizes
    samples: int
    activation: Polynomial
    seed: int
    window: int = 1
    values: dict[tuple, Number] = field(default_factory=dict)  # what was asked for, drawn when asked
    known: dict[tuple, Number] = field(default_factory=dict)
    touched: set[tuple] = field(default_factory=set)
    steps: Iterator[int] = field(default_factory=itertools.count)

    def value(self, e: sp.Expr, at: dict[sp.Symbol, int] | None = None) -> Fraction:
        """The value of an expression that is rational; raises Inexact where it is not."""
        found = self.evaluate(e, at or {})
        if not isinstance(found, Fraction):
            raise Inexact("a logarithm or a root")
        return found

    def whole(self, e: sp.Expr, at: dict[sp.Symbol, int] | None = None) -> int:
        found = self.value(e, at)
        if found.denominator != 1:
            raise Undefined(f"{e} is no whole number")
        return int(found)

    def evaluate(self, e: sp.Expr, at: dict[sp.Symbol, int]) -> Number:
        """The value of an expression; raises Undefined where it reads what does not exist."""
        if next(self.steps) > MOST_STEPS:
            raise Inexact("too much to work out")
        if isinstance(e, sp.Rational):
            return Fraction(int(e.p), int(e.q))
        if isinstance(e, sp.Symbol):
            return self.symbol(e, at)
        if isinstance(e, sp.Add):
            total: Number = Fraction(0)
            for a in e.args:
                total = plus(total, self.evaluate(a, at))
            return total
        if isinstance(e, sp.Mul):
            product: Number = Fraction(1)
            for a in sorted(e.args, key=lambda a: not isinstance(a, sp.KroneckerDelta | nonnegative)):
                product = times(product, self.evaluate(a, at))
                if product == 0 and isinstance(a, sp.KroneckerDelta | nonnegative):
                    return product
            return product
        if isinstance(e, sp.Pow):
            return self.power(self.evaluate(e.base, at), self.value(e.exp, at))
        if isinstance(e, sp.Sum):
            (k, low, high), *others = e.limits
            body = sp.Sum(e.function, *others) if others else e.function
            total = Fraction(0)
            for i in range(self.whole(low, at), self.whole(high, at) + 1):
                total = plus(total, self.evaluate(body, at | {k: i}))
            return total
        if isinstance(e, Maximum):
            return max(v for v, _ in self.candidates(e, at))
        if isinstance(e, first_largest):
            return Fraction(self.first_place(e.args[0], at)[e.args[0].limits[int(e.args[1])][0]])
        if isinstance(e, sp.Piecewise):
            for value, condition in e.args:
                if condition == True or self.holds(condition, at):  # noqa: E712
                    return self.evaluate(value, at)
            raise Undefined("no case applies")
        if isinstance(e, sp.KroneckerDelta):
            one, other = (self.value(i, at) for i in e.args)
            return Fraction(one == other)
        if isinstance(e, nonnegative):
            return Fraction(self.value(e.args[0], at) >= 0)
        if isinstance(e, Extent):
            return Fraction(self.extent(type(e).__name__, self.whole(e.args[0], at)))
        if isinstance(e, sigma):
            return self.polynomial(self.activation, self.evaluate(e.args[0], at))
        if isinstance(e, slope):
            derived = tuple(power * c for power, c in enumerate(self.activation))[1:]
            return self.polynomial(derived, self.evaluate(e.args[0], at))
        if isinstance(e, sp.exp):
            return self.exponential(self.evaluate(e.exp, at))
        if isinstance(e, sp.log):
            return self.logarithm(self.evaluate(e.args[0], at))
        if isinstance(e, sp.tanh):
            return self.evaluate(e.rewrite(sp.exp), at)
        if isinstance(e, sp.Indexed):
            return self.component(e.base.name, tuple(self.whole(i, at) for i in e.indices))
        raise Inexact(type(e).__name__)

    def power(self, base: Number, power: Fraction) -> Number:
        if power.denominator > 2:
            raise Inexact("a root that is not a square one")
        if isinstance(base, Logarithms) or is_interval(base):
            return self.of_interval(as_interval(base), power)
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

    def logarithm(self, x: Number) -> Number:
        if isinstance(x, Fraction):
            return plain(Logarithms.of_number(x))
        enclosed = as_interval(x)
        if enclosed.a <= 0:
            raise Undefined("the logarithm of a number that is not certain to be positive")
        return iv.log(enclosed)

    def of_interval(self, base: Any, power: Fraction) -> Number:
        if base.a <= 0 and (power < 0 or power.denominator == 2):
            raise Undefined("a root or a division that is not certain to exist")
        return base ** int(power) if power.denominator == 1 else iv.sqrt(base) ** int(2 * power)

    def exponential(self, x: Number) -> Number:
        if is_interval(x):
            return iv.exp(x)
        if isinstance(x, Fraction) and x != 0:
            return sp.exp(as_expression(x))
        logs = as_logarithms(x)
        if logs.rational or any(k.denominator != 1 or abs(k) > 20 for _, k in logs.of):
            return iv.exp(as_interval(x))
        return math.prod((Fraction(p) ** int(k) for p, k in logs.of), start=Fraction(1))

    def holds(self, condition: sp.Basic, at: dict[sp.Symbol, int]) -> bool:
        if isinstance(condition, sp.And | sp.Or):
            return (all if isinstance(condition, sp.And) else any)(self.holds(c, at) for c in condition.args)
        if not isinstance(condition, sp.core.relational.Relational):
            raise Inexact(type(condition).__name__)
        gap = self.value(condition.lhs - condition.rhs, at)
        return bool(condition.func(sp.Rational(gap.numerator, gap.denominator), 0))

    def candidates(self, e: Maximum, at: dict[sp.Symbol, int]) -> list[tuple[Fraction, dict[sp.Symbol, int]]]:
        """What the maximum is taken of, in order, each with its place."""
        letters = [k for k, *_ in e.limits]
        ranges = [range(self.whole(low, at), self.whole(high, at) + 1) for _, low, high in e.limits]
        places = [dict(zip(letters, place, strict=True)) for place in itertools.product(*ranges)]
        body, condition = e.function, sp.true
        if isinstance(body, sp.Piecewise):  # what lies outside of the plane is not among them
            body, condition = body.args[0]
        inside = [p for p in places if condition == True or self.holds(condition, at | p)]  # noqa: E712
        return [(self.value(body, at | place), place) for place in inside]

    def polynomial(self, coefficients: Polynomial, x: Number) -> Number:
        if isinstance(x, Fraction) and x.numerator.bit_length() > LARGEST:
            raise Inexact("a number too large to work with")
        total: Number = Fraction(0)
        for c in reversed(coefficients):
            total = plus(times(total, x), Fraction(c))
        return total

    def symbol(self, s: sp.Symbol, at: dict[sp.Symbol, int]) -> Number:
        if s in at:
            return Fraction(at[s])
        if s == layer and self.layer is not None:
            return Fraction(self.layer)
        given = {last: self.depth, samples: self.samples, window: self.window}
        if s in given:
            return Fraction(given[s])
        if s == width:
            return Fraction(self.extent("units", 1))
        if s == epsilon and self.network.kind.coupled:
            return self.epsilon()
        if s.is_integer:
            raise Undefined(f"{s} has no value")
        return self.drawn((s.name,))

    def extent(self, name: str, at: int) -> int:
        if not 1 <= at <= self.depth:
            raise Undefined(f"there is no layer {at}")
        return self.extents.get((name, at), 1)

    def epsilon(self) -> Fraction:
        """Such a number that the deviation of each feature, the root of its variance and this, is rational."""
        key = ("epsilon",)
        if key not in self.values:
            at = self.layer or 2
            variances = sorted({self.value(tensor("var")[at, c]) for c in range(self.extent("units", at))})
            if len(variances) > 2:
                raise Inexact("a root that is not rational")
            low, high = variances[0], variances[-1]
            root = Fraction(math.isqrt(int(low)) + 1) if low == high else None
            for step in range(1, 100):  # s^2 - t^2 = high - low, with s - t small enough that s^2 exceeds high
                s = root or ((high - low) * step + Fraction(1, step)) / 2
                if s * s > high:
                    self.values[key] = s * s - high
                    break
        self.touched.add(key)
        found = self.values[key]
        assert isinstance(found, Fraction)
        return found

    def component(self, name: str, at: tuple[int, ...]) -> Number:
        """A tensor's component: by its definition, or drawn if it has none."""
        key = (name, *at)
        if key not in self.known:
            if not self.check(name, at):
                return Fraction(0)
            definition = None if self.given(name, at) else self.network.definitions.get(name)
            if name in self.network.at_last and at[0] == self.depth:
                definition = self.network.at_last[name]
            if "_at_" in name:
                self.known[key] = self.winner(name, at)
            elif definition is None:
                self.known[key] = self.drawn(key)
            else:
                self.known[key] = self.of(definition, at).evaluate(definition.body, self.place(definition, at))
        return self.known[key]

    def of(self, definition: Definition, at: tuple[int, ...]) -> "Instance":
        """The same instance where layer l is the one that a definition speaks of."""
        place = dict(zip(definition.at, at, strict=True))
        return replace(self, layer=place.get(layer, self.layer)) if not self.network.kind.coupled else self

    def place(self, definition: Definition, at: tuple[int, ...]) -> dict[sp.Symbol, int]:
        place = dict(zip(definition.at, at, strict=True))
        return place if self.network.kind.coupled else {s: i for s, i in place.items() if s != layer}

    def winner(self, name: str, at: tuple[int, ...]) -> Fraction:
        """Where the largest stands first, along one of the indices that it is sought over."""
        of, _, letter = name.partition("_at_")
        definition = self.network.definitions[of]
        place = self.of(definition, at).first_place(definition.body, self.place(definition, at))
        return Fraction(next(i for k, i in place.items() if k.name == letter))

    def first_place(self, e: Maximum, at: dict[sp.Symbol, int]) -> dict[sp.Symbol, int]:
        found = self.candidates(e, at)
        best = max(v for v, _ in found)
        return next(place for v, place in found if v == best)

    def given(self, name: str, at: tuple[int, ...]) -> bool:
        if self.network.kind.coupled and self.layer is not None and at:
            if at[0] > self.layer if name.startswith("delta_") else at[0] < self.layer and name == "a":
                return True
        return (name == self.network.input and at[0] == 1) or (name == "delta_a" and at[0] == self.depth)

    def check(self, name: str, at: tuple[int, ...]) -> bool:
        """Raise Undefined for a layer, a sample or a unit that does not exist; False beyond the border of a plane."""
        own = stem(name.partition("_at_")[0])
        if own in self.network.features and own != "E":
            if at[0] < self.network.lowest(name):
                raise Undefined(f"layer {at[0]} has no {own}")
            inside = self.of_layer(self.network.features[own], at[0])
            others = len(at) - 1 - len(inside)
            sizes = [self.samples] * others + inside
            if self.network.kind.planes and len(inside) > 2:
                if any(not 0 <= i < size for i, size in zip(at[-2:], sizes[-2:], strict=True)):
                    return False
            at = at[1:]
        elif own == "y":
            sizes = [self.samples, self.extent("units", self.depth)]
        elif own == "C":
            sizes = [self.samples]
        elif name.startswith("any "):
            sizes = [self.extent("units", 1)] * len(at)
        else:
            return True
        if any(not 0 <= i < size for i, size in zip(at, sizes, strict=True)):
            raise Undefined(f"{name} has no component {tuple(i + 1 for i in at)}")
        return True

    def of_layer(self, sizes: tuple[sp.Expr, ...], at: int) -> list[int]:
        inside = replace(self, layer=at)
        return [inside.whole(size) for size in sizes]

    def exists(self, x: sp.Indexed, at: dict[sp.Symbol, int]) -> bool:
        """Whether a component lies inside its plane; raises Undefined where its layer, sample or unit does not exist."""
        return self.check(x.base.name, tuple(self.whole(i, at) for i in x.indices))

    def drawn(self, key: tuple) -> Number:
        """A small number for what nothing defines, not zero; the same for the same key and seed.

        What an exponential is taken of is the logarithm of such a number.
        """
        self.touched.add(key)
        if key not in self.values:
            source = random.Random(f"{key} {self.seed}")
            small = Fraction(source.choice((1, 2, 3) if self.seed == 0 else (-2, -1, 1, 2, 3)))
            logarithm = key[0] in self.network.logarithms
            self.values[key] = plain(Logarithms.of_number(abs(small) + 1)) if logarithm else small
        return self.values[key]


def search(bound: Bound, network: Definitions, most: int | None = None) -> tuple[Counterexample | None, int]:
    """The smallest instance found at which the sides differ, or None; and how many instances were compared."""
    compared = 0
    named = explicit(bound)
    most, spent = most or (MOST_PLANES if network.kind.planes else MOST_INSTANCES), 0
    for instance in instances(bound, network, most):
        try:
            sizes = [instance.whole(size) for size in bound.free.values()]
        except Undefined:
            continue
        told = False
        for place in itertools.product(*(range(size) for size in sizes)):
            at = dict(zip(bound.free, place, strict=True))
            try:
                if not all(instance.exists(x, at) for x in named):
                    continue
                one, other = instance.evaluate(bound.left, at), instance.evaluate(bound.right, at)
            except Undefined:
                continue
            except Inexact:
                break
            told = True
            if differ(one, other):
                return describe(instance, bound, at, one, other), compared + 1
        compared += told
        spent += next(instance.steps)
        if spent > MOST_IN_ALL:
            break
    return None, compared


def explicit(bound: Bound) -> list[sp.Indexed]:
    """The components that a formula names itself, not by way of a sum: they must exist."""
    known = {*bound.free, layer, last, samples, window}
    both = sp.Tuple(bound.left, bound.right)
    guarded = {x for k in both.atoms(nonnegative) for x in k.free_symbols}
    return [
        x
        for x in sorted(both.atoms(sp.Indexed), key=str)
        if x.base.name.removeprefix("delta_") in ("a", "z", "w", "b")
        and set().union(*(i.free_symbols for i in x.indices)) <= known
        and not set().union(*(i.free_symbols for i in x.indices[2:])) & guarded
    ]


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


def has_instance(bound: Bound, network: Definitions) -> bool:
    """Whether some network has every layer that is named."""
    return bool(networks(bound, network))


def everything(bound: Bound) -> sp.Tuple:
    return sp.Tuple(
        bound.left, bound.right, *bound.free.values(), *(size for pair in bound.mismatches for size in pair)
    )


def networks(bound: Bound, network: Definitions) -> list[tuple[int, int | None]]:
    """Depths, and layers l in them, at which everything named exists."""
    both = everything(bound)
    named = [x.indices[0] for x in both.atoms(sp.Indexed) if is_layered(x, network)]
    least = max([2, *(int(i) for i in named if i.is_Integer)])
    shifts = [0, *(int(i - s) for i in named for s in (layer, last) if i.has(s))]
    return [
        (depth, at)
        for depth in range(least, least + max(shifts) - min(shifts) + 3)
        for at in (range(1, depth + 1) if both.has(layer) else [None])
        if exists(both, depth, at, network)
    ]


def is_layered(x: sp.Indexed, network: Definitions) -> bool:
    return stem(x.base.name.partition("_at_")[0]) in network.features


def instances(bound: Bound, network: Definitions, most: int) -> Iterator[Instance]:
    """Networks from the smallest up, at least some of each depth and window. Sizes that the formula takes for equal are made equal."""
    both = everything(bound)
    coupled = network.kind.coupled
    speaks_of_all = both.has(samples) or any(
        x.base.name.startswith("E") or "_new" in x.base.name for x in both.atoms(sp.Indexed)
    )
    batches = (bound.batch,) if bound.batch else (1, 2) if speaks_of_all or coupled else (1,)
    found = []
    for depth, at in networks(bound, network)[:NETWORKS]:
        change = at_depth(depth, at)
        given = {
            (type(size).__name__, int(size.args[0].xreplace(change))): int(n)
            for size, n in bound.fixed.items()
            if isinstance(size, Extent)
        }
        for extents, side in shapes(layers_read(both, depth, at, network), depth, network, given):
            found += [Instance(network, depth, at, extents, batch, ACTIVATIONS[0], 0, side) for batch in batches]
    ties = [*bound.mismatches, *bound.fixed.items()]
    found.sort(key=lambda i: (i.depth + sum(i.extents.values()) + i.samples + i.window, i.depth))
    given_of: Counter[tuple[int, int | None, int]] = Counter()
    for i in found:
        kind = i.depth, i.layer, i.window
        enough = given_of.total() * ATTEMPTS >= most and given_of[kind] >= OF_EACH
        if enough or not all(tied(i, one, other) for one, other in ties):
            continue
        given_of[kind] += 1
        for attempt in range(ATTEMPTS):
            activation = ACTIVATIONS[attempt % len(ACTIVATIONS)]
            yield Instance(network, i.depth, i.layer, i.extents, i.samples, activation, attempt, i.window)


def shapes(used: set[int], depth: int, network: Definitions, given: Sizes) -> Iterator[tuple[Sizes, int]]:
    """Sizes of every layer, of which only those of the `used` matter, and the side of a pooling window."""
    every = range(1, depth + 1)
    if not network.kind.planes:
        for widths in itertools.product(range(1, WIDEST + 1), repeat=len(used)):
            wide = dict(zip(sorted(used), widths, strict=True))
            yield {("units", i): wide.get(i, 1) for i in every}, 1
        return
    pools = network.name != "convolution"
    filters = [] if pools else [(name, i) for i in sorted(used) if i > 1 for name in ("height", "breadth")]
    free = [("rows", max(used, default=depth)), ("columns", max(used, default=depth)), *filters]
    free += [("channels", i) for i in sorted(used)][: 1 if pools else None]
    ranges = [[given[size]] if size in given else range(1, WIDEST + 1) for size in free]
    for chosen in itertools.product(*ranges):
        sizes = dict(zip(free, chosen, strict=True))
        side = WIDEST if pools else 1  # a window of one place would pool nothing
        yield planes(sizes, max(used, default=depth), depth, side, pools), side


def planes(sizes: Sizes, top: int, depth: int, side: int, pools: bool) -> Sizes:
    """The planes of all layers, from those of the layer `top` and the filters or windows between them."""
    found = dict(sizes)
    for name, taps in (("rows", "height"), ("columns", "breadth")):
        for i in range(top + 1, depth + 1):
            found[name, i] = found[name, top]
        for i in range(top - 1, 0, -1):
            above = found[name, i + 1]
            found[name, i] = side * above if pools else above + found.get((taps, i + 1), 1) - 1
    if pools:
        of_all = next((n for (name, _), n in sizes.items() if name == "channels"), 1)
        found |= {("channels", i): of_all for i in range(1, depth + 1)}
    return found


def tied(instance: Instance, one: sp.Expr, other: sp.Expr) -> bool:
    try:
        return instance.evaluate(one, {}) == instance.evaluate(other, {})
    except Undefined:
        return False


def at_depth(depth: int, at: int | None) -> dict[sp.Basic, sp.Basic]:
    return {last: sp.Integer(depth)} | ({layer: sp.Integer(at)} if at is not None else {})


def exists(both: sp.Tuple, depth: int, at: int | None, network: Definitions) -> bool:
    """Whether a network of that depth has every layer that is named."""
    change = at_depth(depth, at)
    for x in both.atoms(sp.Indexed):
        if not is_layered(x, network):
            continue
        i = x.indices[0].xreplace(change)
        if not network.lowest(x.base.name) <= i <= depth:
            return False
    return all(1 <= u.args[0].xreplace(change) <= depth for u in both.atoms(units, channels, rows, columns))


def layers_read(both: sp.Tuple, depth: int, at: int | None, network: Definitions) -> set[int]:
    """The layers whose sizes matter: those named, and the one before each."""
    change = at_depth(depth, at)
    found = {int(u.args[0].xreplace(change)) for u in both.atoms(Extent)}
    for x in both.atoms(sp.Indexed):
        name = x.base.name
        if is_layered(x, network):
            i = int(x.indices[0].xreplace(change))
            found |= {i} | ({i - 1} if stem(name)[:1] == "w" or network.kind.planes else set())
        elif name in ("y", "C"):
            found |= {depth}
        elif name.startswith("any "):
            found |= {1}
    return {i for i in found if 1 <= i <= depth}


def describe(instance: Instance, bound: Bound, at: dict[sp.Symbol, int], one: Number, other: Number) -> Counterexample:
    """The instance as text: every size, and every value that either side reads."""
    instance.known, instance.touched, instance.steps = {}, set(), itertools.count()
    instance.evaluate(bound.left, at)
    instance.known, instance.steps = {}, itertools.count()
    instance.evaluate(bound.right, at)
    read = instance.touched
    both = sp.Tuple(bound.left, bound.right, *at)
    names = {x.base.name for x in both.atoms(sp.Indexed)}
    layered = any(is_layered(x, instance.network) or x.base.name in ("y", "C", "E") for x in both.atoms(sp.Indexed))
    sizes: dict[str, str] = {}
    if both.has(width) or any(name.startswith("any ") for name in names):
        sizes["n"] = str(instance.extent("units", 1))
    elif names and instance.network.features:
        sizes["L"] = str(instance.depth)
        if instance.layer is not None:
            sizes["l"] = str(instance.layer)
        for (name, i), extent in sorted(instance.extents.items()):
            sizes[size_name(sp.Function(name)(sp.Integer(i))).replace("{", "").replace("}", "")] = str(extent)
        if instance.network.kind.planes and instance.network.name != "convolution":
            sizes["s"] = str(instance.window)
        sizes["m"] = str(instance.samples)
    values = {k.name.removesuffix(" of the weight"): str(i + 1) for k, i in at.items() if k.name != "sample"}
    of_sample = [i for k, i in at.items() if k.name == "sample"]
    if of_sample and instance.samples > 1:
        values["x"] = str(of_sample[0] + 1)
    for key in sorted(read, key=str):
        values[label(key, instance, bound)] = str(instance.values[key])
    if bound.derived:
        values |= {name: shown(instance.evaluate(e, at)) for name, e in bound.derived.items()}
        values = {name: value for name, value in values.items() if not name.startswith(r"\frac")}  # no value of its own
        if any(e.has(samples) for e in (bound.left, bound.right, *bound.derived.values())):
            sizes["m"] = str(instance.samples)
    if layered and instance.network.features and "n" not in sizes:
        values["sigma(z)"] = polynomial_text(instance.activation)
    return Counterexample(sizes, values, shown(one), shown(other))


def shown(x: Number) -> str:
    """A value as text; of an interval, the digits that its ends share."""
    if not is_interval(x):
        return str(x)
    enclosed = as_interval(x)
    low, high = (nstr(mpf(end), 15) for end in (enclosed.a, enclosed.b))
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return "".join(digit for digit, _ in shared)[:12] + "..."


GREEK = ("gamma", "beta", "delta", "mu", "epsilon", "eta", "lambda", "alpha")


def label(key: tuple, instance: Instance, bound: Bound) -> str:
    r"""`a_2^{1}`, `w_{12}^{2}`, `y_1`, and with several samples `a_2^{x,1}`; of planes `a_{2,1}^{1}`."""
    name, *at = key
    batch = instance.samples
    for x, written in bound.written.items():
        if name == (x.base.name if isinstance(x, sp.Indexed) else str(x)):
            return written
    if not at:
        return rf"\{name}" if name in GREEK else name
    if name.startswith("any "):
        return f"{name[4:]}_{at[0] + 1}"
    if name == "C":
        return f"C_{at[0] + 1}"
    if name == "y" and "y" not in instance.network.features:
        return f"y_{at[1] + 1}" + (f"^{{{at[0] + 1}}}" if batch > 1 else "")
    count = len(instance.network.features[stem(name)])
    inside = [i + 1 for i in at[len(at) - count :]]
    if bound.turned and name == "w":
        inside = inside[::-1]
    if instance.network.kind.planes and len(inside) > 1 and one_channel(instance):
        inside = inside[-2:]
    apart = "," if instance.network.kind.planes or max(inside) > 9 else ""
    below = f"{{{apart.join(map(str, inside))}}}" if len(inside) > 1 else str(inside[0])
    where = f"{at[1] + 1},{at[0]}" if batch > 1 and len(at) > count + 1 else str(at[0])
    if name == "delta_a":
        return rf"\partial C/\partial a_{below}^{{{where}}}"
    letter = r"\delta" if name == "delta_z" else rf"\{name}" if name in GREEK else name
    return f"{letter}_{below}^{{{where}}}"


def one_channel(instance: Instance) -> bool:
    return all(n == 1 for (name, _), n in instance.extents.items() if name == "channels")


@cache
def polynomial_text(coefficients: Polynomial) -> str:
    z = sp.Symbol("z")
    return str(sp.Poly(list(reversed(coefficients)), z).as_expr()).replace("**", "^")
