"""Formulas worked out in exact numbers, by a program that shares nothing with the auditor but the reader's syntax tree.

What a network computes is written out by hand, and derivatives are taken by pushing a small change through it. So what
the auditor calls equal, or a counterexample, is settled here by someone else. This file has the arithmetic and what
holds for every kind of section; `independent_layers`, `independent_planes`, `independent_batch` and
`independent_scalars` have what their letters mean.

A value is a number, or an array of numbers: a matrix (of one column or one row, where it is a vector) or, in a network
of planes, an array with an axis for the channels of each layer and then rows and columns.
"""

import itertools
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from derive.audit.syntax import formula as f

EQUAL, DIFFERENT, MEANINGLESS = "equal", "different", "meaningless"
HALF_TURN = f.Name("rot180")
SLIDES = ("*", "star", "circledast", "otimes")
FLIP = (Ellipsis, slice(None, None, -1), slice(None, None, -1))


class Meaningless(Exception):
    """A side that has no value: shapes that do not fit, a layer or component that does not exist."""


class Beyond(Meaningless):
    """A layer, a component or a value that does not exist in this instance, but may in another."""


class Inexact(Exception):
    """A value that is no rational number."""


# -- numbers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dual:
    """A number and its derivative."""

    value: Fraction
    slope: Fraction = Fraction(0)

    @staticmethod
    def of(x: Any) -> "Dual":
        return x if isinstance(x, Dual) else Dual(Fraction(x) if isinstance(x, int) else x)

    def __add__(self, other):
        other = Dual.of(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        other = Dual.of(other)
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -Dual.of(other)

    def __truediv__(self, other):
        other = Dual.of(other)
        return self * Dual(1 / other.value, -other.slope / other.value**2)

    def root(self):
        of_value = root(self.value)
        return Dual(of_value, self.slope / (2 * of_value))

    __radd__, __rmul__ = __add__, __mul__


def drawer(seed: object) -> Callable[[], Fraction]:
    """Small numbers, none of them zero."""
    source = random.Random(f"{seed}")
    return lambda: Fraction(source.choice([-3, -2, -1, 1, 2, 3]), source.choice([1, 1, 2]))


@dataclass(frozen=True)
class Surd:
    """Rational multiples of square roots: by the number under each, which no square divides."""

    of: tuple[tuple[int, Fraction], ...]

    @staticmethod
    def made(terms: dict[int, Fraction]) -> "Surd | Fraction":
        kept = {n: k for n, k in sorted(terms.items()) if k}
        return kept.get(1, Fraction(0)) if set(kept) <= {1} else Surd(tuple(kept.items()))

    @staticmethod
    def terms(x: Any) -> dict[int, Fraction]:
        return dict(x.of) if isinstance(x, Surd) else {1: Fraction(x)}

    def __add__(self, other):
        if not isinstance(other, Surd | Fraction | int):
            return NotImplemented
        total = dict(self.of)
        for n, k in Surd.terms(other).items():
            total[n] = total.get(n, Fraction(0)) + k
        return Surd.made(total)

    def __mul__(self, other):
        if not isinstance(other, Surd | Fraction | int):
            return NotImplemented
        total: dict[int, Fraction] = {}
        for (n, j), (m, k) in itertools.product(self.of, Surd.terms(other).items()):
            common = math.gcd(n, m)
            under = n * m // common**2
            total[under] = total.get(under, Fraction(0)) + j * k * common
        return Surd.made(total)

    def inverse(self):
        """Multiplied from above and below by what takes one prime after the other out of the roots below."""
        over, under = Fraction(1), self
        while isinstance(under, Surd):
            p = next(p for n, _ in under.of for p in range(2, n + 1) if n % p == 0)
            turned = Surd.made({n: -k if n % p == 0 else k for n, k in under.of})
            over, under = turned * over, turned * under
        return over * (1 / under)

    def __truediv__(self, other):
        return self * (other.inverse() if isinstance(other, Surd) else 1 / Fraction(other))

    def __rtruediv__(self, other):
        return self.inverse() * other

    def __pow__(self, exponent):
        found = math.prod([self] * abs(int(exponent)), start=Fraction(1))
        return found if exponent >= 0 else 1 / found

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    __radd__, __rmul__ = __add__, __mul__


def root(x: Any) -> Any:
    if isinstance(x, Surd):
        raise Inexact("a root of roots")
    if x < 0:
        raise Beyond("the root of a negative number")
    found = Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))
    if found**2 == x:
        return found
    square, under = 1, x.numerator * x.denominator
    for p in range(2, 10_000):
        if p * p > under:
            break
        while under % (p * p) == 0:
            square, under = square * p, under // (p * p)
    else:
        raise Inexact("the root of a large number")
    return Surd.made({under: Fraction(square, x.denominator)})


def parsed(text: str, number: Callable[[int], Any], **functions: Callable[[Any], Any]) -> Any:
    """A number as a counterexample writes it: `-3/2`, `5 + 2*sqrt(3)`."""
    return eval(re.sub(r"\d+", lambda m: f"number({m[0]})", text), {"__builtins__": {}, "number": number, **functions})


def polynomial(coefficients: list, x: Any) -> Any:
    """By Horner's rule, for numbers and dual numbers alike."""
    total = x * 0
    for c in reversed(coefficients):
        total = total * x + c
    return total


def slope_of(coefficients: list) -> list:
    return [n * c for n, c in enumerate(coefficients)][1:]


def is_number(value: Any) -> bool:
    return not isinstance(value, np.ndarray)


def array_of(shape: tuple[int, ...], entry: Any) -> np.ndarray:
    """An array whose entries are asked for by their indices."""
    found = np.empty(shape, object)
    for at in np.ndindex(*shape):
        found[at] = entry(*at)
    return found


# -- syntax -------------------------------------------------------------------------------------------------------


def walk(node: Any) -> Iterator[f.Node]:
    if isinstance(node, f.Node):
        yield node
        for value in vars(node).values():
            yield from walk(value)
    elif isinstance(node, tuple):
        for value in node:
            yield from walk(value)


def flat(items: tuple) -> Iterator[f.Node]:
    """`_{jk}` and `_{j,k}` alike."""
    for item in items:
        if isinstance(item, f.Product) and not item.operator:
            letters = list(flat((item.left, item.right)))
            yield from letters if all(isinstance(x, f.Name | f.Number) for x in letters) else [item]
        else:
            yield item


def plain(node: f.Node) -> f.Node:
    return plain(node.body) if isinstance(node, f.Group) else node


def as_scripted(node: f.Node) -> f.Scripted:
    return node if isinstance(node, f.Scripted) else f.Scripted(node)


def assigns(relation: f.Relation) -> bool:
    """Whether `=` makes a new value of the old one."""
    right = plain(relation.right)
    terms = [plain(term) for _, term in right.terms] if isinstance(right, f.Addition) else []
    return relation.sign == "update" or relation.left in terms


# -- evaluation ---------------------------------------------------------------------------------------------------


class Evaluator:
    """The sides of one relation, with its free index letters at certain components (counted from 0 here).

    `modes` says of each sliding product what stays inside of what.
    """

    def __init__(self, letters: dict[str, int], modes: dict[int, str]) -> None:
        self.letters, self.modes = dict(letters), modes

    # what a kind of section says of its letters

    def symbol(self, node: f.Scripted) -> Any:
        """A letter or word with its scripts."""
        raise NotImplementedError

    def axes(self, node: f.Scripted) -> list[tuple[f.Node, int]]:
        """The indices that stand at a symbol, each with the size it runs over."""
        return []

    def extent(self, letter: str, node: f.Summation) -> int:
        """What a sum runs over whose index stands at nothing."""
        raise Meaningless("a sum over nothing")

    def is_symbol(self, node: f.Scripted) -> bool:
        return isinstance(node.base, f.Name | f.Word)

    def sides(self, relation: f.Relation) -> tuple[Any, Any]:
        return self.spread(self.value(relation.left), self.value(relation.right))

    def spread(self, one: Any, other: Any) -> tuple[Any, Any]:
        """Both sides in one shape, where the notation leaves out a repetition."""
        return one, other

    def value(self, node: f.Node) -> Any:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise Meaningless(type(node).__name__)
        return method(node)

    def _number(self, node):
        return node.value

    def _group(self, node):
        return self.value(node.body)

    def _name(self, node):
        return self.symbol(f.Scripted(node))

    _word = _name

    def _scripted(self, node):
        if self.is_symbol(node):
            return self.symbol(node)
        base = node.base
        if node.primes:
            if not isinstance(base, f.Application):
                raise Meaningless("a prime on what is no function")
            base = f.Application(primed(base.function, node.primes), base.argument)
        if isinstance(base, f.Norm):
            if node.sup != (f.Number(Fraction(2)),):
                raise Meaningless("a norm that is not squared")
            return np.sum(self.value(base.body) ** 2)
        value = self.value(base)
        for item in node.sup:
            value = self.transposed(value) if item == f.Name("T") else self.power(value, self.value(item))
        return self.pick(value, tuple(flat(node.sub))) if node.sub else value

    def transposed(self, value):
        if is_number(value) or value.ndim != 2:
            raise Meaningless("a transpose of what is no matrix")
        return value.T

    def power(self, value, exponent):
        if not is_number(exponent) or (exponent.denominator > 2):
            raise Meaningless("an exponent")
        if not is_number(value):
            return self.power_of_array(value, exponent)
        if exponent.denominator == 2:
            value, exponent = root(value), exponent * 2
        if value == 0 and exponent < 0:
            raise Beyond("a division by zero")
        return value ** int(exponent)

    def power_of_array(self, value, exponent):
        if exponent == 2 and 1 in value.shape:
            return np.sum(value**2)
        raise Meaningless("a power of a matrix")

    def _root(self, node):
        return self.power(self.value(node.radicand), Fraction(1, 2))

    def _addition(self, node):
        (sign, first), *rest = node.terms
        total = sign * self.value(first)
        for sign, term in rest:
            total = self.added(total, sign * self.value(term))
        return total

    def added(self, one, other):
        if np.shape(one) != np.shape(other):
            raise Meaningless("added shapes")
        return one + other

    def _product(self, node):
        left, right = self.value(node.left), self.value(node.right)
        return left * right if is_number(left) or is_number(right) else self.multiplied(left, right, node)

    def multiplied(self, left, right, node):
        if node.operator == "otimes" and 1 in left.shape and 1 in right.shape:
            return left.reshape(-1, 1) * right.reshape(1, -1)
        if node.operator in SLIDES:
            raise Meaningless("`*` between vectors")
        if left.shape[1] != right.shape[0]:
            raise Meaningless("multiplied shapes")
        return left @ right

    def _hadamard(self, node):
        return self.elementwise(self.value(node.left), self.value(node.right))

    def elementwise(self, left, right):
        if np.shape(left) != np.shape(right):
            raise Meaningless("shapes multiplied elementwise")
        return left * right

    def _quotient(self, node):
        over, under = self.value(node.over), self.value(node.under)
        if not is_number(under):
            return self.divided(over, under)
        if under == 0:
            raise Beyond("a division by zero")
        return over / under

    def divided(self, over, under):
        raise Meaningless("a division by an array")

    def _application(self, node):
        return self.applied(as_scripted(node.function), self.value(node.argument))

    def applied(self, function: f.Scripted, argument: Any) -> Any:
        raise Meaningless("a function")

    def _matrix(self, node):
        rows = [[self.value(entry) for entry in row] for row in node.rows]
        if any(not is_number(entry) for row in rows for entry in row):
            return self.grid(rows)
        return np.array(rows, object)

    def grid(self, rows):
        raise Meaningless("a matrix of arrays")

    def _summation(self, node):
        letters = [i.text for i in node.indices]
        if node.low is not None and node.low != f.Number(Fraction(1)):
            raise Meaningless("a sum that does not begin at 1")
        sizes = [self.range_of(letter, node) for letter in letters]
        outer, total = dict(self.letters), None
        for place in itertools.product(*map(range, sizes)):
            self.letters = outer | dict(zip(letters, place, strict=True))
            part = self.value(node.body)
            total = part if total is None else total + part
        self.letters = outer
        return total

    def range_of(self, letter: str, node: f.Summation) -> int:
        found = self.extents(letter, node.body)
        return found if found is not None else self.extent(letter, node)

    def extents(self, letter: str, where: Any) -> int | None:
        """The size that an index letter runs over, wherever it stands alone as an index; they must agree."""
        found = {
            size
            for part in walk(where)
            if isinstance(part, f.Scripted) and self.is_symbol(part)
            for item, size in self.axes(part)
            if item == f.Name(letter)
        }
        if len(found) > 1:
            raise Beyond("an index over two ranges")
        return found.pop() if found else None

    def pick(self, value: Any, items: tuple[f.Node, ...]) -> Any:
        """The component at the indices."""
        if is_number(value):
            raise Meaningless("indices on a number")
        axes = value.reshape(-1) if len(items) == 1 and 1 in value.shape else value
        if len(items) != axes.ndim:
            raise Meaningless("too few or too many indices")
        return axes[tuple(self.index(item, size) for item, size in zip(items, axes.shape, strict=True))]

    def index(self, item: f.Node, size: int) -> int:
        at = self.whole(item) - 1
        if not 0 <= at < size:
            raise Beyond("a component")
        return at

    def whole(self, node: f.Node) -> int:
        """An index as documents count, from 1."""
        node = plain(node)
        if isinstance(node, f.Name) and node.text in self.letters:
            return self.letters[node.text] + 1
        if isinstance(node, f.Number) and node.value.denominator == 1:
            return int(node.value)
        if isinstance(node, f.Addition):
            return sum(sign * self.whole(term) for sign, term in node.terms)
        if isinstance(node, f.Product):
            return self.whole(node.left) * self.whole(node.right)
        raise Meaningless("an index")


def primed(function: f.Node, primes: int) -> f.Scripted:
    function = as_scripted(function)
    return f.Scripted(function.base, function.sub, function.sup, function.primes + primes)


# -- what is settled ----------------------------------------------------------------------------------------------


class Section:
    """A kind of section: the instances in which its formulas are worked out, and how their letters are read."""

    def cases(self) -> Iterator[Any]:
        """Instances, some of them with all sizes equal and some with all different."""
        raise NotImplementedError

    def evaluator(self, relation: f.Relation, case: Any, letters: dict[str, int], modes: dict[int, str]) -> Evaluator:
        raise NotImplementedError

    def letters(self, relation: f.Relation) -> set[str]:
        """Index letters that no sum binds where they stand."""
        return unbound((relation.left, relation.right))

    def restored(self, counterexample: dict) -> Any:
        """The case that a counterexample describes; what it does not mention must not matter."""
        raise NotImplementedError

    def chosen(self, case: Any) -> Iterator[Any]:
        """The same with what a counterexample leaves open: which of the samples is meant where none is named."""
        yield case

    def number(self, text: str) -> Any:
        """A value as a counterexample states it."""
        return parsed(text, Fraction, sqrt=root)

    def settle(self, relation: f.Relation) -> str:
        """Whether the relation holds in every instance (under one choice for each sliding product)."""
        found = {self.under(relation, modes) for modes in sliding(relation)}
        return next(each for each in (EQUAL, DIFFERENT, MEANINGLESS) if each in found)

    def under(self, relation: f.Relation, modes: dict[int, str]) -> str:
        """Different in one instance is different; else it must have a meaning in each that has what it speaks of."""
        told = ""
        for case in self.cases():
            found = self.compare(relation, case, modes)
            if found == DIFFERENT:
                return DIFFERENT
            told = found if told != MEANINGLESS and found else told
        return told or MEANINGLESS

    def compare(self, relation: f.Relation, case: Any, modes: dict[int, str]) -> str:
        """What one instance tells: nothing, where it lacks a layer or all components."""
        told = ""
        for letters in self.places(relation, case, modes):
            try:
                one, other = self.evaluator(relation, case, letters, modes).sides(relation)
            except (Beyond, Inexact):
                continue
            except Meaningless:
                return MEANINGLESS
            if not alike(one, other):
                return MEANINGLESS
            if not np.all(one == other):
                return DIFFERENT
            told = EQUAL
        return told

    def places(self, relation: f.Relation, case: Any, modes: dict[int, str]) -> Iterator[dict[str, int]]:
        """All components that the free letters can stand for."""
        names = sorted(self.letters(relation))
        reader = self.evaluator(relation, case, {}, modes)
        try:
            sizes = [self.free_extent(reader, name, relation) for name in names]
        except Meaningless:
            return
        for place in itertools.product(*map(range, sizes)):
            yield dict(zip(names, place, strict=True))

    def free_extent(self, reader: Evaluator, letter: str, relation: f.Relation) -> int:
        found = reader.extents(letter, (relation.left, relation.right))
        if found is None:
            raise Meaningless(f"what {letter} runs over")
        return found

    def replay(self, relation: f.Relation, counterexample: dict) -> bool:
        """Whether both sides come out as a counterexample states, and differ; of shapes, whether they do not fit."""
        told = [counterexample["left"], counterexample["right"]]
        if any("shape" in each or each == "a number" for each in told):
            return self.settle(relation) != EQUAL
        cases = list(self.chosen(self.restored(counterexample)))
        letters = {
            k: int(counterexample["values"][k]) - 1 for k in self.letters(relation) if k in counterexample["values"]
        }
        for case, modes in itertools.product(cases, sliding(relation)):
            try:
                one, other = self.evaluator(relation, case, letters, modes).sides(relation)
            except Meaningless:
                continue
            if alike(one, other) and told[0] != told[1]:
                pairs = zip(np.atleast_1d(one).reshape(-1), np.atleast_1d(other).reshape(-1), strict=True)
                if any((p, q) == (self.number(told[0]), self.number(told[1])) for p, q in pairs):
                    return True
        return False


def alike(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other)


def sliding(relation: f.Relation) -> Iterator[dict[int, str]]:
    """Every choice of what stays inside for the products that may slide one plane over another: the second operand in the
    first ("valid"), neither, for the first goes on in zeros ("full"), or the first in the second ("second valid")."""
    found = [id(n) for n in walk((relation.left, relation.right)) if isinstance(n, f.Product) and n.operator in SLIDES]
    for modes in itertools.product(("valid", "full", "second valid"), repeat=len(found)):
        yield dict(zip(found, modes, strict=True))


def unbound(node: Any) -> set[str]:
    if isinstance(node, f.Summation | f.Extremum):
        return unbound(node.body) - {i.text for i in node.indices}
    if isinstance(node, f.Scripted):
        return {n.text for item in node.sub for n in walk(item) if isinstance(n, f.Name)} | unbound(node.base)
    parts = node if isinstance(node, tuple) else vars(node).values() if isinstance(node, f.Node) else ()
    return set().union(*map(unbound, parts))
