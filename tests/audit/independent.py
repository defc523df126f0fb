"""An evaluation of formulas that shares nothing with the auditor but the reader: rational numbers, dual numbers.

A network is written out by hand, layer by layer; derivatives are taken by pushing a perturbation through it. So what
the auditor calls a counterexample, or equal, is settled here by someone else.
"""

import itertools
import random
import re
from dataclasses import dataclass
from fractions import Fraction

from derive.audit import formula as f
from derive.audit.reader import read


class Meaningless(Exception):
    """A side that has no value: shapes that do not fit, a layer or component that does not exist."""


@dataclass(frozen=True)
class Dual:
    """A number and its derivative."""

    value: Fraction
    slope: Fraction = Fraction(0)

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(Fraction(other))
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(Fraction(other))
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)

    __radd__, __rmul__ = __add__, __mul__


def polynomial(coefficients, x):
    """By Horner's rule, for numbers and dual numbers alike."""
    total = x * 0
    for c in reversed(coefficients):
        total = total * x + c
    return total


class Network:
    """Layers 1 to L; `given` maps ('w', l, j, k), ('b', l, j), ('a', x, j), ('y', x, j), ('g', x, j) to numbers."""

    def __init__(self, widths, samples, given, activation, cost):
        self.widths, self.samples, self.given, self.activation, self.cost = widths, samples, given, activation, cost
        self.last = len(widths)

    def width(self, layer):
        if not 1 <= layer <= self.last:
            raise Meaningless(f"no layer {layer}")
        return self.widths[layer - 1]

    def value(self, *key):
        return self.given[key]

    def forward(self, x, bump=None):
        """All a and z of a sample as dual numbers; `bump` is the one quantity whose derivative is taken."""

        def one(key):
            return Fraction(key == bump)

        a = {1: [Dual(self.value("a", x, j), one(("a", 1, j))) for j in range(self.width(1))]}
        z = {}
        for layer in range(2, self.last + 1):
            z[layer] = []
            for j in range(self.width(layer)):
                total = Dual(self.value("b", layer, j), one(("b", layer, j)))
                for k in range(self.width(layer - 1)):
                    total = total + a[layer - 1][k] * Dual(self.value("w", layer, j, k), one(("w", layer, j, k)))
                z[layer].append(total + Dual(Fraction(0), one(("z", layer, j))))
            a[layer] = [
                polynomial(self.activation, z[layer][j]) + Dual(Fraction(0), one(("a", layer, j)))
                for j in range(self.width(layer))
            ]
        return a, z

    def cost_of(self, x, bump=None):
        out = self.forward(x, bump)[0][self.last]
        if self.cost == "linear":
            return sum((out[j] * self.value("g", x, j) for j in range(len(out))), Dual(Fraction(0)))
        apart = [out[j] + Dual(-self.value("y", x, j)) for j in range(len(out))]
        factor = Fraction(1, 2) if self.cost == "quadratic" else Fraction(1)
        return sum((d * d for d in apart), Dual(Fraction(0))) * factor

    def derivative(self, x, key):
        """Of one sample's cost, or (x None) of the mean over the samples."""
        if x is None:
            return sum(self.derivative(n, key) for n in range(self.samples)) / self.samples
        return self.cost_of(x, key).slope


@dataclass
class Array:
    """A number (no shape) or a matrix."""

    rows: list
    number: bool = False

    @property
    def shape(self):
        return () if self.number else (len(self.rows), len(self.rows[0]))


def number(value):
    return Array([[Fraction(value)]], True)


def column(values):
    return Array([[v] for v in values])


class Evaluator:
    """Both sides of a relation in one network, with the layer l and the index letters fixed where they are free."""

    def __init__(self, network, layer, letters, free_sample=0):
        self.network, self.layer, self.letters, self.free_sample = network, layer, dict(letters), free_sample
        self.updating, self.of_all = False, False

    def sides(self, relation):
        left, right = relation.left, relation.right
        self.updating = relation.sign == "update" or "new" in str(left) or self.assigns(left, right)
        # beside quantities of sample x, a cost without sample is the mean of all
        self.of_all = self.updating or any(
            isinstance(part, f.Scripted) and f.Name("x") in part.sup for part in walk((left, right))
        )
        one = self.updated(left) if self.updating else self.value(left)
        return one, self.value(right)

    @staticmethod
    def assigns(left, right):
        return isinstance(right, f.Addition) and any(term == left for _, term in right.terms)

    def updated(self, node):
        name, layer, key = self.parts(node)
        gradient = self.parameter(name, layer, lambda *at: self.network.derivative(None, (name, layer, *at)))
        old = self.parameter(name, layer, lambda *at: self.network.value(name, layer, *at))
        eta = self.network.value("eta")
        new = Array(
            [[o - eta * g for o, g in zip(p, q, strict=True)] for p, q in zip(old.rows, gradient.rows, strict=True)]
        )
        return self.pick(new, key)

    def value(self, node):
        return getattr(self, "_" + type(node).__name__.lower(), self.unknown)(node)

    def unknown(self, node):
        raise Meaningless(type(node).__name__)

    def _number(self, node):
        return number(node.value)

    def _group(self, node):
        return self.value(node.body)

    def _addition(self, node):
        parts = [(sign, self.value(term)) for sign, term in node.terms]
        shape = parts[0][1].shape
        if any(part.shape != shape for _, part in parts):
            raise Meaningless("added shapes")
        rows, cols = shape or (1, 1)
        total = [[sum(s * p.rows[r][c] for s, p in parts) for c in range(cols)] for r in range(rows)]
        return Array(total, not shape)

    def _product(self, node):
        left, right = self.value(node.left), self.value(node.right)
        if left.number or right.number:
            scalar, other = (left, right) if left.number else (right, left)
            return Array([[scalar.rows[0][0] * v for v in row] for row in other.rows], other.number)
        if left.shape[1] != right.shape[0]:
            raise Meaningless("multiplied shapes")
        inner = range(left.shape[1])
        return Array(
            [[sum(row[i] * right.rows[i][c] for i in inner) for c in range(right.shape[1])] for row in left.rows]
        )

    def _hadamard(self, node):
        left, right = self.value(node.left), self.value(node.right)
        if left.shape != right.shape:
            raise Meaningless("shapes multiplied elementwise")
        rows = [[p * q for p, q in zip(a, b, strict=True)] for a, b in zip(left.rows, right.rows, strict=True)]
        return Array(rows, left.number)

    def _quotient(self, node):
        over, under = self.value(node.over), self.value(node.under)
        return Array([[v / under.rows[0][0] for v in row] for row in over.rows], over.number)

    def _application(self, node):
        primes = node.function.primes if isinstance(node.function, f.Scripted) else 0
        argument = self.value(node.argument)
        coefficients = self.network.activation
        for _ in range(primes):
            coefficients = [n * c for n, c in enumerate(coefficients)][1:]
        return Array([[polynomial(coefficients, v) for v in row] for row in argument.rows], argument.number)

    def _matrix(self, node):
        return Array([[self.value(entry).rows[0][0] for entry in row] for row in node.rows])

    def _summation(self, node):
        (index,) = node.indices
        outer = dict(self.letters)
        for size in self.ranges(node.body, index.text):
            total = None
            for i in range(size):
                self.letters[index.text] = i
                part = self.value(node.body)
                total = part if total is None else self._added(total, part)
            self.letters = outer
            return total
        raise Meaningless("a sum over nothing")

    def _added(self, one, other):
        return Array(
            [[p + q for p, q in zip(a, b, strict=True)] for a, b in zip(one.rows, other.rows, strict=True)], one.number
        )

    def ranges(self, node, letter):
        """The sizes that an index runs over, from where it stands; they must agree."""
        found = set()
        for part in walk(node):
            if not isinstance(part, f.Scripted) or not isinstance(part.base, f.Name):
                continue
            if any(isinstance(i, f.Name) and i.text == letter for i in part.sup) or part.base.text == "C":
                found.add(self.network.samples)
            for position, i in enumerate(flat(part.sub)):
                if isinstance(i, f.Name) and i.text == letter and part.base.text != "C":
                    found.add(self.extent(part, position))
        if len(found) > 1:
            raise Meaningless("an index over two ranges")
        return found

    def extent(self, node, position):
        if node.base.text == "y":
            return self.network.width(self.network.last)
        name, layer, _ = self.parts(node)
        return self.network.width(layer - (name == "w" and position == 1))

    # -- symbols

    def _word(self, node):
        x = self.free_sample
        if node.text == "output":
            return column([v.value for v in self.network.forward(x)[0][self.network.last]])
        if node.text == "target":
            return column([self.network.value("y", x, j) for j in range(self.network.width(self.network.last))])
        if node.text == "Error":
            return number(self.network.cost_of(x).value)
        raise Meaningless(node.text)

    def _name(self, node):
        if node.text in ("eta", "alpha"):
            return number(self.network.value("eta"))
        if node.text == "m":
            return number(self.network.samples)
        if node.text == "y":
            return column(
                [self.network.value("y", self.free_sample, j) for j in range(self.network.width(self.network.last))]
            )
        if node.text == "C":
            return number(self.network.cost_of(self.free_sample).value)
        if ("any", node.text) in self.network.given:
            return column(self.network.given["any", node.text])
        raise Meaningless(node.text)

    def _scripted(self, node):
        if isinstance(node.base, f.Name):
            return self.tensor(node)
        value = self.value(node.base)
        for item in node.sup:
            if item == f.Name("T"):
                value = Array([list(row) for row in zip(*value.rows, strict=True)])
            elif isinstance(item, f.Number) and value.number:
                value = number(value.rows[0][0] ** int(item.value))
            elif item == f.Number(Fraction(2)):  # the square of a vector: its squared length
                value = number(sum(v * v for row in value.rows for v in row))
            else:
                raise Meaningless("superscript")
        return self.pick(value, node.sub)

    def tensor(self, node):
        if node.base.text == "y":
            value = self.pick(self._name(node.base), node.sub)
            return number(value.rows[0][0] ** 2) if node.sup == (f.Number(Fraction(2)),) else value
        if ("any", node.base.text) in self.network.given:
            return self.pick(self._name(node.base), node.sub)
        name, layer, key = self.parts(node)
        if name in ("w", "b"):
            value = self.parameter(name, layer, lambda *at: self.network.value(name, layer, *at))
            if f.Name("T") in node.sup:
                value = Array([list(row) for row in zip(*value.rows, strict=True)])
            return self.pick(value, key)
        x = self.sample(node)
        self.network.width(layer)
        if name == "a":
            values = [v.value for v in self.network.forward(x)[0][layer]]
        elif layer == 1:
            raise Meaningless("layer 1 has no z")
        elif name == "z":
            values = [v.value for v in self.network.forward(x)[1][layer]]
        else:
            values = [self.network.derivative(x, ("z", layer, j)) for j in range(self.network.width(layer))]
        return self.pick(column(values), key)

    def _derivative(self, node):
        return self.gradient(self.sample_of_cost(node.of), node.by)

    def _gradient(self, node):
        last, of = self.network.last, self.sample_of_cost(node.of)
        x = self.letters["x"] if of is None and "x" in self.letters else of
        scale = Fraction(1, self.network.samples) if of is None else 1
        slopes = [self.network.derivative(x, (node.by.text, last, j)) for j in range(self.network.width(last))]
        return column([scale * slope for slope in slopes])

    def sample_of_cost(self, of):
        """The sample whose cost it is; None: the mean of all."""
        if isinstance(of, f.Scripted):
            return self.letters[of.sub[0].text]
        return None if of.text == "E" or self.of_all else self.free_sample

    def gradient(self, x, by):
        name, layer, key = self.parts(by if isinstance(by, f.Scripted) else f.Scripted(by))
        if name in ("w", "b"):
            return self.pick(
                self.parameter(name, layer, lambda *at: self.network.derivative(x, (name, layer, *at))), key
            )
        if name == "delta" or (name == "z" and layer == 1):
            raise Meaningless("no such derivative")
        values = [self.network.derivative(x, (name, layer, j)) for j in range(self.network.width(layer))]
        return self.pick(column(values), key)

    def parameter(self, name, layer, entry):
        if layer < 2:
            raise Meaningless("layer 1 has no parameters")
        rows = range(self.network.width(layer))
        if name == "b":
            return column([entry(j) for j in rows])
        return Array([[entry(j, k) for k in range(self.network.width(layer - 1))] for j in rows])

    def parts(self, node):
        """The tensor's name, its layer, its indices."""
        if not isinstance(node, f.Scripted) or not isinstance(node.base, f.Name):
            raise Meaningless("not a tensor")
        ends = [i.text for i in node.sub if isinstance(i, f.Word)]
        if node.base.text == "w" and not node.sub and not node.sup:  # a single weight
            return "w", self.layer, (f.Name("j"), f.Name("k"))
        if ends:
            return node.base.text, self.layer - (ends == ["in"]), (f.Name("k" if ends == ["in"] else "j"),)
        items = [i for i in node.sup if not isinstance(i, f.Word) and i != f.Name("T")]
        items = items[1:] if len(items) == 2 else items
        name = "w" if node.base.text == "W" else node.base.text
        return name, self.number_of(items[0]) if items else self.layer, node.sub

    def number_of(self, node):
        if isinstance(node, f.Group):
            return self.number_of(node.body)
        if isinstance(node, f.Name) and node.text in ("l", "L"):
            return self.layer if node.text == "l" else self.network.last
        if isinstance(node, f.Number):
            return int(node.value)
        if isinstance(node, f.Addition):
            return sum(sign * self.number_of(term) for sign, term in node.terms)
        raise Meaningless("layer")

    def sample(self, node):
        first = node.sup[0] if len(node.sup) == 2 else None
        if isinstance(first, f.Name):
            if first.text not in self.letters:
                self.letters[first.text] = self.free_sample
            return self.letters[first.text]
        return self.free_sample

    def pick(self, value, items):
        """The component at the indices, or the whole."""
        if not items:
            return value
        at = [self.letters[i.text] if isinstance(i, f.Name) else self.index_of(i) for i in flat(items)]
        shape = value.shape[:1] if value.shape[1] == 1 and len(at) == 1 else value.shape
        if len(at) != len(shape) or any(not 0 <= i < n for i, n in zip(at, shape, strict=True)):
            raise Meaningless("component")
        return number(value.rows[at[0]][at[1] if len(at) == 2 else 0])

    def index_of(self, node):
        if isinstance(node, f.Number):
            return int(node.value) - 1
        raise Meaningless("index")


def flat(items):
    for item in items:
        if isinstance(item, f.Product):
            yield from flat((item.left, item.right))
        else:
            yield item


def walk(node):
    if isinstance(node, f.Node):
        yield node
        for value in vars(node).values():
            yield from walk(value)
    elif isinstance(node, tuple):
        for value in node:
            yield from walk(value)


def free_letters(relation):
    """Index letters that no sum binds where they stand."""
    found = unbound((relation.left, relation.right))
    if "Word(text='in')" in str(relation):
        found |= {"j", "k"}
    return sorted(found - {"x"})


def unbound(node):
    if isinstance(node, f.Summation):
        return unbound(node.body) - {i.text for i in node.indices}
    if isinstance(node, f.Scripted):
        return {i.text for i in flat(node.sub) if isinstance(i, f.Name)} | unbound(node.base)
    parts = node if isinstance(node, tuple) else vars(node).values() if isinstance(node, f.Node) else ()
    return set().union(*map(unbound, parts))


def random_network(seed, widths, samples, cost):
    source = random.Random(seed)

    def draw():
        return Fraction(source.choice([-3, -2, -1, 1, 2, 3]), source.choice([1, 1, 2]))

    given = {("eta",): draw()}
    for name in "st":
        given["any", name] = [draw() for _ in range(widths[0])]
    for x in range(samples):
        given |= {("a", x, j): draw() for j in range(widths[0])}
        given |= {(name, x, j): draw() for name in "yg" for j in range(widths[-1])}
    for layer in range(2, len(widths) + 1):
        rows, cols = range(widths[layer - 1]), range(widths[layer - 2])
        given |= {("b", layer, j): draw() for j in rows}
        given |= {("w", layer, j, k): draw() for j in rows for k in cols}
    return Network(widths, samples, given, [draw() for _ in range(4)], cost)


def holds(latex, cost="linear"):
    """Whether the formula holds in random networks of several sizes: every relation in it, at every component."""
    relations = [r for clause in read(latex) for r in clause.relations]
    for seed, widths in enumerate([(2, 3, 2, 3), (1, 1, 1, 1), (2, 2, 2, 2), (3, 1, 2, 2)]):
        network = random_network(seed, widths, samples=2, cost=cost)
        for relation in relations:
            told = [at for at in (2, 3, 4) if compare(network, at, relation) is not None]
            if not told or not all(compare(network, at, relation) for at in told):
                return False
    return True


def compare(network, layer, relation):
    """Whether both sides are equal at that layer: None if the layer (or one it needs) does not exist."""
    letters = free_letters(relation)
    reach = range(max(network.widths))
    told = None
    for at in itertools.product(reach, repeat=len(letters)):
        try:
            left, right = Evaluator(network, layer, dict(zip(letters, at, strict=True)) | {"x": 1}, 1).sides(relation)
        except Meaningless as error:
            if "layer" in str(error):
                return None
            if "component" in str(error) and len(set(network.widths)) > 1:
                continue  # this value of a free index is beyond its range, if it has one: square networks tell
            return False
        if left.shape != right.shape or left.rows != right.rows:
            return False
        told = True
    return told


def replay(latex, part, counterexample, cost="linear"):
    """Both sides in the network of a counterexample: True if they differ there (or one of them has no value)."""
    sizes, values = counterexample["sizes"], counterexample["values"]
    relation = [r for clause in read(latex) for r in clause.relations][part]
    if not values:  # it says that shapes do not fit: so must we, at sizes that are all unlike
        network = random_network(7, (2, 3, 4, 5), samples=2, cost=cost)
        return not any(compare(network, at, relation) for at in (2, 3, 4))
    if "n" in sizes:
        given = {
            ("any", name): [Fraction(values.get(f"{name}_{i + 1}", 0)) for i in range(int(sizes["n"]))] for name in "st"
        }
        network = Network((1, 1), 1, given, [0, 1], cost)
    elif "L" not in sizes:
        network = random_network(0, (1, 1), 1, cost)
    else:
        network = from_values(sizes, values, cost)
    letters = {k: int(v) - 1 for k, v in values.items() if re.fullmatch(r"[a-zA-Z]", k)}
    evaluator = Evaluator(network, int(sizes.get("l", 2)), letters, letters.get("x", 0))
    try:
        left, right = evaluator.sides(relation)
    except Meaningless:
        return True
    if left.shape != right.shape:
        return True
    pairs = [(p, q) for a, b in zip(left.rows, right.rows, strict=True) for p, q in zip(a, b, strict=True)]
    told = Fraction(counterexample["left"]), Fraction(counterexample["right"])
    return told in pairs and told[0] != told[1]


def from_values(sizes, values, cost):
    """The network that a counterexample describes; what it does not mention is not read by either side."""
    depth, samples = int(sizes["L"]), int(sizes["m"])
    widths = [int(sizes[f"n_{i}"]) for i in range(1, depth + 1)]
    filler = random_network(1, widths, samples, cost)
    given = dict(filler.given)
    for name, value in values.items():
        number_ = Fraction(value) if re.fullmatch(r"-?\d+(/\d+)?", value) else None
        if m := re.fullmatch(r"w_\{(\d)(\d)\}\^\{(\d+)\}", name):
            given["w", int(m[3]), int(m[1]) - 1, int(m[2]) - 1] = number_
        elif m := re.fullmatch(r"b_(\d+)\^\{(\d+)\}", name):
            given["b", int(m[2]), int(m[1]) - 1] = number_
        elif m := re.fullmatch(r"(a|y|\\partial C/\\partial a)_(\d+)(?:\^\{(?:(\d+),)?(\d+)\})?", name):
            key = {"a": "a", "y": "y"}.get(m[1], "g")
            sample = int(m[3]) if m[3] else int(m[4]) if m[1] == "y" and m[4] else 1
            given[key, sample - 1, int(m[2]) - 1] = number_
        elif name == r"\eta":
            given["eta",] = number_
        elif name != "sigma(z)" and not re.fullmatch(r"[a-zA-Z]", name):
            raise AssertionError(f"a value that the checker does not know: {name}")
    return Network(tuple(widths), samples, given, coefficients_of(values["sigma(z)"]), cost)


def coefficients_of(text):
    """`z^3 - 2*z + 1` as [1, -2, 0, 1]."""
    found = [0] * 8
    for sign, factor, z, power in re.findall(r"([+-]?)\s*(\d+)?\*?(z)?(?:\^(\d+))?(?=\s|$)", text):
        if factor or z:
            found[int(power or 1) if z else 0] += int(sign + "1") * int(factor or 1)
    return found
