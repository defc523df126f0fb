r"""Bind a formula's symbols to the network's tensors: each side of a relation becomes an expression in components.

A letter with component indices is a number; without, it is a column vector or a matrix, whose product, transpose and
elementwise product are checked for shape. Sizes are symbols: `units(l)` for the units of layer l, `m` for the samples.
Components are counted from 1 in documents and from 0 here. Where a notation can mean several things, the binder asks
(`Reading.choose`), and what was chosen is part of the verdict. What it cannot bind, it refuses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import sympy as sp

from derive.audit import formula as f
from derive.audit.network import jacobian, last, layer, network, rate, samples, sigma, slope, units, width
from derive.audit.scripts import (
    addends,
    base_name,
    is_new,
    labelled_new,
    layer_expression,
    layer_items,
    nodes,
    parameter,
    sample_letter,
)
from derive.audit.values import Axis, Misshapen, Unbindable, Value
from derive.audit.vocabulary import (
    ACTIVATIONS,
    BATCH,
    COSTS,
    ERRORS,
    LAYERED,
    MEAN_COSTS,
    ONE_LAYER,
    OUTPUTS,
    PARAMETERS,
    RATES,
    SPELLINGS,
    TARGETS,
    Reading,
)
from derive.calculus.equation import tensor

HIGHEST_POWER = 6
LARGEST = 4000  # bits of a number that is worked out
MOST_SUMS = 8


@dataclass
class Bound:
    """A relation in components: left = right for all values of the free indices, provided that the sizes agree."""

    left: sp.Expr
    right: sp.Expr
    free: dict[sp.Symbol, sp.Expr]
    mismatches: list[tuple[sp.Expr, sp.Expr]]
    defines: bool = False  # whether it says what a cost is
    batch: int | None = None  # the number of samples, where the reading fixes it


def bind(relation: f.Relation, reading: Reading) -> Bound:
    """Both sides in components; raises Unbindable, Misshapen, or Ask where the notation leaves a choice."""
    if relation.sign == "other":
        raise Unbindable("the relation is neither an equation nor an update", relation.at)
    left, right, sign = relation.left, relation.right, relation.sign
    if sign == "reversed update":
        sign = "update"
    updated = parameter(left)
    if sign == "equation" and updated and not is_new(left) and left in set(addends(right)):
        reading.choose("assignment", ("assign",))
        sign = "update"
    if sign == "update" and not updated:
        raise Unbindable("what is updated is not a parameter", left.at)
    binder = Binder(reading, relation, updating=updated if sign == "update" or is_new(left) else None)
    if sign == "update" and not is_new(left):
        left = labelled_new(left)
    one, other = binder.value(left), binder.value(right)
    binder.same_kind(one, other, "set equal", relation.at)
    other = binder.aligned(one, other)
    free = {axis[0]: axis[1] for axis in one.axes} | binder.free_letters()
    defines = any(isinstance(s, f.Name | f.Word) and s.text in COSTS | MEAN_COSTS | ERRORS for s in (left, right))
    return Bound(one.body, other.body, free, binder.mismatches, defines, binder.batch)


class Binder:
    """Turns the nodes of one relation into values; keeps what the letters of its indices run over."""

    def __init__(self, reading: Reading, relation: f.Relation, updating: str | None) -> None:
        self.reading, self.updating, self.relation = reading, updating, relation
        self.mismatches: list[tuple[sp.Expr, sp.Expr]] = []
        self.uses: dict[sp.Symbol, list[sp.Expr]] = {}  # the sizes that each index letter has to run over
        self.scope: dict[str, sp.Symbol] = {}  # summed letters
        self.cost_letter = ""  # L is one only where it is no layer
        self.batch: int | None = None  # samples, where the reading fixes them
        self.extents: dict[str, sp.Expr] = {}  # letters that stand for a size, over a sum
        everything = list(nodes(relation))
        scripted = [n for n in everything if isinstance(n, f.Scripted) and isinstance(n.base, f.Name)]
        layered = [n for n in scripted if base_name(n) in LAYERED]
        self.layers_written = any(layer_items(n) for n in layered)
        self.samples_written = sorted({sample_letter(n) for n in scripted} - {""})
        names = {n.text for n in everything if isinstance(n, f.Name)}
        letters = {n.text for s in scripted for i in s.sub for n in nodes(i) if isinstance(n, f.Name)}
        letters |= {i.text for sum_ in everything if isinstance(sum_, f.Summation) for i in sum_.indices}
        known = set(LAYERED) | TARGETS | COSTS | MEAN_COSTS | RATES | ACTIVATIONS | {"T", "l", "L"}
        self.target_written = any(n.text in TARGETS for n in everything if isinstance(n, f.Name | f.Word))
        self.cost_written = any(n.text in COSTS - {"L"} for n in everything if isinstance(n, f.Name | f.Word))
        certain = names & (known - {"T", "L"})
        self.one_spelling(everything)
        sums = [n for n in everything if isinstance(n, f.Summation)]
        if len(sums) > MOST_SUMS:
            raise Unbindable(f"more than {MOST_SUMS} sums", sums[MOST_SUMS].at)
        # letters of no network, as in (s \odot t)_j = s_j t_j: an identity between any vectors
        indexed = {base_name(n) for n in scripted if n.sub}
        free = names - letters - known
        elementwise = any(isinstance(n, f.Hadamard) for n in everything)
        self.vectors = free if elementwise and not certain and free <= indexed else set()

    def one_spelling(self, everything: list[f.Node]) -> None:
        """Two letters for one thing are two things to the author: refuse rather than take them for equal."""
        spelled: dict[str, f.Name | f.Word] = {}
        for node in everything:
            if isinstance(node, f.Name | f.Word):
                meaning = next((what for what, letters in SPELLINGS.items() if node.text in letters), None)
                if meaning and spelled.setdefault(meaning, node).text != node.text:
                    raise Unbindable(
                        f"`{spelled[meaning].text}` and `{node.text}` both stand for the {meaning}", node.at
                    )

    # -- values ---------------------------------------------------------------------------------------------------

    def value(self, node: f.Node) -> Value:
        kind = type(node).__name__.lower()
        method = getattr(self, f"_{kind}", None)
        if method is None:
            raise Unbindable("this has no meaning here", node.at)
        return method(node)

    def _number(self, node: f.Number) -> Value:
        return Value(sp.Rational(node.value.numerator, node.value.denominator))

    def _group(self, node: f.Group) -> Value:
        return self.value(node.body)

    def _name(self, node: f.Name) -> Value:
        return self._symbol(f.Scripted(node, at=node.at))

    def _word(self, node: f.Word) -> Value:
        return self._symbol(f.Scripted(node, at=node.at))

    def _scripted(self, node: f.Scripted) -> Value:
        if isinstance(node.base, f.Name | f.Word):
            return self._symbol(node)
        if node.primes:
            raise Unbindable("a prime belongs to the function, before its brackets", node.at)
        value = self.value(node.base)
        for item in node.sup:
            if item == f.Name("T"):
                value = Value(value.body, value.col, value.row)
            elif isinstance(item, f.Number) and len(node.sup) == 1:
                value = self.power(value, item)
            else:
                raise Unbindable("a superscript that is neither a power nor a transpose", item.at)
        return self.component(value, node) if node.sub else value

    def power(self, value: Value, exponent: f.Number) -> Value:
        if exponent.value.denominator != 1 or not 0 <= exponent.value <= HIGHEST_POWER:
            raise Unbindable(f"only whole powers up to {HIGHEST_POWER} are understood", exponent.at)
        power = int(exponent.value)
        if isinstance(value.body, sp.Rational) and max(abs(value.body.p), value.body.q).bit_length() * power > LARGEST:
            raise Unbindable("a number of too many digits", exponent.at)
        if not value.axes:
            return Value(value.body**power)
        if power == 2 and value.row and not value.col:
            self.reading.choose("square of a vector", ("sum of squares",))
            return Value(self.summed(value.body**2, value.row))
        raise Unbindable("a power of a vector or matrix", exponent.at)

    def component(self, value: Value, node: f.Scripted) -> Value:
        letters = list(self.index_items(node.sub))
        if len(letters) != len(value.axes):
            raise Unbindable(f"{len(letters)} indices on what has {len(value.axes)}", node.at)
        body = value.body
        for (axis, size), item in zip(value.axes, letters, strict=True):
            body = body.xreplace({axis: self.index(item, size)})
        return Value(body)

    def _addition(self, node: f.Addition) -> Value:
        (sign, first), *rest = node.terms
        total = self.value(first)
        total = replace(total, body=sign * total.body)
        for sign, addend in rest:
            value = self.value(addend)
            self.same_kind(total, value, "added", addend.at)
            value = self.aligned(total, value)
            total = replace(total, body=total.body + sign * value.body)
        return total

    def _product(self, node: f.Product) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if left.axes and right.axes and node.operator == "*":
            raise Unbindable("`*` between vectors or matrices: a convolution is not bound here", node.at)
        if node.operator in ("cdot", "times") and left.row and right.row and not left.col and not right.col:
            raise Unbindable("a dot between column vectors can mean two products: write `^T` or `\\odot`", node.at)
        return self.multiply(left, right)

    def multiply(self, left: Value, right: Value) -> Value:
        if not left.axes or not right.axes:
            scalar, other = (left, right) if not left.axes else (right, left)
            return replace(other, body=scalar.body * other.body)
        if left.col and right.row:
            inner = sp.Dummy("i", integer=True)
            self.agree(left.col[1], right.row[1])
            body = left.at(col=inner) * right.at(row=inner)
            return Value(self.summed(body, (inner, left.col[1])), left.row, right.col)
        if left.row and not left.col and right.col and not right.row:
            return Value(left.body * right.body, left.row, right.col)
        raise Misshapen("the shapes do not multiply", left.shape, right.shape)

    def _hadamard(self, node: f.Hadamard) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        self.same_kind(left, right, "multiplied elementwise", node.at)
        return replace(left, body=left.body * self.aligned(left, right).body)

    def _quotient(self, node: f.Quotient) -> Value:
        over, under = self.value(node.over), self.value(node.under)
        if under.axes:
            raise Unbindable("a division by a vector or matrix", node.under.at)
        if under.body.is_zero:
            raise Unbindable("a division by zero", node.under.at)
        return replace(over, body=over.body / under.body)

    def _summation(self, node: f.Summation) -> Value:
        before = {i.text: self.scope.get(i.text) for i in node.indices}
        if len(before) != len(node.indices):
            raise Unbindable("an index twice under one sum", node.at)
        for i in node.indices:
            self.scope[i.text] = sp.Dummy(i.text, integer=True)
        value = self.value(node.body)
        for i in node.indices:
            k = self.scope.pop(i.text)
            if (outer := before[i.text]) is not None:
                self.scope[i.text] = outer
            value = replace(value, body=self.summed(value.body, (k, self.range_of(k, i, node))))
        return value

    def range_of(self, k: sp.Symbol, i: f.Name, node: f.Summation) -> sp.Expr:
        sizes = self.uses.pop(k, [])
        if not sizes:
            raise Unbindable(f"the sum runs over {i.text}, which is no index of what it sums", node.at)
        for size in sizes[1:]:
            self.agree(sizes[0], size)
        if node.low is not None and node.low != f.Number(Fraction(1)):
            raise Unbindable("a sum that does not begin at 1", node.low.at)
        if node.high is not None:
            if not isinstance(node.high, f.Name):
                raise Unbindable("where the sum ends is not understood", node.high.at)
            if sizes[0] == samples and node.high.text not in BATCH:
                raise Unbindable(f"{node.high.text} is not the number of samples", node.high.at)
            if sizes[0] != samples:
                self.agree(self.extents.setdefault(node.high.text, sizes[0]), sizes[0])
        return sizes[0]

    def summed(self, body: sp.Expr, axis: Axis) -> sp.Expr:
        return sp.Sum(body, (axis[0], 0, axis[1] - 1))

    def _matrix(self, node: f.Matrix) -> Value:
        rows = [[self.value(entry) for entry in row] for row in node.rows]
        if any(entry.axes for row in rows for entry in row):
            raise Unbindable("a matrix of vectors", node.at)
        i, k = sp.Dummy("i", integer=True), sp.Dummy("k", integer=True)
        tall, wide = len(rows), len(rows[0])
        body = sp.Add(
            *(
                rows[r][c].body
                * (sp.KroneckerDelta(i, r) if tall > 1 else 1)
                * (sp.KroneckerDelta(k, c) if wide > 1 else 1)
                for r in range(tall)
                for c in range(wide)
            )
        )
        return Value(body, (i, sp.Integer(tall)) if tall > 1 else None, (k, sp.Integer(wide)) if wide > 1 else None)

    def _application(self, node: f.Application) -> Value:
        function = node.function if isinstance(node.function, f.Scripted) else f.Scripted(node.function)
        if base_name(function) not in ACTIVATIONS:
            raise Unbindable("the function is not an activation of this network", node.at)
        if function.primes > 1:
            raise Unbindable("no second derivative is defined here", node.at)
        value = self.value(node.argument)
        return replace(value, body=(slope if function.primes else sigma)(value.body))

    def _derivative(self, node: f.Derivative) -> Value:
        of = node.of if isinstance(node.of, f.Scripted) else f.Scripted(node.of, at=node.of.at)
        if LAYERED.get(base_name(of)) in ("a", "z"):
            return self.partial(of, node.by)
        return self.gradient(self.cost(node.of), node.by, node)

    def _gradient(self, node: f.Gradient) -> Value:
        by = node.by
        if by is None:
            if not self.updating:
                raise Unbindable(r"`\nabla` does not say by what", node.at)
            by = self.relation.left
            if isinstance(by, f.Scripted):
                by = replace(by, sup=tuple(i for i in by.sup if i != f.Word("new")), primes=0)
        return self.gradient(self.cost(node.of), by, node)

    # -- symbols --------------------------------------------------------------------------------------------------

    def _symbol(self, node: f.Scripted) -> Value:
        assert isinstance(node.base, f.Name | f.Word)
        text = node.base.text
        if text in self.vectors:
            return self.vector(node)
        if text in LAYERED:
            return self.layered(node, LAYERED[text])
        if node.primes:
            raise Unbindable(f"a prime on {text}", node.at)
        if text in OUTPUTS:
            return self.column("a", last, node)
        if text in TARGETS:
            return self.target(node)
        if text in COSTS | MEAN_COSTS | ERRORS:
            kind, sample = self.cost(node)
            return Value(tensor("E")[0] if kind == "E" else tensor("C")[sample])
        if text in RATES and not node.sub:
            return self.raised(Value(rate), node)
        if text in BATCH and not node.sub and text not in self.extents and text not in self.scope:
            return self.raised(Value(samples), node)
        raise Unbindable(f"the symbol `{text.removeprefix('word ')}` is not known here", node.at)

    def raised(self, value: Value, node: f.Scripted) -> Value:
        if not node.sup:
            return value
        if len(node.sup) == 1 and isinstance(node.sup[0], f.Number):
            return self.power(value, node.sup[0])
        raise Unbindable("a superscript that is no power", node.sup[0].at)

    def vector(self, node: f.Scripted) -> Value:
        """A letter of no network: any vector, all of one size."""
        assert isinstance(node.base, f.Name | f.Word)
        i = sp.Dummy(node.base.text, integer=True)
        value = Value(tensor(f"any {node.base.text}")[i], (i, width))
        if node.primes:
            raise Unbindable(f"a prime on {node.base.text}", node.at)
        if node.sub:
            value = self.component(value, node)
        return self.raised(value, node)

    def column(self, name: str, at: sp.Expr, node: f.Scripted) -> Value:
        if node.sup:
            raise Unbindable("a superscript on a word", node.sup[0].at)
        i = sp.Dummy("j", integer=True)
        value = Value(tensor(name)[at, self.sample(node), i], (i, units(at)))
        return self.component(value, node) if node.sub else value

    def target(self, node: f.Scripted) -> Value:
        """y belongs to the last layer; a superscript is its sample, the layer L, or a power."""
        i = sp.Dummy("j", integer=True)
        items = [i for i in node.sup if not (isinstance(i, f.Name) and i.text == "L")]
        powers = [i for i in items if isinstance(i, f.Number)]
        if len(items) - len(powers) > 1 or len(powers) > 1:
            raise Unbindable("superscripts of the target that are not understood", node.at)
        letter = [i for i in items if i not in powers]
        if letter and not isinstance(letter[0], f.Name):
            raise Unbindable("a superscript of the target that is not understood", letter[0].at)
        sample = self.named_sample(letter[0]) if letter else self.sample(node)
        value = Value(tensor("y")[sample, i], (i, units(last)))
        value = self.component(value, node) if node.sub else value
        return self.power(value, powers[0]) if powers else value

    def layered(self, node: f.Scripted, name: str) -> Value:
        if node.primes and name not in PARAMETERS:
            raise Unbindable("a prime on something that is not a function", node.at)
        if node.primes > 1:
            raise Unbindable("several primes on a parameter", node.at)
        ends = any(isinstance(i, f.Word) and i.text in ("in", "out") for i in node.sub)
        if name in PARAMETERS:
            return self.parameter_value(node, name)
        if ends or (not self.layers_written and self.ends_written()):
            return self.end_of_weight(node, name)
        labels = [i for i in node.sup if isinstance(i, f.Word)]
        if labels:
            raise Unbindable("a label that is not understood", labels[0].at)
        at = self.layer_of(node, name)
        i = sp.Dummy("j", integer=True)
        value = Value(tensor(name)[at, self.sample(node), i], (i, units(at)))
        value = self.component(value, node) if node.sub else value
        return Value(value.body, value.col, value.row) if f.Name("T") in node.sup else value

    def ends_written(self) -> bool:
        return any(isinstance(n, f.Word) and n.text in ("in", "out") for n in nodes(self.relation))

    def end_of_weight(self, node: f.Scripted, name: str) -> Value:
        self.reading.choose("in and out", ("ends of one weight",))
        which = [i.text for i in node.sub if isinstance(i, f.Word)]
        if len(node.sub) != 1 or node.sup or which not in (["in"], ["out"]):
            raise Unbindable("which end of the weight is meant", node.at)
        at, (j, k) = self.weight()
        at, i = (at - 1, k) if which == ["in"] else (at, j)
        self.use(i, units(at))
        return Value(tensor(name)[at, self.sample(node), i])

    def weight(self) -> tuple[sp.Expr, tuple[sp.Symbol, sp.Symbol]]:
        """The layer and the indices of the weight whose ends are meant: those written on a weight, else any."""
        for node in nodes(self.relation):
            if isinstance(node, f.Scripted) and LAYERED.get(base_name(node)) == "w" and node.sub:
                items = list(self.index_items(node.sub))
                if len(items) == 2 and all(isinstance(i, f.Name) for i in items):
                    j, k = (sp.Symbol(i.text, integer=True) for i in items if isinstance(i, f.Name))
                    return self.layer_of(node, "w"), (j, k)
        return layer, (sp.Symbol("j of the weight", integer=True), sp.Symbol("k of the weight", integer=True))

    def parameter_value(self, node: f.Scripted, name: str) -> Value:
        labels = [i.text for i in node.sup if isinstance(i, f.Word)]
        if any(label not in ("new", "old") for label in labels) or len(labels) + node.primes > 1:
            raise Unbindable("a label on a parameter that is not understood", node.at)
        new = labels == ["new"] or node.primes == 1
        at = self.layer_of(node, name)
        if new and not self.updating:
            raise Unbindable("a new value outside of an update", node.at)
        base = tensor(f"{name}_new" if new else name)
        value = self.parameter_axes(base, (), name, at)
        transposed = f.Name("T") in node.sup
        if node.sub:
            value = self.component(value, node)
        elif self.ends_written() and not self.layers_written:
            value = self.of_one_weight(value)
        return Value(value.body, value.col, value.row) if transposed else value

    def parameter_axes(self, base: sp.IndexedBase, extra: tuple, name: str, at: sp.Expr) -> Value:
        j, k = sp.Dummy("j", integer=True), sp.Dummy("k", integer=True)
        if PARAMETERS[name] == 1:
            return Value(base[(at, *extra, j)], (j, units(at)))
        return Value(base[(at, *extra, j, k)], (j, units(at)), (k, units(at - 1)))

    def of_one_weight(self, value: Value) -> Value:
        self.reading.choose("in and out", ("ends of one weight",))
        _, letters = self.weight()
        for (_, size), letter in zip(value.axes, letters, strict=False):
            self.use(letter, size)
        return Value(value.at(*letters[: len(value.axes)]))

    # -- costs ----------------------------------------------------------------------------------------------------

    def cost(self, node: f.Node) -> tuple[str, sp.Expr]:
        """`C` and a sample, or `E`: a sample's own cost or the mean over the batch."""
        scripted = node if isinstance(node, f.Scripted) else f.Scripted(node, at=node.at)
        text = scripted.base.text if isinstance(scripted.base, f.Name | f.Word) else ""
        if text not in COSTS | MEAN_COSTS | ERRORS or scripted.primes:
            raise Unbindable("only a cost is differentiated here", node.at)
        if text in COSTS and self.cost_letter not in ("", text):
            raise Unbindable(f"`{self.cost_letter}` and `{text}` both stand for the cost", node.at)
        self.cost_letter = text if text in COSTS else self.cost_letter
        scripts = (*scripted.sub, *scripted.sup)
        if len(scripts) > 1 or (scripts and not isinstance(scripts[0], f.Name)):
            raise Unbindable("scripts of the cost that are not understood", node.at)
        if scripts:
            return "C", self.named_sample(scripts[0])
        if text in MEAN_COSTS and (self.updating or self.samples_written or self.cost_written):
            return "E", sp.Integer(0)
        if text in MEAN_COSTS:
            self.reading.choose("E of what", ("cost of one sample",))
            return "C", self.sample(scripted)
        if self.updating:
            self.reading.choose("cost of an update", ("mean cost",))
            return "E", sp.Integer(0)
        if self.samples_written:  # beside quantities of sample x, a cost that names none is that of all
            return "E", sp.Integer(0)
        return "C", self.sample(scripted)

    def partial(self, of: f.Scripted, by: f.Node) -> Value:
        """The derivative of a component of one quantity of the network by a component of another."""
        if not of.sub or not isinstance(by, f.Scripted) or not by.sub:
            raise Unbindable("a derivative by or of a vector, without indices", of.at)
        upper = self.value(of).body
        lower = self.gradient(("C", self.sample(of)), by, f.Derivative(of, by, at=of.at)).body
        found = jacobian(upper, lower)
        if found is None:
            raise Unbindable("a derivative by what it does not depend on, as it is written", by.at)
        return Value(found)

    def gradient(self, cost: tuple[str, sp.Expr], by: f.Node, node: f.Node) -> Value:
        kind, sample = cost
        scripted = by if isinstance(by, f.Scripted) else f.Scripted(by, at=by.at)
        name = LAYERED.get(scripted.base.text) if isinstance(scripted.base, f.Name) else None
        if f.Name("T") in scripted.sup:
            raise Unbindable("a derivative by a transpose", by.at)
        if name in PARAMETERS:
            assert name is not None
            if scripted.primes or any(isinstance(i, f.Word) and i.text != "old" for i in scripted.sup):
                raise Unbindable("a derivative by a new value", by.at)
            at = self.layer_of(scripted, name)
            extra = (sample,) if kind == "C" else ()
            value = self.parameter_axes(tensor(f"{kind}:{name}"), extra, name, at)
            if scripted.sub:
                return self.component(value, scripted)
            return self.of_one_weight(value) if self.ends_written() and not self.layers_written else value
        if name not in ("a", "z") or scripted.primes or any(isinstance(i, f.Word) for i in scripted.sup):
            raise Unbindable("a derivative by this is not understood", by.at)
        bare = not layer_items(scripted) and isinstance(node, f.Gradient)
        at = last if bare else self.layer_of(scripted, name)  # \nabla_a C is by the activations of the last layer
        i = sp.Dummy("j", integer=True)
        if sample_letter(scripted):
            of = self.sample(scripted)
        else:
            of = sample if kind == "C" else self.only_sample(node)
        weight: sp.Expr = sp.Integer(1)
        if kind == "E":
            weight = network().mean_weight.of((of,))
        elif of != sample:
            raise Unbindable("the derivative of one sample's cost by another's activations", node.at)
        value = Value(weight * tensor(f"delta_{name}")[at, of, i], (i, units(at)))
        return self.component(value, scripted) if scripted.sub else value

    # -- layers, samples, indices ---------------------------------------------------------------------------------

    def layer_of(self, node: f.Scripted, name: str) -> sp.Expr:
        items = layer_items(node)
        if len(items) > 1:
            raise Unbindable("superscripts that are not understood", node.at)
        if items:
            return layer_expression(items[0])
        if self.layers_written:
            raise Unbindable(f"{name} names no layer, others do", node.at)
        if name in PARAMETERS and (self.updating or self.ends_written()):
            return layer
        if self.ends_written():
            return layer
        if not self.target_written and (again := self.on_both_sides()):
            raise Unbindable("it stands on both sides: of which layers is not said", again.at)
        option = self.reading.choose("no layers", ("the last layer",) if self.target_written else ONE_LAYER)
        if option == "the last layer":
            return last
        return layer - 1 if name == "a" and option == ONE_LAYER[0] else layer

    def on_both_sides(self) -> f.Name | None:
        r"""Of `\delta_j = \sigma'(z_j) \sum_k w_{kj} \delta_k`, `\delta`: weights lead from a layer to the next."""
        sides = [
            {n.text: n for n in nodes(side) if isinstance(n, f.Name) and n.text in LAYERED}
            for side in (self.relation.left, self.relation.right)
        ]
        if not any(LAYERED[text] == "w" for side in sides for text in side):
            return None
        return next((n for text, n in sides[1].items() if text in sides[0] and LAYERED[text] not in PARAMETERS), None)

    def sample(self, node: f.Scripted) -> sp.Expr:
        letter = sample_letter(node)
        if letter:
            return self.named_sample(f.Name(letter, at=node.at))
        if self.samples_written:
            raise Unbindable("it names no sample, others do", node.at)
        if self.updating:
            if any(isinstance(n, f.Name) and n.text in BATCH for n in nodes(self.relation)):
                raise Unbindable("it names no sample, but the formula speaks of a mini-batch", node.at)
            self.reading.choose("batch", ("one sample",))
            self.batch = 1
            return sp.Integer(0)
        one = sp.Symbol("sample", integer=True)
        self.use(one, samples)
        return one

    def only_sample(self, node: f.Node) -> sp.Expr:
        if len(self.samples_written) != 1:
            raise Unbindable("it names no sample", node.at)
        return self.named_sample(f.Name(self.samples_written[0], at=node.at))

    def named_sample(self, letter: f.Node) -> sp.Expr:
        if not isinstance(letter, f.Name) or letter.text in ("l", "ell", "L", "T"):
            raise Unbindable("a sample must be a letter, and no layer's", letter.at)
        symbol = self.scope.get(letter.text, sp.Symbol(letter.text, integer=True))
        self.use(symbol, samples)
        return symbol

    def index_items(self, items: tuple[f.Node, ...]) -> Iterator[f.Node]:
        """`_{jk}` and `_{j,k}` alike."""
        for item in items:
            if isinstance(item, f.Product) and not item.operator:
                yield from self.index_items((item.left, item.right))
            else:
                yield item

    def index(self, node: f.Node, size: sp.Expr) -> sp.Expr:
        if isinstance(node, f.Name) and node.text not in ("T", "L", "l", "ell"):
            symbol = self.scope.get(node.text, sp.Symbol(node.text, integer=True))
            self.use(symbol, size)
            return symbol
        if isinstance(node, f.Number) and node.value.denominator == 1 and node.value >= 1:
            return sp.Integer(int(node.value) - 1)
        if isinstance(node, f.Addition):
            letters = [n for n in nodes(node) if isinstance(n, f.Name)]
            if any(n.text in self.scope for n in letters):
                raise Unbindable("a summed index is shifted: where its sum ends is not said", node.at)
            total: sp.Expr = sp.Integer(0)
            for sign, addend in node.terms:
                if isinstance(addend, f.Number) and addend.value.denominator == 1:
                    total += sign * int(addend.value)
                else:
                    total += sign * self.index(addend, size)
            return total
        raise Unbindable("an index must be a letter, a number, or a letter plus or minus a number", node.at)

    def use(self, index: sp.Symbol, size: sp.Expr) -> None:
        self.uses.setdefault(index, []).append(size)

    def free_letters(self) -> dict[sp.Symbol, sp.Expr]:
        free = {}
        for index, sizes in self.uses.items():
            free[index] = sizes[0]
            for size in sizes[1:]:
                self.agree(sizes[0], size)
        return free

    # -- shapes ---------------------------------------------------------------------------------------------------

    def agree(self, one: sp.Expr, other: sp.Expr) -> None:
        if one != other and (one, other) not in self.mismatches:
            self.mismatches.append((one, other))

    def same_kind(self, left: Value, right: Value, how: str, at: int) -> None:
        if bool(left.axes) != bool(right.axes):
            raise Unbindable(f"a number and a vector or matrix {how}", at)
        if (left.row is None, left.col is None) != (right.row is None, right.col is None):
            raise Misshapen(f"these shapes cannot be {how}", left.shape, right.shape)

    def aligned(self, model: Value, value: Value) -> Value:
        """The value with the model's axes; their sizes must agree."""
        change = {}
        for mine, theirs in zip((model.row, model.col), (value.row, value.col), strict=True):
            if mine and theirs:
                self.agree(mine[1], theirs[1])
                change[theirs[0]] = mine[0]
        return Value(value.body.xreplace(change), model.row, model.col)
