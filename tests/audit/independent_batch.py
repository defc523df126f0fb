"""Batch normalisation in exact numbers: one layer l normalised over its samples.

Whether the layers beside it are normalised too is not said. So of the one above only what is weighed, z^{l+1}, is known; of
the one below that too, and a^{l-1}, but not how one comes from the other.

Roots are rational because epsilon is chosen so that they are. Vectors are rows, products of rows side by side are taken
feature by feature, and the derivative of a row by a row is the matrix whose rows are of what is differentiated.
"""

import itertools
import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar

import numpy as np
from independent import Beyond, Dual, Meaningless, Section, array_of, drawer, is_number, plain, unbound, walk
from independent_layers import Key, Layered, Net, coefficients_of

from derive.audit.syntax import formula as f


class Batch(Net):
    """Layer `normal`, some before it and perhaps one after it; the cost is linear in z of the last, or in its own a."""

    names = ("a", "z", "z_hat", "y")
    parameters = ("w", "b", "gamma", "beta")
    statistics = ("mu", "var")
    order = ("w", "b", "z", "mu", "var", "z_hat", "gamma", "beta", "y", "a")
    direct: ClassVar = {"var": ("z", "mu"), "z_hat": ("z", "mu", "var"), "y": ("z_hat", "gamma", "beta")}

    def __init__(self, widths: dict[int, int], normal: int, samples, given, activation):
        super().__init__(max(widths), samples, given, activation)
        self.widths, self.normal = widths, normal
        if ("epsilon",) not in given:
            given["epsilon",] = epsilon_for(self.variances())

    def shape(self, name, layer):
        weighed = ("z", "w", "b")
        below = ("a", *weighed) if self.normal - 2 in self.widths else ("a",)
        known = {self.normal - 2: ("a",), self.normal - 1: below, self.normal: self.order, self.normal + 1: weighed}
        if layer not in self.widths or layer not in known:
            raise Beyond(f"no layer {layer}")
        if name not in known[layer]:
            raise Meaningless("what is not said of the layers beside the normalised one")
        width = self.widths[layer]
        return (width, self.widths[layer - 1]) if name == "w" else (width,)

    def derivative(self, of, by):
        if by[0] in ("z", "w", "b") and by[1] == self.normal - 1 and of[:2] != ("z", by[1]):
            raise Meaningless("what is not said of the layers beside the normalised one")
        return super().derivative(of, by)

    def variances(self) -> list[Fraction]:
        """Of each feature of the layer that is normalised."""
        units = range(self.widths[self.normal - 1])
        below = [[self.given["a", self.normal - 1, x, j] for j in units] for x in range(self.samples)]
        z = self.weighted(self.given, below, self.normal)
        means = [sum(row[j] for row in z) / self.samples for j in range(len(z[0]))]
        return [sum((row[j] - mean) ** 2 for row in z) / self.samples for j, mean in enumerate(means)]

    def weighted(self, w: dict, a: list[list[Any]], layer: int) -> list[list[Any]]:
        """z = w a + b, a row for each sample."""
        units, inputs = range(self.widths[layer]), range(self.widths[layer - 1])
        return [[sum((w["w", layer, j, k] * row[k] for k in inputs), w["b", layer, j]) for j in units] for row in a]

    def forward(self, put):
        w = {key: put(key, value) for key, value in self.given.items() if key[0] in self.parameters}

        def rows(name: str, layer: int, entry: Callable[[int, int], Any]) -> list[list[Dual]]:
            units = range(self.widths[layer])
            return [[put((name, layer, x, j), entry(x, j)) for j in units] for x in range(self.samples)]

        if (first := self.normal - 2) in self.widths:
            before = rows("a", first, lambda x, j: self.given["a", first, x, j])
            first_sums = self.weighted(w, before, first + 1)
            rows("z", first + 1, lambda x, j: first_sums[x][j])
        below = rows("a", self.normal - 1, lambda x, j: self.given["a", self.normal - 1, x, j])
        sums = self.weighted(w, below, self.normal)
        z = rows("z", self.normal, lambda x, j: sums[x][j])
        y = self.normalised(put, w, z, rows)
        out = rows("a", self.normal, lambda x, j: self.activated(y[x][j]))
        if self.last > self.normal:
            above = self.weighted(w, out, self.last)
            out = rows("z", self.last, lambda x, j: above[x][j])
        terms = [value * self.given["g", x, j] for x, row in enumerate(out) for j, value in enumerate(row)]
        put(("C",), sum(terms, Dual(Fraction(0))))

    def normalised(self, put, w, z, rows):
        layer, everyone, units = self.normal, range(self.samples), range(self.widths[self.normal])
        nothing, share = Dual(Fraction(0)), Fraction(1, self.samples)
        mu = [put(("mu", layer, j), sum((z[x][j] for x in everyone), nothing) * share) for j in units]
        var = []
        for j in units:
            apart = [z[x][j] - mu[j] for x in everyone]
            var.append(put(("var", layer, j), sum((d * d for d in apart), nothing) * share))
        z_hat = rows("z_hat", layer, lambda x, j: (z[x][j] - mu[j]) / (var[j] + self.given["epsilon",]).root())
        return rows("y", layer, lambda x, j: w["gamma", layer, j] * z_hat[x][j] + w["beta", layer, j])


def epsilon_for(variances: list[Fraction]) -> Fraction:
    """A positive number that makes each variance, of at most two kinds, the square of a rational number."""
    low, high = min(variances), max(variances)
    if low == high:
        return Fraction(math.isqrt(math.floor(high)) + 1) ** 2 - high
    for step in itertools.count(1):  # s^2 - t^2 = high - low where s - t = 1 / step and s + t = step (high - low)
        s = ((high - low) * step + Fraction(1, step)) / 2
        if s * s > high:
            return s * s - high
    raise AssertionError


class OfBatch(Layered):
    """The letters of batch normalisation: the first index of what a sample has its own of is the sample."""

    quantities: ClassVar = Layered.quantities | {
        "hat z": "z_hat", "hat x": "z_hat", "y": "y", "mu": "mu", "variance": "var", "gamma": "gamma", "beta": "beta",
    }  # fmt: skip
    rows = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.samples_written = samples_written(self.relation)
        sums = [n for n in walk((self.relation.left, self.relation.right)) if isinstance(n, f.Summation)]
        self.with_sums = {i.text for n in sums for i in n.indices}

    # -- scripts

    def is_symbol(self, node):
        return super().is_symbol(node) or is_variance(node)

    def base_of(self, node):
        if is_variance(node):
            layers = node.sup if isinstance(node.base, f.Group) else ()
            items = () if isinstance(node.base, f.Group) else node.sub
            return "variance", self.of_features("variance", items), layers
        text, items, sup = super().base_of(node)
        return text, self.of_features(text, items), sup

    def of_features(self, text: str, items: tuple) -> tuple:
        """The indices without the sample and without the label of the batch."""
        items = tuple(i for i in items if i != f.Name("B"))
        if is_of_sample(text):
            return items[1:]
        return () if len(items) == 1 and getattr(items[0], "text", "") in self.samples_written else items

    def letter_of_sample(self, node):
        text = node.base.text if isinstance(node.base, f.Name | f.Word) else ""
        return node.sub[0].text if is_of_sample(text) and node.sub and isinstance(node.sub[0], f.Name) else ""

    def sample_of(self, node):
        letter = self.letter_of_sample(node)
        among = self.samples_written or self.with_sums
        found = [letter] if letter else [text for text in among if text in self.letters]
        if len(found) != 1 or found[0] not in self.letters:
            raise Meaningless("it names no sample")
        return self.letters[found[0]]

    def extent(self, letter, node):
        return self.net.samples

    def cost(self, node):
        super().cost(node)
        return ("C",)

    def cost_of(self, sample):
        return ("C",)

    def by(self, cost, node):
        symbol = self.parsed(node)
        if symbol.turned or node.primes or symbol.name not in self.all_names:
            raise Meaningless("a derivative by this")
        sample = self.sample_of(node) if symbol.name in self.net.names else 0
        found = self.gathered(symbol.name, symbol.layer, sample, lambda key: self.net.derivative(cost, key))
        return self.finished(symbol, found)

    # -- values

    def special(self, text, node, items, sup):
        if text == "epsilon" and not items and not sup:
            return (self.net.given["epsilon",],)
        return super().special(text, node, items, sup) if text not in ("y", "target") else None

    def _differential(self, node):
        """Half of a derivative, alone: any number, for all that the formula says."""
        of = node.of
        while isinstance(of, f.Group | f.Scripted):
            of = of.body if isinstance(of, f.Group) else of.base
        return self.net.given.get(("partial", of.text.split()[-1]), Fraction(5, 7))

    def added(self, one, other):
        if is_number(one) or is_number(other) or one.shape == other.shape:
            return one + other
        raise Meaningless("added shapes")

    def elementwise(self, left, right):
        if is_number(left) or is_number(right) or left.shape == right.shape:
            return left * right
        raise Meaningless("shapes multiplied elementwise")

    def multiplied(self, left, right, node):
        if left.ndim == right.ndim == 2 and left.shape == right.shape and left.shape[0] == 1 < left.shape[1]:
            return left * right
        return super().multiplied(left, right, node)

    def divided(self, over, under):
        if not np.all(under):
            raise Beyond("a division by zero")
        return self.elementwise(over, np.vectorize(lambda x: 1 / x, otypes=[object])(under))

    def power_of_array(self, value, exponent):
        if value.ndim == 2 and 1 in value.shape:
            return array_of(value.shape, lambda *at: self.power(value[at], exponent))
        raise Meaningless("a power of a matrix")


def is_of_sample(text: str) -> bool:
    return text in ("a", "z", "hat z", "hat x", "y", "delta", "word delta")


def is_variance(node: f.Node) -> bool:
    r"""`\sigma_B^2`, also in brackets before a layer."""
    if not isinstance(node, f.Scripted) or node.primes:
        return False
    if isinstance(node.base, f.Group) and not node.sub:
        return is_variance(plain(node.base))
    return node.base == f.Name("sigma") and node.sub == (f.Name("B"),) and node.sup == (f.Number(Fraction(2)),)


def samples_written(relation: f.Relation) -> set[str]:
    """The letters that stand for samples."""
    scripted = [n for n in walk((relation.left, relation.right)) if isinstance(n, f.Scripted) and n.sub]
    first = [n.sub[0] for n in scripted if isinstance(n.base, f.Name) and is_of_sample(n.base.text)]
    return {item.text for item in first if isinstance(item, f.Name)}


@cache
def random_batch(seed: int, sizes: tuple[int, ...], samples: int, small: bool = False) -> Batch:
    """With an epsilon that makes the roots rational; or a `small` one, less than the variance."""
    draw, widths = drawer(f"{seed} activation"), dict(enumerate(sizes, 1))
    found = Batch(widths, 3, samples, drawn(seed, widths, 3, samples), [draw() for _ in range(3)])
    if small:
        found.given["epsilon",] = min(found.variances()) * Fraction(9, 16)
    return found


def drawn(seed: int, widths: dict[int, int], normal: int, samples: int) -> dict[Key, Fraction]:
    """All that is given of a network but epsilon."""
    draw, everyone = drawer(seed), range(samples)
    _, *others = widths
    before = [layer for layer in widths if layer < normal]
    given: dict[Key, Fraction] = {("a", at, x, j): draw() for at in before for x in everyone for j in range(widths[at])}
    given |= {("g", x, j): draw() for x in everyone for j in range(widths[max(widths)])}
    given |= {("partial", letter): draw() for letter in ("mu", "C", "z", "y")}
    given["eta",] = draw()
    for layer in others:
        units = range(widths[layer])
        given |= {("w", layer, j, k): draw() for j in units for k in range(widths[layer - 1])}
        given |= {("b", layer, j): draw() for j in units}
    given |= {(name, normal, j): draw() for name in ("gamma", "beta") for j in range(widths[normal])}
    return given


class BatchSection(Section):
    """Formulas of batch normalisation."""

    def __init__(self, **conventions: str) -> None:
        self.conventions = {"vectors": "rows"} | conventions

    def cases(self):
        sizes = [((1, 1, 1, 1), 2), ((2, 2, 2, 2), 3), ((1, 1, 2, 1), 2), ((1, 2, 1, 3), 3)]
        yield from ((random_batch(seed, *each), 3) for seed, each in enumerate(sizes))
        yield random_batch(5, (1, 1, 1, 1), 2, small=True), 3

    def evaluator(self, relation, case, letters, modes):
        net, layer = case
        return OfBatch(net, layer, relation, letters, modes, self.conventions)

    def letters(self, relation):
        return unbound((relation.left, relation.right)) - {"B"}

    def restored(self, counterexample):
        sizes, values = counterexample["sizes"], counterexample["values"]
        samples, layer = int(sizes["m"]), int(sizes.get("l", 2))
        above = any(name.startswith((r"\delta", rf"w_{{11}}^{{{layer + 1}}}")) for name in values)
        below = any(re.fullmatch(rf"a_\d+\^{{(?:\d+,)?{layer - 2}}}", name) for name in values)
        widths = {i: int(sizes.get(f"n_{i}", 1)) for i in range(layer - 1 - below, layer + 1 + above)}
        given = drawn(0, widths, layer, samples)
        for name, value in values.items():
            number = None if name == "sigma(z)" else self.number(value)
            if m := re.fullmatch(r"\\partial \\?(\w+)", name):
                given["partial", m[1]] = number
            elif name in (r"\epsilon", r"\eta"):
                given[name[1:],] = number
            elif m := re.fullmatch(r"w_\{(\d)(\d)\}\^\{(\d+)\}", name):
                given["w", int(m[3]), int(m[2]) - 1, int(m[1]) - 1] = number  # from its row to its column
            elif m := re.fullmatch(r"(b|\\gamma|\\beta)_(\d+)\^\{(\d+)\}", name):
                given[m[1].strip("\\"), int(m[3]), int(m[2]) - 1] = number
            elif m := re.fullmatch(r"(a|\\delta|\\partial C/\\partial a)_(\d+)\^\{(?:(\d+),)?(\d+)\}", name):
                own = {"a": (layer - 1, layer - 2), r"\delta": (layer + 1,)}.get(m[1], (layer,))
                if int(m[4]) not in own:
                    raise AssertionError(f"a value of a layer that is not known: {name}")
                key = ("a", int(m[4])) if m[1] == "a" else ("g",)
                given[*key, int(m[3] or 1) - 1, int(m[2]) - 1] = number
            elif name != "sigma(z)" and not re.fullmatch(r"[a-zA-Z]", name):
                raise AssertionError(f"a value that the checker does not know: {name}")
        return Batch(widths, layer, samples, given, coefficients_of(values.get("sigma(z)", "z"))), layer
