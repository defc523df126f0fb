"""Networks of layers in exact numbers: what their letters stand for, and the fully-connected network."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar

import numpy as np
from independent import (
    Beyond,
    Dual,
    Evaluator,
    Meaningless,
    Section,
    array_of,
    as_scripted,
    assigns,
    drawer,
    flat,
    plain,
    polynomial,
    slope_of,
    walk,
)

from derive.audit.syntax import formula as f

Key = tuple  # of a number in a network: its name, its layer, its sample if it has one, its indices
COSTS = ("C", "L", "J")
ACTIVATIONS = ("sigma", "g", "f", "phi", "varphi")


class Net:
    """A network in numbers; a subclass says in `forward` what it computes. Layers count from 1, the rest from 0."""

    names: tuple[str, ...] = ("a", "z")  # of what each sample has its own
    parameters: tuple[str, ...] = ("w", "b")
    statistics: tuple[str, ...] = ()  # what neither belongs to one sample nor is given
    order: tuple[str, ...] = ("w", "b", "z", "a")  # in which a layer makes them
    direct: ClassVar = {}  # by name, what a derivative by it holds all else fixed for: it stands in its one equation

    def __init__(self, last: int, samples: int, given: dict[Key, Fraction], activation: list) -> None:
        self.last, self.samples, self.given, self.activation = last, samples, given, activation
        self.runs: dict[Any, dict[Key, Dual]] = {}

    def forward(self, put: Callable[[Key, Any], Dual]) -> None:
        """Every number of the network, each put under its key after what it is made from."""
        raise NotImplementedError

    def shape(self, name: str, layer: int) -> tuple[int, ...]:
        """The sizes of a quantity, without its samples; raises Meaningless for a layer that has none."""
        raise NotImplementedError

    def rank(self, name: str, layer: int) -> int:
        """How far on its way a quantity is made; a parameter stands before what is made with it."""
        return len(self.order) * layer + self.order.index(name)

    def run(self, bump: Key | None = None, of: Key | None = None) -> dict[Key, Dual]:
        """All numbers, with the slopes by that of `bump`; where only `of` is asked for, all others are held."""
        if (bump, of) not in self.runs:
            found: dict[Key, Dual] = {}

            def put(key: Key, value: Any) -> Dual:
                value = Dual.of(value)
                if of is not None and key != of:
                    value = Dual(value.value)
                found[key] = value + Dual(Fraction(0), Fraction(key == bump))
                return found[key]

            self.forward(put)
            self.runs[bump, of] = found
        return self.runs[bump, of]

    def value(self, key: Key) -> Fraction:
        return self.run()[key].value

    def derivative(self, of: Key, by: Key) -> Fraction:
        held = of if by[0] in self.direct.get(of[0], ()) else None
        return self.run(by, held)[of].slope

    def activated(self, z: Dual) -> Dual:
        return polynomial(self.activation, z)


@dataclass(frozen=True)
class Symbol:
    """A letter of a network with what its scripts say."""

    name: str
    layer: int
    items: tuple[f.Node, ...]
    turned: bool = False
    new: bool = False


class Layered(Evaluator):
    """The letters of a network of layers. Conventions: column vectors unless `rows`, an error is the derivative."""

    quantities: ClassVar = {"a": "a", "z": "z", "w": "w", "W": "w", "b": "b", "delta": "delta", "word delta": "upright"}

    def __init__(
        self, net: Net, layer: int, relation: f.Relation, letters: dict[str, int], modes: dict[int, str],
        conventions: dict[str, str], free_sample: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(letters, modes)
        self.free_sample = free_sample  # of what names none, where all samples are alike
        self.net, self.layer, self.relation, self.conventions = net, layer, relation, conventions
        everything = list(walk((relation.left, relation.right)))
        self.updating = assigns(relation) or any(
            f.Word("new") in n.sup for n in everything if isinstance(n, f.Scripted)
        )
        self.sampled = any(isinstance(n, f.Scripted) and self.letter_of_sample(n) for n in everything)
        self.with_ends = with_ends(relation)
        names = {n.text for n in everything if isinstance(n, f.Name)}
        self.of_network = bool(names & ({*self.quantities, *COSTS, "y"}))
        self.with_cost = any(isinstance(n, f.Name) and n.text in ("C", "J") for n in everything)

    def sides(self, relation):
        if assigns(relation) and f.Word("new") not in as_scripted(relation.left).sup:
            left = as_scripted(relation.left)
            return self.symbol(f.Scripted(left.base, left.sub, (*left.sup, f.Word("new")))), self.value(relation.right)
        return super().sides(relation)

    # -- scripts

    def letter_of_sample(self, node: f.Scripted) -> str:
        """`x` in `a^{x,l}`, `C_x` and `y^x`."""
        text = node.base.text if isinstance(node.base, f.Name) else ""
        if text in COSTS:
            return node.sub[0].text if node.sub and isinstance(node.sub[0], f.Name) else ""
        found = [i.text for i in map(plain, node.sup) if isinstance(i, f.Name) and i.text not in ("l", "L", "T")]
        return found[0] if found and (len(node.sup) == 2 or text == "y") else ""

    def sample_of(self, node: f.Scripted) -> int:
        letter = self.letter_of_sample(node)
        if letter and letter not in self.letters:
            raise Meaningless("a sample that is not bound")
        return self.letters[letter] if letter else self.free_sample

    def number_of(self, node: f.Node) -> int:
        node = plain(node)
        if isinstance(node, f.Name) and node.text in ("l", "L"):
            return self.layer if node.text == "l" else self.net.last
        if isinstance(node, f.Number):
            return int(node.value)
        if isinstance(node, f.Addition):
            return sum(sign * self.number_of(term) for sign, term in node.terms)
        raise Meaningless("a layer")

    def base_of(self, node: f.Scripted) -> tuple[str, tuple[f.Node, ...], tuple[f.Node, ...]]:
        """The letter, its subscripts and its superscripts."""
        text = node.base.text if isinstance(node.base, f.Name | f.Word) else ""
        return text, tuple(flat(node.sub)), node.sup

    def parsed(self, node: f.Scripted) -> Symbol:
        text, items, sup = self.base_of(node)
        if text not in self.quantities:
            raise Meaningless(f"the letter {text}")
        sample = self.letter_of_sample(node)
        layers = [i for i in sup if not isinstance(i, f.Word) and i != f.Name("T") and plain(i) != f.Name(sample)]
        if len(layers) > 1:
            raise Meaningless("several superscripts")
        layer = self.number_of(layers[0]) if layers else self.layer
        new = node.primes == 1 or f.Word("new") in sup
        ends = [i.text for i in items if isinstance(i, f.Word)]
        if ends:
            layer, items = layer - (ends == ["in"]), (f.Name("k" if ends == ["in"] else "j"),)
        elif self.with_ends and not items and not sup:  # the weight between those ends, or the bias of the second
            items = (f.Name("j"), f.Name("k")) if text in ("w", "W") else (f.Name("j"),)
        return Symbol(self.quantities[text], layer, items, f.Name("T") in sup, new)

    def sizes(self, symbol: Symbol) -> tuple[int, ...]:
        """Of the axes that indices can stand for, in the order in which documents write them."""
        name = {"delta": "z", "upright": "a"}.get(symbol.name, symbol.name)
        shape = self.net.shape(name, symbol.layer)
        return shape[::-1] if self.rows and len(shape) == 2 else shape

    @property
    def rows(self) -> bool:
        return self.conventions.get("vectors") == "rows"

    def axes(self, node):
        text, items, _ = self.base_of(node)
        if text in COSTS or (text == "y" and text not in self.quantities):
            sample = self.letter_of_sample(node)
            found = [(f.Name(sample), self.net.samples)] if sample else []
            if text == "y":
                found += [(i, self.net.shape("a", self.net.last)[0]) for i in items]
            return found
        if ("any", text, 0) in self.net.given:
            return [(i, self.net.shape("any", 1)[0]) for i in items]
        if text not in self.quantities:
            return []
        symbol = self.parsed(node)
        sample = self.letter_of_sample(node)
        found = [(f.Name(sample), self.net.samples)] if sample else []
        sizes = self.sizes(symbol)[-len(symbol.items) :] if symbol.items else ()
        if len(sizes) != len(symbol.items):
            raise Meaningless("too many indices")
        return found + list(zip(symbol.items, sizes, strict=True))

    # -- values

    def symbol(self, node):
        text, items, sup = self.base_of(node)
        if special := self.special(text, node, items, sup):
            return special[0]
        symbol = self.parsed(node)
        if node.primes and symbol.name not in self.net.parameters:
            raise Meaningless("a prime on what is no function")
        if symbol.new:
            return self.finished(symbol, self.updated(symbol))
        if symbol.name in ("delta", "upright"):
            by = "z" if symbol.name == "delta" and not self.below(symbol) else "a"
            sign = -1 if self.conventions.get("error") == "negative gradient" else 1
            sample = self.sample_of(node)
            found = self.gathered(by, symbol.layer, sample, lambda key: self.net.derivative(self.cost_of(sample), key))
            return self.finished(symbol, sign * found)
        sample = self.sample_of(node) if symbol.name in self.net.names else 0
        return self.finished(symbol, self.gathered(symbol.name, symbol.layer, sample, self.net.value))

    def cost_of(self, sample: int) -> Key:
        """The cost whose derivative a sample's error is."""
        return "C", sample

    def below(self, symbol: Symbol) -> bool:
        """Whether the error of the layer below is meant before its factor sigma'."""
        return False

    def special(self, text: str, node: f.Scripted, items: tuple, sup: tuple) -> tuple | None:
        """What belongs to no layer, in a tuple of one."""
        net = self.net
        if ("any", text, 0) in net.given:
            if self.of_network:
                raise Meaningless("a letter of no network in a formula of one")
            return (self.picked(self.laid(array_of(net.shape("any", 1), lambda i: net.given["any", text, i])), items),)
        if text in ("y", "target"):
            sample = self.sample_of(node)
            found = self.laid(array_of(net.shape("a", net.last), lambda j: net.given["y", sample, j]))
            found = self.picked(found, items)
            powers = [i for i in sup if isinstance(i, f.Number)]
            return (self.power(found, powers[0].value) if powers else found,)
        if text == "output":
            return (self.laid(self.gathered("a", net.last, self.free_sample, net.value)),)
        if text in (*COSTS, "E", "Error"):
            return (net.value(self.cost(node)),)
        if text in ("eta", "alpha") and not sup and not items:
            return (net.given["eta",],)
        if text == "m" and not items:
            return (self.raised(Fraction(net.samples), sup),)
        return None

    def raised(self, value: Fraction, sup: tuple) -> Any:
        return self.power(value, self.value(sup[0])) if sup else value

    def picked(self, value: Any, items: tuple) -> Any:
        return self.pick(value, items) if items else value

    def gathered(self, name: str, layer: int, sample: int, entry: Callable[[Key], Fraction]) -> np.ndarray:
        """All components of a quantity."""
        return array_of(self.net.shape(name, layer), lambda *at: entry(self.key(name, layer, sample, at)))

    def key(self, name: str, layer: int, sample: int, at: tuple[int, ...]) -> Key:
        return (name, layer, sample, *at) if name in self.net.names else (name, layer, *at)

    def laid(self, found: np.ndarray) -> np.ndarray:
        """A vector as a column or a row, a matrix of weights as the document means it."""
        if found.ndim == 1:
            return found.reshape(1, -1) if self.rows else found.reshape(-1, 1)
        return found.T if self.rows else found

    def finished(self, symbol: Symbol, found: np.ndarray) -> Any:
        if symbol.items and len(symbol.items) != found.ndim:
            raise Meaningless("too few or too many indices")
        found = self.laid(found)
        if symbol.items:
            found = self.pick(found, symbol.items)
        return self.transposed(found) if symbol.turned else found

    def updated(self, symbol: Symbol) -> np.ndarray:
        if symbol.name not in self.net.parameters or not self.updating:
            raise Meaningless("a new value of what is not updated")
        old = self.gathered(symbol.name, symbol.layer, 0, self.net.value)
        gradient = self.gathered(symbol.name, symbol.layer, 0, lambda key: self.net.derivative(("E",), key))
        return old - self.net.given["eta",] * gradient

    # -- derivatives

    def cost(self, node: f.Node) -> Key:
        """One sample's cost, or the mean over all."""
        node = as_scripted(node)
        text = node.base.text if isinstance(node.base, f.Name | f.Word) else ""
        if text not in (*COSTS, "E", "Error"):
            raise Meaningless("only a cost is differentiated")
        if node.sub:
            return "C", self.sample_of(node)
        beside = self.updating or self.sampled or (text == "E" and self.with_cost)
        return ("E",) if beside else ("C", self.free_sample)

    def _derivative(self, node):
        of = as_scripted(node.of)
        if self.base_of(of)[0] in self.quantities:
            return self.jacobian(of, as_scripted(node.by))
        return self.by(self.cost(node.of), as_scripted(node.by))

    def _gradient(self, node):
        by = node.by
        if by is None:
            if not self.updating:
                raise Meaningless("a gradient by nothing")
            by = self.relation.left
        by = as_scripted(by)
        cost = self.cost(node.of)
        if by.sup or self.base_of(by)[0] in ("w", "b") or by.sub:
            return self.by(cost, by)
        at_last = f.Scripted(by.base, by.sub, (f.Name("L"),))
        return self.by(cost, at_last)

    def by(self, cost: Key, node: f.Scripted) -> Any:
        labels = {i.text for i in (*node.sup, *node.sub) if isinstance(i, f.Word)}
        if node.primes or labels - {"in", "out", "old"}:
            raise Meaningless("a derivative by this")
        symbol = self.parsed(node)
        if symbol.turned or symbol.name not in self.all_names:
            raise Meaningless("a derivative by this")
        sample = 0
        if symbol.name in self.net.names:
            of_cost = cost[1] if len(cost) > 1 else self.letters.get("x", 0)
            sample = self.sample_of(node) if self.letter_of_sample(node) else of_cost
        found = self.gathered(symbol.name, symbol.layer, sample, lambda key: self.net.derivative(cost, key))
        return self.finished(symbol, found)

    @property
    def all_names(self) -> tuple[str, ...]:
        return (*self.net.names, *self.net.parameters, *self.net.statistics)

    def jacobian(self, of_node: f.Scripted, by_node: f.Scripted) -> Any:
        """The derivatives of one quantity by another: the rows are of what is differentiated."""
        of, by = self.parsed(of_node), self.parsed(by_node)
        if of.turned or by.turned or of.new or by.new or not {of.name, by.name} <= set(self.all_names):
            raise Meaningless("a derivative of or by this")
        itself = (by.name, by.layer) == (of.name, of.layer)
        given = of.name in self.net.parameters
        if not itself and (given or self.net.rank(by.name, by.layer) >= self.net.rank(of.name, of.layer)):
            raise Meaningless("a derivative by what it does not depend on")
        sample = self.sample_of(of_node) if of.name in self.net.names else 0
        other = self.sample_of(by_node) if self.letter_of_sample(by_node) else sample
        above, below = self.net.shape(of.name, of.layer), self.net.shape(by.name, by.layer)

        def entry(*at: int) -> Fraction:
            up, low = at[: len(above)], at[len(above) :]
            low = low[::-1] if self.rows else low
            return self.net.derivative(self.key(of.name, of.layer, sample, up), self.key(by.name, by.layer, other, low))

        found = array_of((*above, *(below[::-1] if self.rows else below)), entry)
        place: list[Any] = []
        for items, size in ((of.items, len(above)), (by.items, len(below))):
            if items and len(items) != size:
                raise Meaningless("too few or too many indices")
            start = len(place)
            place += [self.index(item, found.shape[start + n]) for n, item in enumerate(items)] or [slice(None)] * size
        found = found[tuple(place)]
        if not isinstance(found, np.ndarray):
            return found
        if found.ndim == 1:
            return self.laid(found)
        turned = self.conventions.get("layout") == "denominator" and not of.items and found.ndim == 2
        return found.T if turned else found

    def multiplied(self, left, right, node):
        if left.ndim == 2 and right.ndim == 3 and left.shape == (1, right.shape[0]):
            return np.tensordot(left[0], right, 1)  # a row times the derivatives of a vector by a matrix
        if left.ndim != 2 or right.ndim != 2:
            raise Meaningless("multiplied shapes")
        return super().multiplied(left, right, node)

    def applied(self, function, argument):
        if function.sub or function.sup or getattr(function.base, "text", "") not in ACTIVATIONS:
            raise Meaningless("a function")
        coefficients = self.net.activation
        for _ in range(function.primes):
            coefficients = slope_of(coefficients)
        if isinstance(argument, np.ndarray):
            return array_of(argument.shape, lambda *at: polynomial(coefficients, argument[at]))
        return polynomial(coefficients, argument)


# -- the fully-connected network ----------------------------------------------------------------------------------


class Dense(Net):
    """Layers of some widths; the cost of a sample is linear in its last activations, or a square of differences."""

    def __init__(self, widths, samples, given, activation, cost="linear"):
        super().__init__(len(widths), samples, given, activation)
        self.widths, self.kind = widths, cost

    def shape(self, name, layer):
        if name == "any":
            return (self.widths[0],)
        if not (1 if name == "a" else 2) <= layer <= self.last:
            raise Beyond(f"no layer {layer}")
        width = self.widths[layer - 1]
        return (width, self.widths[layer - 2]) if name == "w" else (width,)

    def forward(self, put):
        given, widths = self.given, self.widths
        w = {key: put(key, given[key]) for key in given if key[0] in ("w", "b")}
        costs = []
        for x in range(self.samples):
            a = [put(("a", 1, x, j), given["a", x, j]) for j in range(widths[0])]
            for layer in range(2, self.last + 1):
                z = []
                for j in range(widths[layer - 1]):
                    total = sum((w["w", layer, j, k] * a[k] for k in range(widths[layer - 2])), w["b", layer, j])
                    z.append(put(("z", layer, x, j), total))
                a = [put(("a", layer, x, j), self.activated(z[j])) for j in range(widths[layer - 1])]
            costs.append(put(("C", x), self.cost_of(a, x)))
        share = 1 if self.given.get(("summed",)) else Fraction(1, self.samples)
        put(("E",), sum(costs, Dual(Fraction(0))) * share)

    def cost_of(self, a, x):
        if self.kind == "linear":
            return sum((a[j] * self.given["g", x, j] for j in range(len(a))), Dual(Fraction(0)))
        apart = [a[j] - self.given["y", x, j] for j in range(len(a))]
        return sum((d * d for d in apart), Dual(Fraction(0))) * (Fraction(1, 2) if self.kind == "quadratic" else 1)


@cache
def random_dense(seed: int, widths: tuple[int, ...], samples: int, cost: str) -> Dense:
    draw = drawer(seed)
    given: dict[Key, Fraction] = {("eta",): draw()}
    for name in "st":
        given |= {("any", name, i): draw() for i in range(widths[0])}
    for x in range(samples):
        given |= {("a", x, j): draw() for j in range(widths[0])}
        given |= {(name, x, j): draw() for name in "yg" for j in range(widths[-1])}
    for layer in range(2, len(widths) + 1):
        rows, cols = range(widths[layer - 1]), range(widths[layer - 2])
        given |= {("b", layer, j): draw() for j in rows}
        given |= {("w", layer, j, k): draw() for j in rows for k in cols}
    return Dense(widths, samples, given, [draw() for _ in range(4)], cost)


class DenseSection(Section):
    """Formulas of a fully-connected network."""

    def __init__(self, cost: str = "linear", **conventions: str) -> None:
        self.cost, self.conventions = cost, conventions

    def cases(self) -> Iterator[tuple[Net, int]]:
        for seed, widths in enumerate([(2, 3, 2, 3), (1, 1, 1, 1), (2, 2, 2, 2), (3, 1, 2, 2)]):
            net = random_dense(seed, widths, 2, self.cost)
            yield from ((net, layer) for layer in (2, 3, 4))

    def evaluator(self, relation, case, letters, modes):
        net, layer, *sample = case
        return Layered(net, layer, relation, letters, modes, self.conventions, *sample)

    def chosen(self, case):
        yield from ((*case, sample) for sample in range(case[0].samples))

    def letters(self, relation):
        found = super().letters(relation)
        found = {x for x in found if x not in ("B",)}
        if with_ends(relation):
            found |= {"j", "k"}
        return found | samples_unbound((relation.left, relation.right))

    def free_extent(self, reader, letter, relation):
        if with_ends(relation):
            return reader.net.shape("z" if letter == "j" else "a", reader.layer - (letter == "k"))[0]
        return super().free_extent(reader, letter, relation)

    def ends(self, one: str, other: str) -> tuple[int, int]:
        """Where a weight leads to and where from, by its two indices."""
        first, second = int(one) - 1, int(other) - 1
        return (second, first) if self.conventions.get("vectors") == "rows" else (first, second)

    def restored(self, counterexample):
        sizes, values = counterexample["sizes"], counterexample["values"]
        if "L" not in sizes:
            width = int(sizes.get("n", 1))
            net = random_dense(0, (width, width), 1, self.cost)
            given = dict(net.given)
            for name, value in values.items():
                if m := re.fullmatch(r"([a-z])_(\d+)", name):
                    given["any", m[1], int(m[2]) - 1] = Fraction(value)
            return Dense(net.widths, 1, given, net.activation, self.cost), 2
        samples = int(sizes["m"])
        widths = tuple(int(sizes[f"n_{i}"]) for i in range(1, int(sizes["L"]) + 1))
        given = dict(random_dense(0, widths, samples, self.cost).given)
        for name, value in values.items():
            if m := re.fullmatch(r"w_\{(\d)(\d)\}\^\{(\d+)\}", name):
                given["w", int(m[3]), *self.ends(m[1], m[2])] = Fraction(value)
            elif m := re.fullmatch(r"b_(\d+)\^\{(\d+)\}", name):
                given["b", int(m[2]), int(m[1]) - 1] = Fraction(value)
            elif m := re.fullmatch(r"(a|y|\\partial C/\\partial a)_(\d+)(?:\^\{(?:(\d+),)?(\d+)\})?", name):
                sample = int(m[3]) if m[3] else int(m[4]) if m[1] == "y" and m[4] else 1
                given[m[1] if m[1] in "ay" else "g", sample - 1, int(m[2]) - 1] = Fraction(value)
            elif name == r"\eta":
                given["eta",] = Fraction(value)
            elif name != "sigma(z)" and not re.fullmatch(r"[a-zA-Z]", name):
                raise AssertionError(f"a value that the checker does not know: {name}")
        return Dense(widths, samples, given, coefficients_of(values["sigma(z)"]), self.cost), int(sizes.get("l", 2))


def with_ends(relation: f.Relation) -> bool:
    r"""Whether it speaks of the two ends of a weight, as in `a_{\text{in}}`."""
    everything = walk((relation.left, relation.right))
    return any(isinstance(n, f.Word) and n.text in ("in", "out") for n in everything)


def samples_unbound(node: Any) -> set[str]:
    """Letters of samples, as in `a^{x,l}` and `C_x`, that no sum binds."""
    if isinstance(node, f.Summation):
        return samples_unbound(node.body) - {i.text for i in node.indices}
    if isinstance(node, f.Scripted) and isinstance(node.base, f.Name):
        found = [i.text for i in map(plain, node.sup) if isinstance(i, f.Name) and i.text not in ("l", "L", "T")]
        return set(found) if len(node.sup) == 2 or node.base.text == "y" else set()
    parts = node if isinstance(node, tuple) else vars(node).values() if isinstance(node, f.Node) else ()
    return set().union(*map(samples_unbound, parts))


def coefficients_of(text: str) -> list[Fraction]:
    """`z^3 - 2*z + 1` as [1, -2, 0, 1]."""
    found = [Fraction(0)] * 8
    for sign, factor, z, power in re.findall(r"([+-]?)\s*(\d+)?\*?(z)?(?:\^(\d+))?(?=\s|$)", text):
        if factor or z:
            found[int(power or 1) if z else 0] += int(sign + "1") * int(factor or 1)
    return found
