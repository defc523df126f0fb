"""Convolution and pooling in exact numbers: stride 1 or windows side by side, no padding.

An array has an axis for the channels of each layer, of size one where it has none of them, then rows and columns.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from independent import FLIP, SLIDES, Beyond, Dual, Meaningless, Section, drawer, is_number, plain, walk
from independent_layers import Key, Layered, Net, coefficients_of

from derive.audit.syntax import formula as f


class Planes(Net):
    """Layers of planes; `channels`, `rows`, `columns` by layer, and `taps`, the rows and columns of each filter."""

    def __init__(self, channels, rows, columns, taps, samples, given, activation):
        super().__init__(len(channels), samples, given, activation)
        self.channels, self.rows, self.columns, self.taps = channels, rows, columns, taps
        self.window = 1
        self.given_first = "z" if any(key[0] == "z" for key in given) else "a"  # what is given of layer 1

    def shape(self, name, layer):
        if not (1 if name in ("a", self.given_first) else 2) <= layer <= self.last or (name in "wb" and not self.taps):
            raise Beyond(f"no {name} in layer {layer}")
        if name == "w":
            return (self.channels[layer - 1], self.channels[layer - 2], *self.taps[layer])
        plane = (self.rows[layer - 1], self.columns[layer - 1])
        return (self.channels[layer - 1],) if name == "b" else (self.channels[layer - 1], *plane)

    def places(self, layer: int) -> Iterator[tuple[int, int, int]]:
        return itertools.product(*map(range, self.shape("a", layer)))

    def forward(self, put):
        w = {key: put(key, value) for key, value in self.given.items() if key[0] in ("w", "b")}
        costs = []
        for x in range(self.samples):
            first = {
                at: put((self.given_first, 1, x, *at), self.given[(self.given_first, x, *at)]) for at in self.places(1)
            }
            a = first
            if self.given_first == "z":
                a = {at: put(("a", 1, x, *at), self.activated(first[at])) for at in first}
            for layer in range(2, self.last + 1):
                z = {at: put(("z", layer, x, *at), self.weighted(a, w, layer, *at)) for at in self.places(layer)}
                a = {at: put(("a", layer, x, *at), self.activated(z[at])) for at in self.places(layer)}
            costs.append(put(("C", x), sum((a[at] * self.given[("g", x, *at)] for at in a), Dual(Fraction(0)))))
        put(("E",), sum(costs, Dual(Fraction(0))) * Fraction(1, self.samples))

    def weighted(self, a: dict, w: dict, layer: int, o: int, i: int, j: int) -> Dual:
        """A cross-correlation: the filter is not turned."""
        tall, wide = self.taps[layer]
        taps = itertools.product(range(self.channels[layer - 2]), range(tall), range(wide))
        return sum((w["w", layer, o, c, u, v] * a[c, i + u, j + v] for c, u, v in taps), w["b", layer, o])


class Pooled(Planes):
    """Windows of `window` rows and columns, side by side: their mean, or the first of their largest."""

    parameters = ()

    def __init__(self, channels, rows, columns, window, samples, given, activation, largest):
        super().__init__(channels, rows, columns, {}, samples, given, activation)
        self.window, self.largest = window, largest

    def weighted(self, a, w, layer, o, i, j):
        s = self.window
        inside = [a[o, s * i + u, s * j + v] for u in range(s) for v in range(s)]
        if self.largest:
            return max(inside, key=lambda each: each.value)
        return sum(inside, Dual(Fraction(0))) * Fraction(1, s * s)


class OfPlanes(Layered):
    """The letters of a network of planes. Conventions: `star` says what `*` is, `below` what the error below is."""

    net: Planes

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if self.net.taps:
            self.quantities = self.quantities | {"K": "w", "k": "w", "F": "w"}
        self.figure = any(isinstance(n, f.Matrix) for n in walk((self.relation.left, self.relation.right)))

    # -- scripts

    def base_of(self, node):
        text, items, sup = super().base_of(node)
        if text in ("W", "w") and items == (f.Name("b"),):  # the bias of a figure
            return "b", (), sup
        return text, items, sup

    def sizes(self, symbol):
        return self.net.shape({"delta": "z", "upright": "a"}.get(symbol.name, symbol.name), symbol.layer)

    def below(self, symbol):
        pools = bool(self.net.window > 1 or not self.net.taps)
        by_activation = self.conventions.get("below") == "by the activation"
        return by_activation and (self.figure or pools) and symbol.layer == self.layer - 1

    def extent(self, letter, node):
        if not self.net.taps:
            return self.net.window
        if len(node.indices) != 2:
            raise Meaningless("a sum over nothing")
        return self.net.shape("z", self.layer)[1 + [i.text for i in node.indices].index(letter)]

    def whole(self, node):
        node = plain(node)
        if node == f.Name("s") and not self.net.taps:
            return self.net.window
        if isinstance(node, f.Name) and node.text in self.letters:
            return self.letters[node.text] + self.first
        return super().whole(node)

    @property
    def first(self) -> int:
        return 0 if self.conventions.get("counting") == "from zero" else 1

    def index(self, item, size):
        at = self.whole(item) - self.first
        if not 0 <= at < size:
            if isinstance(item, f.Name | f.Number):
                raise Beyond("a component")
            raise Border("beyond the border")
        return at

    # -- values

    def special(self, text, node, items, sup):
        if text == "s" and not self.net.taps:
            return (self.raised(Fraction(self.net.window), sup),)
        return super().special(text, node, items, sup)

    def finished(self, symbol, found):
        """In the layout of arrays: each channel axis at its layer's place; a picked row and column of size one."""
        if symbol.turned:
            raise Meaningless("a transpose of planes")
        if symbol.name == "w" and self.conventions.get("star") == "convolution":
            found = found[FLIP]
        count, items = len(symbol.items), symbol.items
        if count > found.ndim or (found.ndim > 2 and count not in (0, 2, found.ndim)):
            raise Meaningless("too few or too many indices")
        try:
            at = [self.index(item, size) for item, size in zip(items, found.shape[found.ndim - count :], strict=True)]
        except Border:
            found = found * 0
            at = [0] * count
        picked = found[(..., *at)] if count else found
        if not isinstance(picked, np.ndarray) or picked.ndim == 0:
            return picked if not isinstance(picked, np.ndarray) else picked.item()
        owners = (symbol.layer, symbol.layer - 1) if symbol.name == "w" else (symbol.layer,)
        owners = owners if self.net.taps else (1,)  # a pooling layer has the channels of the one before
        plane = picked.shape[len(owners) :] or (1, 1)
        shape = [1] * self.net.last
        for owner, size in zip(owners, picked.shape, strict=False):
            shape[owner - 1] = size
        if len(owners) == 2:
            picked = picked.swapaxes(0, 1)
        return picked.reshape(*shape, *plane)

    def spread(self, one, other):
        """A number for each channel stands at every place of its plane."""
        if is_number(one) or is_number(other) or one.shape[:-2] != other.shape[:-2]:
            return one, other
        flat_ = [v.shape[-2:] == (1, 1) for v in (one, other)]
        return tuple(np.broadcast_arrays(one, other)) if any(flat_) else (one, other)

    def added(self, one, other):
        if is_number(one) or is_number(other):
            return super().added(one, other)
        flat_ = [v.shape[-2:] == (1, 1) for v in (one, other)]
        if one.shape[:-2] != other.shape[:-2] or (one.shape != other.shape and not any(flat_)):
            raise Meaningless("added shapes")
        return one + other

    def elementwise(self, left, right):
        if is_number(left) or is_number(right):
            if is_number(left) and is_number(right):
                return left * right
            raise Meaningless("a number and a plane multiplied elementwise")
        return super().elementwise(left, right)

    def multiplied(self, left, right, node):
        if node.operator in SLIDES:
            return self.slid(left, right, self.modes[id(node)])
        if left.shape[-2:] != (1, 1) or right.shape[-2:] != (1, 1):
            raise Meaningless("two planes side by side")
        if any(p > 1 and q > 1 for p, q in zip(left.shape, right.shape, strict=True)):
            raise Beyond("channels side by side")
        return left * right

    def slid(self, left: np.ndarray, right: np.ndarray, mode: str) -> np.ndarray:
        """The second operand slid over the first; a sum over the channels that both have."""
        if mode == "second valid":
            left, right = right, left
        if self.conventions.get("star", "cross-correlation") != "cross-correlation":
            right = right[FLIP]
        tall, wide = right.shape[-2:]
        if mode == "full":
            border = [(0, 0)] * (left.ndim - 2) + [(tall - 1, tall - 1), (wide - 1, wide - 1)]
            left = np.pad(left, border, constant_values=Fraction(0))
        rows, columns = left.shape[-2] - tall + 1, left.shape[-1] - wide + 1
        if rows < 1 or columns < 1:
            raise Meaningless("the second operand does not fit into the first")
        total = 0
        for u, v in itertools.product(range(tall), range(wide)):
            total = total + left[..., u : u + rows, v : v + columns] * right[..., u : u + 1, v : v + 1]
        shared = tuple(n for n in range(left.ndim - 2) if left.shape[n] > 1 and right.shape[n] > 1)
        return np.sum(total, axis=shared, keepdims=True) if shared else total

    def _application(self, node):
        if node.function == f.Name("rot180"):
            value = self.value(node.argument)
            if is_number(value):
                raise Meaningless("a number turned")
            return value[FLIP]
        return super()._application(node)

    # -- figures

    def _scripted(self, node):
        if isinstance(node.base, f.Matrix) and node.sup and not node.sub:
            rows = tuple(
                tuple(replace(e, sup=node.sup) if isinstance(e, f.Scripted) else e for e in row)
                for row in node.base.rows
            )
            return self._matrix(f.Matrix(rows))
        return super()._scripted(node)

    def grid(self, rows):
        if any(is_number(entry) for row in rows for entry in row):
            raise Meaningless("a matrix of numbers and planes")
        return np.concatenate([np.concatenate(row, axis=-1) for row in rows], axis=-2)

    def _matrix(self, node):
        found = super()._matrix(node)
        return found.reshape(*[1] * self.net.last, *found.shape) if found.ndim == 2 else found

    # -- the largest

    def _cases(self, node):
        if len(node.rows) != 2 or node.rows[1][1] is not None:
            raise Meaningless("a case distinction")
        (value, condition), (other, _) = node.rows
        one, two = self.value(value), self.value(other)
        chosen = self.is_largest(condition)
        if is_number(one) and is_number(two):
            raise Meaningless("cases of numbers")
        one, two = (v if not is_number(v) else np.full(chosen.shape, v, object) for v in (one, two))
        return np.where(chosen, one, two)

    def is_largest(self, condition: f.Relation) -> np.ndarray:
        """Where the place on the left is that of the first largest, channel by channel."""
        place, sought = condition.left, condition.right
        if not (isinstance(place, f.Listing) and isinstance(sought, f.Extremum) and sought.kind == "argmax"):
            raise Meaningless("a condition")
        meant = tuple(self.whole(item) - self.first for item in place.items)
        found = self.over(sought)
        best = np.maximum.reduce([value for _, value in found])
        before = np.zeros(best.shape, bool)
        for at, value in found:
            if at == meant:
                return (value == best) & ~before
            before = before | (value == best)
        raise Meaningless("a place outside of the window")

    def _extremum(self, node):
        if node.kind != "max":
            raise Meaningless(node.kind)
        return np.maximum.reduce([value for _, value in self.over(node)])

    def over(self, node: f.Extremum) -> list[tuple[tuple[int, ...], Any]]:
        """The values under an extremum, row by row, each with its place."""
        letters = [i.text for i in node.indices]
        outer, found = dict(self.letters), []
        for place in itertools.product(range(self.net.window), repeat=len(letters)):
            self.letters = outer | dict(zip(letters, place, strict=True))
            found.append((place, self.value(node.body)))
        self.letters = outer
        return found


class Border(Exception):
    """A composed index beyond the border of a plane, where there are zeros."""


# -- sections -----------------------------------------------------------------------------------------------------


def filled(seed: object, shapes: dict[tuple, tuple[int, ...]]) -> dict[Key, Fraction]:
    """Random numbers for every component of the arrays that are given, by the beginning of their keys."""
    draw = drawer(seed)
    return {(*key, *at): draw() for key, shape in shapes.items() for at in np.ndindex(*shape)}


@cache
def convolution(seed: int, channels: tuple, taps: tuple, top: tuple[int, int], samples: int = 1) -> Planes:
    """A network from the channels and filters of its layers, up to a plane of the size `top`."""
    rows, columns = [top[0]], [top[1]]
    for tall, wide in reversed(taps):
        rows.insert(0, rows[0] + tall - 1)
        columns.insert(0, columns[0] + wide - 1)
    by_layer = dict(enumerate(taps, 2))
    last = len(channels)
    shapes: dict[tuple, tuple[int, ...]] = {}
    for x in range(samples):
        shapes["a", x] = (channels[0], rows[0], columns[0])
        shapes["g", x] = (channels[-1], rows[-1], columns[-1])
    for layer in range(2, last + 1):
        shapes["w", layer] = (channels[layer - 1], channels[layer - 2], *by_layer[layer])
        shapes["b", layer] = (channels[layer - 1],)
    given = filled(seed, shapes)
    draw = drawer(f"{seed} scalars")
    given["eta",] = draw()
    return Planes(channels, rows, columns, by_layer, samples, given, [draw() for _ in range(3)])


@cache
def pooling(seed: int, channels: int, top: tuple[int, int], window: int, largest: bool, depth: int = 3) -> Pooled:
    rows = [top[0] * window**n for n in reversed(range(depth))]
    columns = [top[1] * window**n for n in reversed(range(depth))]
    shapes = {("z", 0): (channels, rows[0], columns[0]), ("g", 0): (channels, rows[-1], columns[-1])}
    given, draw = filled(seed, shapes), drawer(f"{seed} slopes")
    for n, key in enumerate(k for k in given if k[0] == "z"):  # no two alike
        given[key] += Fraction(n + 1, 97)
    return Pooled((channels,) * depth, rows, columns, window, 1, given, [draw(), draw(), draw()], largest)


class PlaneSection(Section):
    """Formulas of networks of planes; `kind` is convolution, max_pooling or average_pooling."""

    def __init__(self, kind: str, **conventions: str) -> None:
        self.kind, self.conventions = kind, conventions

    def cases(self):
        if self.kind == "convolution":
            nets = [
                convolution(1, (1, 1, 1, 1), ((2, 1), (1, 2), (1, 1)), (1, 2)),
                convolution(2, (1, 2, 1, 1), ((1, 2), (2, 2), (2, 1)), (1, 1)),
                convolution(3, (1, 1, 2, 1), ((1, 1), (2, 2), (1, 1)), (2, 1)),
                convolution(4, (1, 1, 1, 1), ((1, 1), (1, 1), (1, 1)), (2, 2), 2),
            ]
            yield from ((net, layer) for net in nets for layer in (2, 3))
            if self.conventions.get("figure"):
                yield from ((convolution(seed, (1, 1), ((2, 2),), (2, 2)), 2) for seed in (5, 6))
                yield convolution(7, (1, 1, 1), ((1, 1), (2, 2)), (2, 2)), 3
                yield convolution(8, (1, 1, 1), ((2, 2), (1, 1)), (2, 2)), 2
            return
        largest = self.kind == "max_pooling"
        nets_ = [
            pooling(1, 1, (1, 1), 2, largest),
            pooling(2, 1, (1, 2), 1, largest),
            pooling(3, 2, (2, 1), 2, largest),
        ]
        yield from ((net, layer) for net in nets_ for layer in (2, 3))

    def evaluator(self, relation, case, letters, modes):
        net, layer, *sample = case
        return OfPlanes(net, layer, relation, letters, modes, self.conventions, *sample)

    def chosen(self, case):
        yield from ((*case, sample) for sample in range(case[0].samples))

    def letters(self, relation):
        everything = list(walk((relation.left, relation.right)))
        listed = {i.text for n in everything if isinstance(n, f.Listing) for i in n.items if isinstance(i, f.Name)}
        found = (super().letters(relation) | listed) - {"b"}
        return found - {"s"} if self.kind != "convolution" else found

    def free_extent(self, reader, letter, relation):
        found = reader.extents(letter, (relation.left, relation.right))
        if found is None and self.kind != "convolution":
            return reader.net.window
        if found is None:
            raise Meaningless(f"what {letter} runs over")
        return found

    def restored(self, counterexample):
        sizes = {k: int(v) for k, v in counterexample["sizes"].items()}
        last, samples = sizes["L"], sizes["m"]
        layers = range(1, last + 1)
        channels = tuple(sizes.get(f"c_{i}", 1) for i in layers)
        rows, columns = ([sizes.get(f"{letter}_{i}", 1) for i in layers] for letter in "rq")
        given_first = "z" if any(name.startswith("z_") for name in counterexample["values"]) else "a"
        taps = {i: (sizes.get(f"h_{i}", 1), sizes.get(f"k_{i}", 1)) for i in layers if i > 1}
        shapes: dict[tuple, tuple[int, ...]] = {}
        for x in range(samples):
            shapes[given_first, x] = (channels[0], rows[0], columns[0])
            shapes["g", x] = (channels[-1], rows[-1], columns[-1])
        if self.kind == "convolution":
            for layer in layers[1:]:
                shapes["w", layer] = (channels[layer - 1], channels[layer - 2], *taps[layer])
                shapes["b", layer] = (channels[layer - 1],)
        given = filled(0, shapes) | {("eta",): Fraction(1)}
        activation = None
        for name, value in counterexample["values"].items():
            if name == "sigma(z)":
                activation = coefficients_of(value)
            elif name == r"\eta":
                given["eta",] = Fraction(value)
            elif not re.fullmatch(r"[a-zA-Z]", name):
                key = component(name, max(channels) == 1)
                if key not in given:
                    raise AssertionError(f"a value that the checker does not know: {name}")
                given[key] = Fraction(value)
        activation = activation or [Fraction(0), Fraction(1)]
        if self.kind == "convolution":
            net: Planes = Planes(channels, rows, columns, taps, samples, given, activation)
        else:
            net = Pooled(channels, rows, columns, sizes["s"], samples, given, activation, self.kind == "max_pooling")
        return net, sizes.get("l", 2)


def component(name: str, one_channel: bool) -> Key:
    r"""The key of `a_{1,2}^{1}`, of `w_{1,1,2,1}^{2}` and of `\partial C/\partial a_{2,1}^{3}`."""
    m = re.fullmatch(r"(a|z|w|b|\\partial C/\\partial a)_\{?([\d,]+)\}?\^\{(?:(\d+),)?(\d+)\}", name)
    if not m:
        raise AssertionError(f"a value that the checker does not know: {name}")
    letter = m[1] if len(m[1]) == 1 else "g"
    at = [int(i) - 1 for i in m[2].split(",")]
    if one_channel and letter != "b":
        at = [0] * (2 if letter == "w" else 1) + at
    return (letter, int(m[4]) if letter in "wb" else int(m[3] or 1) - 1, *at)
