"""One network in numbers, in which components are worked out as they are asked for.

An instance is a depth, sizes and rational values, an activation that is a polynomial with rational coefficients, and a
cost with a given gradient at the last layer. Components follow from the definitions alone: the proofs' rewriting and
normal forms play no part. Roots stay rational because epsilon is chosen so that they are; exponentials, because
logarithms are drawn.
"""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import sympy as sp

from derive.audit.judging.exact import (
    LARGEST,
    Inexact,
    Logarithms,
    Number,
    Undefined,
    exponential,
    logarithm,
    plain,
    plus,
    raised,
    times,
)
from derive.audit.meaning.network import (
    Definition,
    Definitions,
    Extent,
    epsilon,
    first_largest,
    last,
    layer,
    samples,
    sigma,
    slope,
    stem,
    width,
    window,
)
from derive.audit.meaning.values import nonnegative
from derive.calculus.equation import Maximum, tensor

Polynomial = tuple[int, ...]  # coefficients, constant first
MOST_STEPS = 100_000  # of one instance's evaluation
Sizes = dict[tuple[str, int], int]  # by the name of the size and the layer


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
            return raised(self.evaluate(e.base, at), self.value(e.exp, at))
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
            return exponential(self.evaluate(e.exp, at))
        if isinstance(e, sp.log):
            return logarithm(self.evaluate(e.args[0], at))
        if isinstance(e, sp.tanh):
            return self.evaluate(e.rewrite(sp.exp), at)
        if isinstance(e, sp.Indexed):
            return self.component(e.base.name, tuple(self.whole(i, at) for i in e.indices))
        raise Inexact(type(e).__name__)

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
