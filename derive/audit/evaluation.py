"""Exact instances of a network, and the search for the smallest one at which two sides differ.

An instance is a depth, sizes and rational values, an activation that is a polynomial with rational coefficients, and a
cost with a given gradient at the last layer. Both sides are evaluated component by component from the definitions alone
(the proofs' rewriting and normal forms play no part), in rational arithmetic: what differs here is a counterexample.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import sympy as sp

from derive.audit.binding import Bound
from derive.audit.network import Network, last, layer, rate, samples, sigma, slope, units, width

Polynomial = tuple[int, ...]  # coefficients, constant first
ACTIVATIONS: tuple[Polynomial, ...] = ((0, 0, 1), (1, -1, 1), (0, 1, 0, 1))
NETWORKS = 3  # choices of the depth and the layer l
WIDEST = 2  # units of a layer
ATTEMPTS = 3  # sets of values for each choice of sizes
MOST_INSTANCES = 300
MOST_STEPS = 100_000  # of one instance's evaluation
LARGEST = 4000  # bits of a number that is worked with


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


@dataclass
class Instance:
    """One network in numbers, in which components are worked out as they are asked for."""

    network: Network
    depth: int
    layer: int | None
    units: dict[int, int]
    samples: int
    activation: Polynomial
    seed: int
    values: dict[tuple, Fraction] = field(default_factory=dict)  # what was asked for, drawn when asked
    known: dict[tuple, Fraction] = field(default_factory=dict)
    touched: set[tuple] = field(default_factory=set)
    steps: Iterator[int] = field(default_factory=itertools.count)

    def evaluate(self, e: sp.Expr, at: dict[sp.Symbol, int]) -> Fraction:
        """The value of an expression; raises Undefined where it reads what does not exist."""
        if next(self.steps) > MOST_STEPS:
            raise Inexact("too much to work out")
        if isinstance(e, sp.Rational):
            return Fraction(int(e.p), int(e.q))
        if isinstance(e, sp.Symbol):
            return self.symbol(e, at)
        if isinstance(e, sp.Add):
            return sum((self.evaluate(a, at) for a in e.args), Fraction(0))
        if isinstance(e, sp.Mul):
            product = Fraction(1)
            for a in sorted(e.args, key=lambda a: not isinstance(a, sp.KroneckerDelta)):
                product *= self.evaluate(a, at)
                if product == 0 and isinstance(a, sp.KroneckerDelta):
                    return product
            return product
        if isinstance(e, sp.Pow):
            base, power = self.evaluate(e.base, at), self.evaluate(e.exp, at)
            if power.denominator != 1 or abs(power) * base.numerator.bit_length() > LARGEST:
                raise Inexact("a root, or a number too large to work with")
            if base == 0 and power < 0:
                raise Undefined("a division by zero")
            return base ** int(power)
        if isinstance(e, sp.Sum):
            (k, low, high), *others = e.limits
            body = sp.Sum(e.function, *others) if others else e.function
            first, end = int(self.evaluate(low, at)), int(self.evaluate(high, at))
            return sum((self.evaluate(body, at | {k: i}) for i in range(first, end + 1)), Fraction(0))
        if isinstance(e, sp.KroneckerDelta):
            one, other = (self.evaluate(i, at) for i in e.args)
            return Fraction(one == other)
        if isinstance(e, units):
            return Fraction(self.width_of(int(self.evaluate(e.args[0], at))))
        if isinstance(e, sigma):
            return self.polynomial(self.activation, self.evaluate(e.args[0], at))
        if isinstance(e, slope):
            derived = tuple(power * c for power, c in enumerate(self.activation))[1:]
            return self.polynomial(derived, self.evaluate(e.args[0], at))
        if isinstance(e, sp.Indexed):
            return self.component(e.base.name, tuple(int(self.evaluate(i, at)) for i in e.indices))
        raise Inexact(type(e).__name__)

    def polynomial(self, coefficients: Polynomial, x: Fraction) -> Fraction:
        if x.numerator.bit_length() > LARGEST:
            raise Inexact("a number too large to work with")
        return sum((c * x**power for power, c in enumerate(coefficients)), Fraction(0))

    def symbol(self, s: sp.Symbol, at: dict[sp.Symbol, int]) -> Fraction:
        if s in at:
            return Fraction(at[s])
        if s == layer and self.layer is not None:
            return Fraction(self.layer)
        if s == last:
            return Fraction(self.depth)
        if s == samples:
            return Fraction(self.samples)
        if s == width:
            return Fraction(self.units[1])
        if s == rate:
            return self.drawn(("eta",))
        raise Undefined(f"{s} has no value")

    def width_of(self, at: int) -> int:
        if not 1 <= at <= self.depth:
            raise Undefined(f"there is no layer {at}")
        return self.units[at]

    def component(self, name: str, at: tuple[int, ...]) -> Fraction:
        """A tensor's component: by its definition, or drawn if it has none."""
        key = (name, *at)
        if key not in self.known:
            self.check(name, at)
            definition = None if self.given(name, at) else self.network.definitions.get(name)
            if name in self.network.at_last and at[0] == self.depth:
                definition = self.network.at_last[name]
            if definition is None:
                self.known[key] = self.drawn(key)
            else:
                place = dict(zip(definition.at, at, strict=True))
                inner = replace(self, layer=place.pop(layer, self.layer))  # it shares the values and what is known
                self.known[key] = inner.evaluate(definition.body, place)
        return self.known[key]

    def given(self, name: str, at: tuple[int, ...]) -> bool:
        return (name == "a" and at[0] == 1) or (name == "delta_a" and at[0] == self.depth)

    def check(self, name: str, at: tuple[int, ...]) -> None:
        """Raise Undefined for a layer, a sample or a unit that does not exist."""
        kind = name.split(":")[-1].removesuffix("_new").removeprefix("delta_")
        if kind in ("w", "b"):
            if at[0] < 2:
                raise Undefined(f"layer {at[0]} has no {kind}")
            sizes = [self.width_of(at[0]), self.width_of(at[0] - 1)][: 2 if kind == "w" else 1]
            if name.startswith("C:"):
                sizes.insert(0, self.samples)
            inside = at[1:]
        elif kind in ("a", "z"):
            if at[0] < (2 if kind == "z" or name == "delta_z" else 1):
                raise Undefined(f"layer {at[0]} has no {kind}")
            sizes, inside = [self.samples, self.width_of(at[0])], at[1:]
        elif kind == "y":
            sizes, inside = [self.samples, self.width_of(self.depth)], at
        elif kind == "C":
            sizes, inside = [self.samples], at
        elif not name.startswith("any "):
            return
        else:  # as wide as the first layer
            sizes, inside = [self.units[1]] * len(at), at
        if any(not 0 <= i < size for i, size in zip(inside, sizes, strict=True)):
            raise Undefined(f"{name} has no component {tuple(i + 1 for i in inside)}")

    def drawn(self, key: tuple) -> Fraction:
        """A small number for what nothing defines; the same for the same key and seed."""
        self.touched.add(key)
        if key not in self.values:
            source = random.Random(f"{key} {self.seed}")
            self.values[key] = Fraction(source.choice((1, 2, 3) if self.seed == 0 else (-2, -1, 1, 2, 3)))
        return self.values[key]


def search(bound: Bound, network: Network) -> tuple[Counterexample | None, int]:
    """The smallest instance found at which the sides differ, or None; and how many instances were compared."""
    compared = 0
    for instance in itertools.islice(instances(bound, network), MOST_INSTANCES):
        try:
            sizes = [int(instance.evaluate(size, {})) for size in bound.free.values()]
        except Undefined:
            continue
        told = False
        for place in itertools.product(*(range(size) for size in sizes)):
            at = dict(zip(bound.free, place, strict=True))
            try:
                one, other = instance.evaluate(bound.left, at), instance.evaluate(bound.right, at)
            except Undefined:
                continue
            except Inexact:
                break
            told = True
            if one != other:
                return describe(instance, bound, at, one, other), compared + 1
        compared += told
    return None, compared


def has_instance(bound: Bound) -> bool:
    """Whether some network has every layer that is named."""
    return bool(networks(bound))


def networks(bound: Bound) -> list[tuple[int, int | None]]:
    """Depths, and layers l in them, at which everything named exists."""
    both = sp.Tuple(bound.left, bound.right, *bound.free.values())
    named = [x.indices[0] for x in both.atoms(sp.Indexed) if is_layered(x)]
    least = max([2, *(int(i) for i in named if i.is_Integer)])
    shifts = [0, *(int(i - s) for i in named for s in (layer, last) if i.has(s))]
    return [
        (depth, at)
        for depth in range(least, least + max(shifts) - min(shifts) + 3)
        for at in (range(1, depth + 1) if both.has(layer) else [None])
        if exists(both, depth, at)
    ]


def is_layered(x: sp.Indexed) -> bool:
    return x.base.name not in ("y", "C", "E") and not x.base.name.startswith("any ")


def instances(bound: Bound, network: Network) -> Iterator[Instance]:
    """Networks from the smallest up. Sizes that the formula takes for equal are made equal."""
    both = sp.Tuple(bound.left, bound.right, *bound.free.values())
    speaks_of_all = both.has(samples) or any(
        x.base.name.startswith("E") or "_new" in x.base.name for x in both.atoms(sp.Indexed)
    )
    batches = (bound.batch,) if bound.batch else (1, 2) if speaks_of_all else (1,)
    found = []
    for depth, at in networks(bound)[:NETWORKS]:
        used = sorted(layers_read(both, depth, at))
        for widths in itertools.product(range(1, WIDEST + 1), repeat=len(used)):
            units_ = dict.fromkeys(range(1, depth + 1), 1) | dict(zip(used, widths, strict=True))
            for batch in batches:
                instance = Instance(network, depth, at, units_, batch, ACTIVATIONS[0], 0)
                if all(tied(instance, one, other) for one, other in bound.mismatches):
                    found.append(instance)
    for i in sorted(found, key=lambda i: (i.depth + sum(i.units.values()) + i.samples, i.depth)):
        for attempt in range(ATTEMPTS):
            activation = ACTIVATIONS[attempt % len(ACTIVATIONS)]
            yield Instance(network, i.depth, i.layer, i.units, i.samples, activation, attempt)


def tied(instance: Instance, one: sp.Expr, other: sp.Expr) -> bool:
    try:
        return instance.evaluate(one, {}) == instance.evaluate(other, {})
    except Undefined:
        return False


def exists(both: sp.Tuple, depth: int, at: int | None) -> bool:
    """Whether a network of that depth has every layer that is named."""
    change = {last: sp.Integer(depth)} | ({layer: sp.Integer(at)} if at is not None else {})
    lowest = {"a": 1, "delta_a": 1}
    for x in both.atoms(sp.Indexed):
        if not is_layered(x):
            continue
        i = x.indices[0].xreplace(change)
        if not lowest.get(x.base.name, 2) <= i <= depth:
            return False
    return all(1 <= u.args[0].xreplace(change) <= depth for u in both.atoms(units))


def layers_read(both: sp.Tuple, depth: int, at: int | None) -> set[int]:
    """The layers whose widths matter: those named, and the one before each."""
    change = {last: sp.Integer(depth)} | ({layer: sp.Integer(at)} if at is not None else {})
    found = {int(u.args[0].xreplace(change)) for u in both.atoms(units)}
    for x in both.atoms(sp.Indexed):
        if x.base.name == "y" or x.base.name == "C":
            found |= {depth}
        elif x.base.name.startswith("any "):
            found |= {1}
        elif x.base.name != "E":
            i = int(x.indices[0].xreplace(change))
            found |= {i} | ({i - 1} if x.base.name.split(":")[-1][:1] == "w" else set())
    return {i for i in found if 1 <= i <= depth}


def describe(
    instance: Instance, bound: Bound, at: dict[sp.Symbol, int], one: Fraction, other: Fraction
) -> Counterexample:
    """The instance as text: every size, and every value that either side reads."""
    instance.known, instance.touched, instance.steps = {}, set(), itertools.count()
    instance.evaluate(bound.left, at)
    instance.known, instance.steps = {}, itertools.count()
    instance.evaluate(bound.right, at)
    read = instance.touched
    both = sp.Tuple(bound.left, bound.right, *at)
    names = {x.base.name for x in both.atoms(sp.Indexed)}
    sizes: dict[str, str] = {}
    if both.has(width) or any(name.startswith("any ") for name in names):
        sizes["n"] = str(instance.units[1])
    elif names:
        sizes["L"] = str(instance.depth)
        if instance.layer is not None:
            sizes["l"] = str(instance.layer)
        sizes |= {f"n_{i}": str(width) for i, width in sorted(instance.units.items())}
        sizes["m"] = str(instance.samples)
    values = {k.name.removesuffix(" of the weight"): str(i + 1) for k, i in at.items() if k.name != "sample"}
    for key in sorted(read, key=str):
        values[label(key, instance.samples)] = str(instance.values[key])
    if names and "n" not in sizes:
        values["sigma(z)"] = polynomial_text(instance.activation)
    return Counterexample(sizes, values, str(one), str(other))


def label(key: tuple, batch: int) -> str:
    r"""`a_2^{1}`, `w_{12}^{2}`, `y_1`, and with several samples `a_2^{x,1}`."""
    name, *at = key
    if name == "eta":
        return r"\eta"
    if name.startswith("any "):
        return f"{name[4:]}_{at[0] + 1}"
    if name == "C":
        return f"C_{at[0] + 1}"
    if name == "w":
        return f"w_{{{at[1] + 1}{',' if max(at[1:]) > 8 else ''}{at[2] + 1}}}^{{{at[0]}}}"
    if name == "b":
        return f"b_{at[1] + 1}^{{{at[0]}}}"
    if name == "y":
        return f"y_{at[1] + 1}" + (f"^{{{at[0] + 1}}}" if batch > 1 else "")
    where = f"{at[1] + 1},{at[0]}" if batch > 1 else str(at[0])
    if name == "delta_a":
        return rf"\partial C/\partial a_{at[2] + 1}^{{{where}}}"
    return f"{name}_{at[2] + 1}^{{{where}}}"


def polynomial_text(coefficients: Polynomial) -> str:
    z = sp.Symbol("z")
    return str(sp.Poly(list(reversed(coefficients)), z).as_expr()).replace("**", "^")
