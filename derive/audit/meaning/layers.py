r"""Bind letters to the tensors of a network of layers: dense, convolutional, pooling, batch-normalised.

Sizes are symbols: `units(l)` for the units of layer l, `channels(l)`, `rows(l)`, `columns(l)` for its planes, `m` for the
samples.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import sympy as sp

from derive.audit.meaning.algebra import Algebra
from derive.audit.meaning.network import (
    Network,
    channels,
    columns,
    epsilon,
    first_largest,
    jacobian,
    last,
    layer,
    rate,
    rows,
    samples,
    sigma,
    slope,
    units,
    width,
    window,
)
from derive.audit.meaning.scripts import base_name, layer_expression, layer_items, nodes, sample_letter
from derive.audit.meaning.values import Unbindable, Value
from derive.audit.meaning.vocabulary import (
    ACTIVATIONS,
    BATCH,
    COSTS,
    ERRORS,
    FILTERS,
    LAYERED,
    MEAN_COSTS,
    NORMALISED,
    ONE_LAYER,
    OTHER_ACTIVATIONS,
    OUTPUTS,
    RATES,
    SECTION,
    SPELLINGS,
    TARGETS,
    Reading,
)
from derive.audit.syntax import formula as f
from derive.calculus.equation import Maximum, tensor


class Layers(Algebra):
    """The letters of a network of layers."""

    def __init__(self, reading: Reading, relation: f.Relation, network: Network, updating: str | None) -> None:
        relation = named_variances(relation) if network.kind.coupled else relation
        self.network, self.updating = network, updating
        self.planes, self.featurewise = network.kind.planes, network.kind.coupled
        self.pools = self.planes and network.name != "convolution"
        super().__init__(reading, relation)
        self.letters = dict(LAYERED)
        self.letters |= FILTERS if network.name == "convolution" else NORMALISED if network.kind.coupled else {}
        self.letters |= self.other_activations()
        self.targets = frozenset({"target"}) if network.kind.coupled else TARGETS
        self.cost_letter = ""  # L is one only where it is no layer
        self.batch: int | None = None  # samples, where the reading fixes them
        self.fixed: dict[sp.Expr, sp.Expr] = {}  # sizes that a figure shows
        scripted = [n for n in self.everything if isinstance(n, f.Scripted) and isinstance(n.base, f.Name)]
        layered = [n for n in scripted if base_name(n) in self.letters]
        self.layers_written = any(self.layer_scripts(n) for n in layered)
        self.samples_written = sorted(set(map(self.sample_of, scripted)) - {""})
        names = {n.text for n in self.everything if isinstance(n, f.Name)}
        letters = {n.text for s in scripted for i in s.sub for n in nodes(i) if isinstance(n, f.Name)}
        letters |= {i.text for sum_ in self.everything if isinstance(sum_, f.Summation) for i in sum_.indices}
        known = set(self.letters) | self.targets | COSTS | MEAN_COSTS | RATES | ACTIVATIONS | {"T", "l", "L"}
        self.target_written = any(n.text in self.targets for n in self.everything if isinstance(n, f.Name | f.Word))
        self.cost_written = any(n.text in COSTS - {"L"} for n in self.everything if isinstance(n, f.Name | f.Word))
        certain = names & (known - {"T", "L"})
        self.figure = any(isinstance(n, f.Matrix) for n in self.everything)
        self.one_spelling(letters if self.planes else set())
        # letters of no network, as in (s \odot t)_j = s_j t_j: an identity between any vectors
        indexed = {base_name(n) for n in scripted if n.sub}
        free = names - letters - known
        elementwise = any(isinstance(n, f.Hadamard) for n in self.everything)
        self.vectors = free if elementwise and not certain and free <= indexed else set()

    def one_spelling(self, indices: set[str]) -> None:
        """Two letters for one thing are two things to the author: refuse rather than take them for equal."""
        spelled: dict[str, f.Name | f.Word] = {}
        for node in self.everything:
            if isinstance(node, f.Name | f.Word) and node.text not in indices:
                meaning = next((what for what, letters in SPELLINGS.items() if node.text in letters), None)
                if meaning == "target" and node.text not in self.targets:
                    continue
                if meaning and spelled.setdefault(meaning, node).text != node.text:
                    if meaning == "activation":
                        self.reading.choose("activations", ("one function",))
                        continue
                    raise Unbindable(
                        f"`{spelled[meaning].text}` and `{node.text}` both stand for the {meaning}", node.at
                    )

    def other_activations(self) -> dict[str, str]:
        """Where no `a` stands: the letter of a layer that others write for it."""
        letters = {
            base_name(n)
            for n in self.everything
            if isinstance(n, f.Scripted) and base_name(n) in OTHER_ACTIVATIONS and layer_items(n)
        }
        written = {n.text for n in self.everything if isinstance(n, f.Name)}
        if len(letters) != 1 or "a" in written or self.network.kind.coupled:
            return {}
        (letter,) = letters
        self.reading.choose("activation's letter", (f"`{letter}` stands for the activation",))
        return {letter: "a"}

    def canonical(self, size: sp.Expr) -> sp.Expr:
        return self.network.canonical(size)

    # -- figures --------------------------------------------------------------------------------------------------

    def _scripted(self, node: f.Scripted) -> Value:
        if isinstance(node.base, f.Matrix) and node.sup and not node.sub and f.Name("T") not in node.sup:
            of_layer = tuple(tuple(self.in_layer(entry, node.sup) for entry in row) for row in node.base.rows)
            return self._matrix(replace(node.base, rows=of_layer))
        return super()._scripted(node)

    def in_layer(self, entry: f.Node, layers: tuple[f.Node, ...]) -> f.Node:
        """An entry of a figure, with the layer that stands at the figure."""
        if not isinstance(entry, f.Scripted) or entry.sup:
            raise Unbindable("a superscript on a matrix of what has none to take", entry.at)
        return replace(entry, sup=layers)

    def _matrix(self, node: f.Matrix) -> Value:
        """A figure of all components of one quantity also says how large that is."""
        value = super()._matrix(node)
        first = node.rows[0][0]
        name = self.letters.get(base_name(first), "") if isinstance(first, f.Scripted) else ""
        if self.planes and name.removeprefix("delta_") in self.network.features:
            assert isinstance(first, f.Scripted)
            places = {
                tuple(self.index_items(e.sub)) if isinstance(e, f.Scripted) else () for row in node.rows for e in row
            }
            tall, wide = len(node.rows), len(node.rows[0])
            grid = {(f.Number(Fraction(r + 1)), f.Number(Fraction(c + 1))) for r in range(tall) for c in range(wide)}
            if places == grid:
                *_, row, col = self.network.extents(name, self.layer_of(first, name))
                self.fixed |= {row: sp.Integer(tall), col: sp.Integer(wide)}
        return value

    # -- functions ------------------------------------------------------------------------------------------------

    def applied(self, function: f.Scripted, argument: f.Node, node: f.Node) -> Value:
        if base_name(function) not in ACTIVATIONS:
            raise Unbindable("the function is not an activation of this network", node.at)
        if function.primes > 1:
            raise Unbindable("no second derivative is defined here", node.at)
        value = self.value(argument)
        return replace(value, body=(slope if function.primes else sigma)(value.body))

    def _derivative(self, node: f.Derivative) -> Value:
        of = node.of if isinstance(node.of, f.Scripted) else f.Scripted(node.of, at=node.of.at)
        if self.letters.get(base_name(of)) in self.network.order:
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

    def symbol(self, node: f.Scripted) -> Value:
        assert isinstance(node.base, f.Name | f.Word)
        text = node.base.text
        if text in self.vectors:
            return self.vector(node)
        if self.planes and self.letters.get(text) == "w" and node.sub == (f.Name("b"),):  # the bias beside a filter
            return self.layered(replace(node, base=f.Name("b", at=node.at), sub=()), "b")
        if text in self.letters:
            return self.layered(node, self.letters[text])
        if node.primes:
            raise Unbindable(f"a prime on {text}", node.at)
        if text in OUTPUTS:
            return self.column("a", last, node)
        if text in self.targets:
            return self.target(node)
        if text in COSTS | MEAN_COSTS | ERRORS:
            kind, sample = self.cost(node)
            return Value(tensor("E")[0] if kind == "E" else tensor("C")[sample])
        if text in RATES and not node.sub:
            return self.raised(Value(rate), node)
        sizes = self.extents.get(text, samples)  # over a sum a letter may stand for another size
        if text in BATCH and not node.sub and sizes == samples and text not in self.scope:
            return self.raised(Value(samples), node)
        if text == "s" and self.pools and not node.sub:
            return self.raised(Value(window), node)
        if text == "epsilon" and self.network.kind.coupled and not node.sub:
            return self.raised(Value(epsilon), node)
        raise Unbindable(f"the symbol `{text.removeprefix('word ')}` is not known here", node.at)

    def raised(self, value: Value, node: f.Scripted) -> Value:
        if not node.sup:
            return value
        if len(node.sup) == 1 and isinstance(node.sup[0], f.Number):
            return self.power(value, node.sup[0].value, node.sup[0].at)
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
        value = self.whole(name, at, (self.sample(node),))
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
        value = self.turned_to_rows(Value(tensor("y")[sample, i], (i, units(last))))
        value = self.component(value, node) if node.sub else value
        return self.power(value, powers[0].value, powers[0].at) if powers else value

    def whole(self, name: str, at: sp.Expr, extra: tuple[sp.Expr, ...]) -> Value:
        """All of a tensor's components in layer `at`, as a number, a vector, a matrix, or planes of channels."""
        sizes = self.network.extents(name, at)
        letters = (
            [sp.Dummy(letter, integer=True) for letter in ("o", "c", "i", "j")[-len(sizes) :]]
            if self.planes
            else [sp.Dummy(letter, integer=True) for letter in ("j", "k")[: len(sizes)]]
        )
        axes = list(zip(letters, sizes, strict=True))
        body = tensor(name)[(at, *extra, *letters)]
        parameter = name.removeprefix("C:").removeprefix("E:").removesuffix("_new") in self.network.parameters
        if self.planes:
            channels = tuple(axes[:-2]) if len(axes) > 2 else tuple(axes)
            row, col = axes[-2:] if len(axes) > 2 else (None, None)
            value = Value(body, row, col, channels)
            stored_turned = parameter and row and self.reading.agrees("star") == "convolution"
            return self.turned(value, self.relation.at) if stored_turned else value
        if len(axes) == 2:
            weights = Value(body, axes[0], axes[1])
            return Value(body, axes[1], axes[0]) if self.reading.agrees("vectors") == "rows" else weights
        return self.turned_to_rows(Value(body, axes[0]))

    def turned_to_rows(self, value: Value) -> Value:
        return value if self.reading.agrees("vectors") == "columns" else Value(value.body, value.col, value.row)

    def layered(self, node: f.Scripted, name: str) -> Value:
        if node.primes and name not in self.network.parameters:
            raise Unbindable("a prime on something that is not a function", node.at)
        if node.primes > 1:
            raise Unbindable("several primes on a parameter", node.at)
        if name not in self.network.features and name not in ("delta_z", "delta_a"):
            raise Unbindable(f"a {self.network.name.replace('_', ' ')} layer has no {name}", node.at)
        ends = any(isinstance(i, f.Word) and i.text in ("in", "out") for i in node.sub)
        if name in self.network.parameters:
            return self.parameter_value(node, name)
        if ends or (not self.layers_written and self.ends_written()):
            return self.end_of_weight(node, name)
        labels = [i for i in node.sup if isinstance(i, f.Word)]
        if labels:
            raise Unbindable("a label that is not understood", labels[0].at)
        at = self.layer_of(node, name)
        sign = 1
        if name.startswith("delta_"):
            name, sign = self.error(name, at, node)
        if name == "a" and at == layer and self.pools:
            name = "z" if self.reading.choose("pooled", SECTION["pooled"][0]) == "without activation" else name
        extra = (self.sample(node),) if name.removeprefix("delta_") in self.network.sampled else ()
        value = self.whole(name, at, extra)
        value = replace(value, body=sign * value.body)
        value = self.component(value, self.without_sample(node)) if self.without_sample(node).sub else value
        value = self.transposed(value) if f.Name("T") in node.sup else value
        return self.to_power(value, node)

    def to_power(self, value: Value, node: f.Scripted) -> Value:
        """Of batch normalisation: a numeral above is a power, for its layer is always l."""
        powers = [i for i in node.sup if isinstance(i, f.Number)] if self.network.kind.coupled else []
        if len(powers) > 1:
            raise Unbindable("two powers", node.at)
        return self.power(value, powers[0].value, powers[0].at) if powers else value

    def error(self, name: str, at: sp.Expr, node: f.Scripted) -> tuple[str, int]:
        r"""Which derivative `\delta` is, and its sign."""
        if name == "delta_a":
            self.reading.choose("upright delta", ("upright delta",))
            return name, 1
        if (self.pools or (self.planes and self.figure)) and at == layer - 1:
            if self.reading.choose("below", SECTION["below"][0]) == "by the activation":
                return "delta_a", 1
        negative = self.reading.choose("error", SECTION["error"][0]) == "negative gradient"
        return name, -1 if negative else 1

    def ends_written(self) -> bool:
        return any(isinstance(n, f.Word) and n.text in ("in", "out") for n in self.everything)

    def end_of_weight(self, node: f.Scripted, name: str) -> Value:
        self.reading.choose("in and out", ("ends of one weight",))
        which = [i.text for i in node.sub if isinstance(i, f.Word)]
        if len(node.sub) != 1 or node.sup or which not in (["in"], ["out"]):
            raise Unbindable("which end of the weight is meant", node.at)
        at, (j, k) = self.weight()
        at, i = (at - 1, k) if which == ["in"] else (at, j)
        self.use(i, units(at))
        name, sign = self.error(name, at, node) if name.startswith("delta_") else (name, 1)
        return Value(sign * tensor(name)[at, self.sample(node), i])

    def weight(self) -> tuple[sp.Expr, tuple[sp.Symbol, sp.Symbol]]:
        """The layer and the indices of the weight whose ends are meant: those written on a weight, else any."""
        for node in self.everything:
            if isinstance(node, f.Scripted) and self.letters.get(base_name(node)) == "w" and node.sub:
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
        value = self.whole(f"{name}_new" if new else name, at, ())
        node = self.without_sample(node)
        if node.sub:
            value = self.component(value, node)
        elif self.ends_written() and not self.layers_written:
            value = self.of_one_weight(value)
        value = self.transposed(value) if f.Name("T") in node.sup else value
        return self.to_power(value, node)

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
        if self.network.kind.coupled:
            if scripts:
                raise Unbindable(
                    "the cost of a batch whose samples act on one another is not that of a sample", node.at
                )
            return "C", sp.Integer(0)
        if scripts:
            return "C", self.named_sample(scripts[0])
        if text in MEAN_COSTS and (self.updating or self.samples_written or self.cost_written):
            return self.of_batch()
        if text in MEAN_COSTS:
            self.reading.choose("E of what", ("cost of one sample",))
            return "C", self.sample(scripted)
        if self.updating:
            self.reading.choose("cost of an update", ("mean cost",))
            return self.of_batch()
        if self.samples_written:  # beside quantities of sample x, a cost that names none is that of all
            return self.of_batch()
        return "C", self.sample(scripted)

    def of_batch(self) -> tuple[str, sp.Expr]:
        self.reading.choose("batch", SECTION["batch"][0])
        return "E", sp.Integer(0)

    def partial(self, of: f.Scripted, by: f.Node) -> Value:
        """The derivative of one quantity of the network by another: a number, or the matrix of them."""
        by = by if isinstance(by, f.Scripted) else f.Scripted(by, at=by.at)
        above, name = self.letters[base_name(of)], self.letters.get(base_name(by), "")
        if name not in (*self.network.order, *self.network.parameters):
            raise Unbindable("a derivative by this is not understood", by.at)
        if f.Name("T") in (*of.sup, *by.sup) or of.primes or by.primes:
            raise Unbindable("a derivative of or by a transpose", by.at)
        if any(isinstance(i, f.Word) for i in (*of.sup, *by.sup)):
            raise Unbindable("a label that is not understood", by.at)
        upper = self.whole(above, self.layer_of(of, above), (self.sample(of),) if above in self.network.sampled else ())
        lower = self.whole(
            name, self.layer_of(by, name), (self.sample_beside(by, of),) if name in self.network.sampled else ()
        )
        of, by = self.without_sample(of), self.without_sample(by)
        upper = self.component(upper, of) if of.sub else upper
        lower = self.component(lower, by) if by.sub else lower
        found = jacobian(upper.body, lower.body, self.network)
        if found is None:
            raise Unbindable("a derivative by what it does not depend on, as it is written", by.at)
        others = [b for a, b in self.network.partials if a == above and b != name]
        if self.network.kind.coupled and any((b, name) in self.network.partials for b in others):
            self.reading.choose("partial", ("held",))
        if len(upper.axes) > 1 or (self.planes and (upper.axes or lower.axes)):
            raise Unbindable("a derivative of or by planes, without indices", of.at)
        if upper.axes and len(lower.axes) == 2:
            return Value(found, lower.row, lower.col, lead=upper.axes[0])
        own = {lower.axes[0][1], upper.axes[0][1]} == {units(layer)} if upper.axes and lower.axes else False
        if self.featurewise and own:  # the features of a batch do not act on one another
            self.feature_by_feature()
            return replace(upper, body=found.xreplace({lower.axes[0][0]: upper.axes[0][0]}))
        if upper.axes and lower.axes:
            self.reading.choose("layout", SECTION["layout"][0])
            turned = self.reading.agrees("layout") == "denominator"
            pair = (lower.axes[0], upper.axes[0]) if turned else (upper.axes[0], lower.axes[0])
            return Value(found, *pair)
        if upper.axes:
            return replace(upper, body=found)
        return replace(lower, body=found)

    def sample_beside(self, by: f.Scripted, of: f.Scripted) -> sp.Expr:
        """Of the quantity below in a derivative: the sample it names, else that of the quantity above."""
        named = self.sample_of(by)
        return self.named_sample(f.Name(named, at=by.at)) if named else self.sample(of)

    def gradient(self, cost: tuple[str, sp.Expr], by: f.Node, node: f.Node) -> Value:
        kind, sample = cost
        scripted = by if isinstance(by, f.Scripted) else f.Scripted(by, at=by.at)
        name = self.letters.get(base_name(scripted), "")
        if f.Name("T") in scripted.sup:
            raise Unbindable("a derivative by a transpose", by.at)
        if name in self.network.parameters:
            if scripted.primes or any(isinstance(i, f.Word) and i.text != "old" for i in scripted.sup):
                raise Unbindable("a derivative by a new value", by.at)
            at = self.layer_of(scripted, name)
            extra = (sample,) if kind == "C" and not self.network.kind.coupled else ()
            value = self.whole(f"{kind}:{name}", at, extra)
            scripted = self.without_sample(scripted)
            if scripted.sub:
                return self.component(value, scripted)
            return self.of_one_weight(value) if self.ends_written() and not self.layers_written else value
        if name not in self.network.order or scripted.primes or any(isinstance(i, f.Word) for i in scripted.sup):
            raise Unbindable("a derivative by this is not understood", by.at)
        bare = not self.layer_scripts(scripted) and isinstance(node, f.Gradient) and not self.network.kind.coupled
        at = last if bare else self.layer_of(scripted, name)  # \nabla_a C is by the activations of the last layer
        extra = ()
        weight: sp.Expr = sp.Integer(1)
        if self.network.kind.coupled:
            extra = (self.sample(scripted),) if name in self.network.sampled else ()
        else:
            if self.sample_of(scripted):
                of = self.sample(scripted)
            else:
                of = sample if kind == "C" else self.only_sample(node)
            if kind == "E":
                weight = self.network.mean_weight.of((of,))
            elif of != sample:
                raise Unbindable("the derivative of one sample's cost by another's activations", node.at)
            extra = (of,)
        value = self.whole(f"delta_{name}", at, extra)
        value = replace(value, body=weight * value.body)
        scripted = self.without_sample(scripted)
        return self.component(value, scripted) if scripted.sub else value

    # -- layers, samples, indices ---------------------------------------------------------------------------------

    def layer_scripts(self, node: f.Scripted) -> list[f.Node]:
        """The superscripts that say which layer; of batch normalisation a number is a power."""
        if self.network.kind.coupled:
            return [i for i in node.sup if not isinstance(i, f.Word | f.Number) and i != f.Name("T")]
        return layer_items(node)

    def layer_of(self, node: f.Scripted, name: str) -> sp.Expr:
        items = self.layer_scripts(node)
        if len(items) > 1:
            raise Unbindable("superscripts that are not understood", node.at)
        if items:
            at = layer_expression(items[0])
            if self.network.kind.coupled:
                self.near_the_normalised(name, at, node)
            return at
        if self.network.kind.coupled:  # it is of the one layer that is normalised
            return layer
        if self.layers_written and self.planes:
            if not (self.figure and name in self.network.parameters):  # a figure has one filter, between its layers
                self.reading.choose("layer", ("layer left out",))
            return layer
        if self.layers_written:
            raise Unbindable(f"{name} names no layer, others do", node.at)
        if name in self.network.parameters and (self.updating or self.ends_written()):
            return layer
        if self.ends_written() or self.planes:
            return layer
        if not self.target_written and (again := self.on_both_sides()):
            raise Unbindable("it stands on both sides: of which layers is not said", again.at)
        option = self.reading.choose("no layers", ("the last layer",) if self.target_written else ONE_LAYER)
        if option == "the last layer":
            return last
        return layer - 1 if name == "a" and option == ONE_LAYER[0] else layer

    def near_the_normalised(self, name: str, at: sp.Expr, node: f.Node) -> None:
        """Layer l is normalised; of the layer above, only what it weighs is known, and what it sends back."""
        above = sp.expand(at - layer)
        if name not in ("a", "z", "w", "b", "delta_z", "delta_a") and above != 0:
            raise Unbindable("the layer that is normalised must be l", node.at)
        if not above.is_Integer or above > (0 if name in ("a", "delta_a") else 1):
            raise Unbindable("so far above the layer that is normalised nothing is known", node.at)

    def on_both_sides(self) -> f.Name | None:
        r"""Of `\delta_j = \sigma'(z_j) \sum_k w_{kj} \delta_k`, `\delta`: weights lead from a layer to the next."""
        sides = [
            {n.text: n for n in nodes(side) if isinstance(n, f.Name) and n.text in self.letters}
            for side in (self.relation.left, self.relation.right)
        ]
        if not any(self.letters[text] == "w" for side in sides for text in side):
            return None
        parameters = self.network.parameters
        return next(
            (n for text, n in sides[1].items() if text in sides[0] and self.letters[text] not in parameters), None
        )

    def sample_of(self, node: f.Scripted) -> str:
        """The sample's letter, if there is one; of batch normalisation it is the first index."""
        if not self.network.kind.coupled:
            return sample_letter(node)
        name = self.letters.get(base_name(node), "").removeprefix("delta_")
        items = self.plain_items(node)
        if name in self.network.sampled and items and isinstance(items[0], f.Name):
            return items[0].text
        return ""

    def plain_items(self, node: f.Scripted) -> list[f.Node]:
        """The indices without the label of a batch, as in `\\mu_B`."""
        return [i for i in self.index_items(node.sub) if i != f.Name("B")]

    def without_sample(self, node: f.Scripted) -> f.Scripted:
        """Of batch normalisation: the symbol with the indices of its features alone."""
        if not self.network.kind.coupled:
            return node
        items = self.plain_items(node)
        name = self.letters.get(base_name(node), "").removeprefix("delta_")
        if name in self.network.sampled:
            return replace(node, sub=tuple(items[1:]))
        if len(items) == 1 and isinstance(items[0], f.Name) and items[0].text in self.samples_written:
            self.reading.choose("index of a parameter", ("no sample",))
            return replace(node, sub=())
        return replace(node, sub=tuple(items))

    def sample(self, node: f.Scripted) -> sp.Expr:
        letter = self.sample_of(node)
        if letter:
            return self.named_sample(f.Name(letter, at=node.at))
        if self.network.kind.coupled:
            letters = [text for text in self.samples_written if text in self.scope] or self.samples_written
            letters = letters or [n.indices[0].text for n in self.everything if isinstance(n, f.Summation)]
            if len(set(letters)) != 1:
                raise Unbindable("it names no sample", node.at)
            self.reading.choose("sample", ("sample left out",))
            return self.named_sample(f.Name(letters[0], at=node.at))
        if self.samples_written:
            raise Unbindable("it names no sample, others do", node.at)
        if self.updating:
            if any(isinstance(n, f.Name) and n.text in BATCH for n in self.everything):
                raise Unbindable("it names no sample, but the formula speaks of a mini-batch", node.at)
            self.reading.choose("mini-batch", ("one sample",))
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
        symbol = self.letter(letter.text)
        self.use(symbol, samples)
        return symbol

    def is_extent(self, size: sp.Expr, letter: str) -> bool:
        return size != samples or letter in BATCH

    def size_between(self, letter: str, k: sp.Symbol, node: f.Summation) -> list[sp.Expr]:
        """Of planes: the indices of a sum that stand at nothing in it run over rows and columns."""
        if self.planes and len(node.indices) == 2 and not self.uses.get(k):
            self.reading.choose("what is summed over", ("places of the plane",))
            return [(rows, columns)[[i.text for i in node.indices].index(letter)](layer)]
        return super().size_between(letter, k, node)

    def index(self, node: f.Node, size: sp.Expr) -> sp.Expr:
        letters = {n.text: n for n in nodes(node) if isinstance(n, f.Name)}
        if not self.planes or len(letters) < 2:
            return super().index(node, size)
        return self.affine(node, size)

    def affine(self, node: f.Node, size: sp.Expr) -> sp.Expr:
        """An index of several letters, `i + u - 1` or `s (i - 1) + u`, counted from 1 as its letters are."""
        total = sp.expand(self.whole_number(node))
        letters = sorted((s for s in total.free_symbols if s != window), key=str)
        if any(total.coeff(letter) not in (1, -1, window) for letter in letters):
            raise Unbindable("an index must be a sum of letters, which may be times the window s", node.at)
        for letter in letters:
            if total.coeff(letter) == 1 and total.has(window):
                largest = self.network.name == "max_pooling"
                self.reading.choose("windows", ("windows side by side" if largest else "blocks side by side",))
                self.use(letter, window)  # what is left of a division by the window
        counted = self.reading.agrees("counting")
        moved = total.xreplace({letter: letter + 1 for letter in letters}) - 1 if counted == "from one" else total
        self.reading.choose("counting", SECTION["counting"][0])
        return sp.expand(moved)

    def left_over(self, both: sp.Tuple, free: dict[sp.Symbol, sp.Expr]) -> dict[sp.Symbol, sp.Expr]:
        """Letters that nothing gives a range: beside a window they run over it, elsewhere they have no meaning."""
        known = {layer, last, samples, window, rate, width, *free, *(x.base.label for x in both.atoms(sp.Indexed))}
        loose = sorted((s for s in both.free_symbols - known if s.is_Symbol and s.is_integer), key=str)
        if loose and not self.pools:
            raise Unbindable(f"`{loose[0]}` is an index of nothing", self.relation.at)
        return dict.fromkeys(loose, window)

    def whole_number(self, node: f.Node) -> sp.Expr:
        if isinstance(node, f.Group):
            return self.whole_number(node.body)
        if isinstance(node, f.Number) and node.value.denominator == 1:
            return sp.Integer(int(node.value))
        if isinstance(node, f.Name):
            return window if node.text == "s" else self.letter(node.text)
        if isinstance(node, f.Addition):
            return sp.Add(*(sign * self.whole_number(part) for sign, part in node.terms))
        if isinstance(node, f.Product):
            return self.whole_number(node.left) * self.whole_number(node.right)
        raise Unbindable("an index must be a sum of letters and numbers", node.at)

    # -- the largest ----------------------------------------------------------------------------------------------

    def _cases(self, node: f.Cases) -> Value:
        """Of max pooling: one value where the place in the window is that of the largest, another elsewhere."""
        if self.network.name != "max_pooling" or len(node.rows) != 2 or node.rows[1][1] is not None:
            raise Unbindable("a case distinction that is not understood", node.at)
        (value, condition), (other, _) = node.rows
        assert condition is not None
        chosen, channel = self.is_largest(condition)
        one, two = self.value(value), self.value(other)
        if one.places or two.places:
            raise Unbindable("cases of planes", node.at)
        model = one if one.axes else two
        chosen = chosen.xreplace({channel: model.channels[0][0]} if model.channels else {})
        one, two = (v if v.axes else replace(model, body=v.body) for v in (one, two))
        return replace(model, body=chosen * one.body + (1 - chosen) * self.aligned(model, two).body)

    def is_largest(self, condition: f.Relation) -> tuple[sp.Expr, sp.Expr]:
        r"""`(u, v) = \arg\max_{u, v} a_{...}` as a factor that is one or zero, and the index of its channel."""
        place, sought = condition.left, condition.right
        if not (isinstance(place, f.Listing) and isinstance(sought, f.Extremum) and sought.kind == "argmax"):
            raise Unbindable("a condition that is not understood", condition.at)
        names = [n.text for n in place.items if isinstance(n, f.Name)]
        if len(names) != 2 or names != [n.text for n in sought.indices]:
            raise Unbindable("the place compared must be that of the largest, index by index", condition.at)
        u, v = map(self.letter, names)
        inside, value = self.over_window(sought)
        channel = value.channels[0][0] if value.channels else sp.Integer(0)
        with suppress(Unbindable):  # of the window that is pooled: the place that pooling remembers
            place_of = self.window_of(sought, inside, value)
            winners = [sp.IndexedBase(f"z_at_{k}", integer=True)[place_of] for k in "uv"]
            return sp.KroneckerDelta(u, winners[0]) * sp.KroneckerDelta(v, winners[1]), channel
        largest = Maximum(value.body, *((k, 0, window - 1) for k in inside))
        places = [first_largest(largest, sp.Integer(n)) for n in range(2)]
        return sp.KroneckerDelta(u, places[0]) * sp.KroneckerDelta(v, places[1]), channel

    def _extremum(self, node: f.Extremum) -> Value:
        r"""`\max_{u, v} a_{...}`: what max pooling makes of a window, by its definition."""
        if self.network.name != "max_pooling" or node.kind != "max" or len(node.indices) != 2:
            raise Unbindable("a largest or smallest value that is not understood", node.at)
        at, sample, channel, i, j = self.window_of(node, *self.over_window(node))
        return Value(tensor("z")[at, sample, channel, i, j], channels=((channel, channels(layer)),))

    def over_window(self, sought: f.Extremum) -> tuple[list[sp.Symbol], Value]:
        """What the largest is sought of, and the letters that run over the window."""
        outer = dict(self.scope)
        names = [n.text for n in sought.indices]
        inside = [sp.Dummy(name, integer=True) for name in names]
        self.scope |= dict(zip(names, inside, strict=True))
        value = self.value(sought.body)
        self.scope = outer
        for k in inside:
            self.uses.pop(k, None)
        return inside, value

    def window_of(self, sought: f.Extremum, inside: list[sp.Symbol], value: Value) -> tuple[sp.Expr, ...]:
        """The place of the pooled value whose window the largest is sought in: layer, sample, channel, row, column."""
        body = value.body
        if not isinstance(body, sp.Indexed) or body.base.name != "a":
            raise Unbindable("the largest of what is not an activation", sought.at)
        at, sample, channel, row, column = body.indices
        i, j = (sp.expand((e - k) / window) for e, k in zip((row, column), inside, strict=True))
        if i.has(*inside, window) or j.has(*inside, window) or not (i.is_integer and j.is_integer):
            raise Unbindable("the places compared are not those of one window", sought.at)
        return at + 1, sample, channel, i, j


def named_variances(relation: f.Relation) -> f.Relation:
    r"""With `\sigma_B^2`, `(\sigma_B^2)^l` as one symbol: no activation's."""

    def named(node: object) -> object:
        if isinstance(node, f.Scripted):
            if is_variance(node):
                return f.Scripted(f.Name("variance", at=node.at), at=node.at)
            inner = node.base.body if isinstance(node.base, f.Group) else node.base
            if isinstance(inner, f.Scripted) and is_variance(inner) and node.sup and not node.sub:
                return f.Scripted(f.Name("variance", at=node.at), sup=node.sup, at=node.at)
        if isinstance(node, tuple):
            return tuple(map(named, node))
        if isinstance(node, f.Node):
            return replace(node, **{name: named(part) for name, part in parts(node)})  # type: ignore[arg-type]
        return node

    found = named(relation)
    assert isinstance(found, f.Relation)
    return found


def is_variance(node: f.Scripted) -> bool:
    two = len(node.sup) == 1 and isinstance(node.sup[0], f.Number) and node.sup[0].value == 2
    return node.base == f.Name("sigma") and node.sub == (f.Name("B"),) and two and not node.primes


def parts(node: f.Node) -> Iterator[tuple[str, object]]:
    """The fields of a node that hold nodes."""
    for name, part in vars(node).items():
        if isinstance(part, f.Node | tuple) and name not in ("written", "mark"):
            yield name, part
