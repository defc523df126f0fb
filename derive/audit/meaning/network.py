"""A network of layers of one kind, any depth and width: the forward definitions, lifted by a layer index.

Nothing here is mathematics of its own. The equations of `derive.forward` get the index of their layer (a layer's input
is the activation of the one before), the calculus gives their adjoints, and the activation and the cost stay abstract:
any function of one number, and any function of the last activations, unless a reading names them. Tensors, all with
their layer l first, then the sample n if they have one:

    a[l, n, j], z[l, n, j], w[l, j, k], b[l, j], y[n, j]    forward; layer 1 is the input, layer L the last
    delta_z[l, n, j], delta_a[l, n, j]                      derivatives of sample n's own cost C[n]
    C:w[l, n, j, k], E:w[l, j, k]                           gradients of a sample's cost and of the mean cost; also of b
    w_new[l, j, k], b_new[l, j]                             after one step of gradient descent

In a convolutional network the last indices are channel, row and column (of a filter: both channels, row, column). Batch
normalisation couples its samples: there C is one cost of the whole batch, layer l is the one normalised, and what the
layer above sends back is given.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache

import sympy as sp

from derive.audit.meaning.values import nonnegative
from derive.calculus.adjoint import adjoint
from derive.calculus.derivation import compose, derive
from derive.calculus.equation import Equation, Maximum, Term, tensor
from derive.calculus.system import System
from derive.forward import average_pooling as average
from derive.forward import convolution as convolved
from derive.forward import max_pooling as largest
from derive.forward.batch_norm import batch_norm
from derive.forward.dense import dense
from derive.forward.gradient_descent import gradient_descent
from derive.forward.logistic import logistic
from derive.forward.logistic_cross_entropy import logistic_cross_entropy
from derive.forward.objective import objective
from derive.forward.quadratic import quadratic
from derive.forward.softmax import softmax
from derive.forward.softmax_cross_entropy import softmax_cross_entropy
from derive.forward.squared_error import squared_error
from derive.forward.tanh import hyperbolic_tangent
from derive.notation import indices, size_of, system

COSTS = {s.name: s for s in (quadratic, squared_error, logistic_cross_entropy, softmax_cross_entropy)}
ACTIVATIONS = {s.name: s for s in (logistic, hyperbolic_tangent)}  # those whose slope is a polynomial in their output
PAIRS = {logistic_cross_entropy.name: logistic, softmax_cross_entropy.name: softmax}  # costs and what comes before them

layer = sp.Symbol("l", integer=True, positive=True)
last = sp.Symbol("L", integer=True, positive=True)
samples = sp.Symbol("m", integer=True, positive=True)
window = sp.Symbol("s", integer=True, positive=True)  # rows and columns of a pooling window, and its step
rate = sp.Symbol("eta", real=True)
epsilon = next(iter(batch_norm.settings))
width = sp.Symbol("n", integer=True, positive=True)  # of vectors that belong to no network


class Extent(sp.Function):
    """A size of a layer."""

    is_integer = True
    is_positive = True


class units(Extent):
    """The units of a layer."""


class channels(Extent):
    """The planes of a layer."""


class rows(Extent):
    """The rows of its planes."""


class columns(Extent):
    """The columns of its planes."""


class height(Extent):
    """The rows of its filters."""


class breadth(Extent):
    """The columns of its filters."""


EXTENTS = {1: (units,), 3: (channels, rows, columns)}  # by the number of a quantity's indices


class sigma(sp.Function):
    """The abstract activation function."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return slope(*self.args)


class slope(sp.Function):
    """Its derivative."""


class first_largest(sp.Function):
    """The place, along one of its indices, at which a maximum is first attained."""


def activation_of(x: sp.Indexed) -> System:
    """The abstract activation, of whatever indices the quantity before it has."""
    a = tensor("a")[x.indices]
    with system("activation", inputs=[x], outputs=[a]) as activation:
        activation.a[x.indices] = sigma(x)
    return activation


def pooled(module: object) -> System:
    """Windows side by side: as far apart as they are wide, and without padding."""
    u, v = indices("u v")
    s: System = getattr(module, module.__name__.rpartition(".")[2])  # type: ignore[attr-defined]
    side_by_side = {size_of(u): window, size_of(v): window, module.stride: window}  # type: ignore[attr-defined]
    return s.specialised({**side_by_side, **unpadded(s)})


def unpadded(s: System) -> dict[sp.Symbol, int]:
    """The settings that put no border around a plane."""
    return {setting: 0 for setting in s.settings if setting.name in ("top", "bottom", "left", "right")}


ONE = sp.Integer(1)
convolution = convolved.convolution.specialised(
    {convolved.stride: 1, convolved.dilation: 1, **unpadded(convolved.convolution)}
)


@cache
def max_pooling() -> System:
    return pooled(largest)


@cache
def average_pooling() -> System:
    return pooled(average)


@dataclass(frozen=True)
class Kind:
    """What a layer is made of, in order, before its activation; `planes` if it has rows and columns."""

    systems: tuple[System, ...]
    planes: bool = False
    coupled: bool = False  # whether samples act on one another, so that the cost is one of the whole batch


def kind_named(name: str) -> Kind:
    """The kinds of layers that documents speak of."""
    kinds = {
        "dense": lambda: Kind((dense,)),
        "convolution": lambda: Kind((convolution,), planes=True),
        "max_pooling": lambda: Kind((max_pooling(),), planes=True),
        "average_pooling": lambda: Kind((average_pooling(),), planes=True),
        "batch_norm": lambda: Kind((dense, batch_norm), coupled=True),
    }
    return kinds[name]()


@dataclass(frozen=True)
class Definition:
    """tensor[at] = body, and the system that says so."""

    system: str
    tensor: str
    at: tuple[sp.Symbol, ...]
    body: sp.Expr

    def of(self, place: tuple[sp.Expr, ...]) -> sp.Expr:
        """The body at a place, its summed indices fresh."""
        reductions = self.body.atoms(sp.Sum, Maximum)
        fresh = {k: sp.Dummy(k.name, integer=True) for s in reductions for k, *_ in s.limits}
        return self.body.xreplace(fresh).xreplace(dict(zip(self.at, place, strict=True)))


class Definitions:
    """Definitions by tensor name, of what has no layers: an update rule, a cost of one output."""

    def __init__(self, name: str, definitions: Iterable[Definition] = ()) -> None:
        self.name, self.kind = name, Kind(())
        self.cost: str | None = None
        self.definitions: dict[str, Definition] = {d.tensor: d for d in definitions}
        self.at_last: dict[str, Definition] = {}  # what holds at layer L only
        self.partials: dict[tuple[str, str], Definition] = {}  # adjoint of an operand by its one equation alone
        self.features: dict[str, tuple[sp.Expr, ...]] = {}  # sizes at layer l, without the samples'
        self.order: list[str] = []  # forward quantities of a layer, each after what it is made from
        self.logarithms: frozenset[str] = frozenset()  # what an exponential is taken of
        self.is_rational = True  # whether it can be worked out in rational numbers, for any activation

    def definition(self, x: sp.Indexed) -> Definition | None:
        """What defines a component, if anything does."""
        return self.definitions.get(x.base.name)

    def open(self, x: sp.Indexed) -> sp.Expr:
        """The right side of what defines x."""
        found = self.definition(x)
        assert found is not None
        return found.of(x.indices)

    def with_slopes(self, e: sp.Expr) -> sp.Expr:
        """An expression with the activation's slope in terms of its output, if it is one of the known activations."""
        return e

    def canonical(self, size: sp.Expr) -> sp.Expr:
        """A size in the terms in which sizes are compared."""
        return size

    @property
    def input(self) -> str:
        """What the first layer is given."""
        return "a"

    def lowest(self, name: str) -> int:
        """The first layer that has such a quantity."""
        return 1 if name in (self.input, "a", f"delta_{self.input}", "delta_a") else 2

    def sizes(self, x: sp.Indexed) -> tuple[sp.Expr | None, ...]:
        """Beyond which sizes a tensor is zero, index by index; None where that is not said."""
        return (None,) * len(x.indices)


class Network(Definitions):
    """Definitions by tensor name, for one kind of layer, one cost (None: any) and one known activation (None: any).

    Paired, the last layer's activation is the one that goes with the cost. Summed, the cost of a mini-batch is the sum
    over its samples, not the mean.
    """

    def __init__(
        self,
        kind: str = "dense",
        cost: str | None = None,
        *,
        paired: bool = False,
        known: str | None = None,
        summed: bool = False,
    ) -> None:
        super().__init__(kind)
        self.kind, self.cost, self.paired, self.known = kind_named(kind), cost, paired, known
        self.summed = summed
        self.is_rational = not (paired or known)
        self.sampled: set[str] = set()  # what each sample has its own of
        self.parameters: dict[str, int] = {}  # and how many indices each has
        systems = self.kind.systems
        for s, input_layer in zip(systems, (layer - 1, *[layer] * len(systems)), strict=False):
            self._add_layer(s, input_layer)
        self._add_layer(activation_of(systems[-1].outputs[0]), layer)
        self._add_gradients()
        self._add_rule()
        if cost:
            self._add_cost(COSTS[cost])
        if cost and paired:
            self._add_pair(COSTS[cost], PAIRS[cost])

    # -- what is known of a component -----------------------------------------------------------------------------

    @property
    def input(self) -> str:  # what is pooled comes out of an activation function
        return "z" if self.kind.planes and self.name != "convolution" else "a"

    def definition(self, x: sp.Indexed) -> Definition | None:
        """What defines a component, if anything does: at layer L, the sensitivity that the cost sends back."""
        name = x.base.name
        if name in self.at_last and x.indices[0] == last:
            return self.at_last[name]
        if (
            self.kind.coupled and x.indices[0] != layer
        ):  # what comes from the layer below, what the one above sends back
            above = bool((x.indices[0] - layer).is_positive)
            if name.startswith("delta_") if above else name == "a":
                return None
        return self.definitions.get(name)

    def open(self, x: sp.Indexed) -> sp.Expr:
        return self._canonical_bounds(super().open(x))

    def with_slopes(self, e: sp.Expr) -> sp.Expr:
        if self.known is None:
            return e
        output, of_output = slope_in_output(self.known)
        return e.replace(slope, lambda x: of_output.xreplace({output: sigma(x)}))

    def extents(self, name: str, at: sp.Expr) -> tuple[sp.Expr, ...]:
        """The sizes of a quantity of a layer, without the samples', in terms of those of layer l."""
        return tuple(self.canonical(size.xreplace({layer: at})) for size in self.features[stem(name)])

    def canonical(self, size: sp.Expr) -> sp.Expr:  # by layer l (or L): what a convolution leaves of the layer before
        if not self.kind.planes:
            return size

        def moved(f: sp.Expr) -> sp.Expr:
            at = f.args[0]
            letter = sp.Add(*(s for s in (layer, last) if at.has(s)))
            shift = sp.expand(at - letter)
            if not letter or shift == 0 or isinstance(f, height | breadth):
                return f
            up = at + 1 if shift < 0 else at  # the layer whose windows lead from one to the other
            other = f.func(at + 1 if shift < 0 else at - 1)
            if self.name == "convolution":
                if isinstance(f, channels):
                    return f
                gap = (height if isinstance(f, rows) else breadth)(up) - 1
                return moved(other) + gap if shift < 0 else moved(other) - gap
            if shift > 0:
                return f
            return moved(other) if isinstance(f, channels) else window * moved(other)

        return sp.expand(size.replace(lambda f: isinstance(f, channels | rows | columns), moved))

    def sizes(self, x: sp.Indexed) -> tuple[sp.Expr | None, ...]:
        name, count = x.base.name, len(x.indices)
        own = stem(name)
        if own not in self.features or name.endswith("_new"):
            return (None,) * count
        inside = self.extents(own, x.indices[0])
        return (None, *[samples] * (count - 1 - len(inside)), *inside)

    def position(self, x: sp.Indexed) -> sp.Expr:
        """Where a quantity of a layer, or its sensitivity, stands on the way from layer to layer."""
        return len(self.order) * x.indices[0] + self.order.index(x.base.name.removeprefix("delta_"))

    # -- how it comes about ---------------------------------------------------------------------------------------

    def _add_layer(self, s: System, input_layer: sp.Expr) -> None:
        s = with_batch_index(s)
        declared = s.declared()
        where = dict.fromkeys(declared, layer) | {x.base.name: input_layer for x in s.inputs}
        sizes: dict[sp.Basic, sp.Expr] = {}
        for x in (*s.parameters, *s.inputs, *s.outputs):  # the batch comes first, then the units
            if x in s.parameters:  # of a filter: both channels first
                sizes |= dict(zip(map(size_of, x.indices[2:]), (height(layer), breadth(layer)), strict=False))
                continue
            of = EXTENTS[len(x.indices) - 1]
            sizes |= {size_of(i): f(where[x.base.name]) for i, f in zip(x.indices[1:], of, strict=True)}
            sizes[size_of(x.indices[0])] = samples
        for name, x in declared.items():
            inside = [sizes[size_of(i)] for i in x.indices if size_of(i) in sizes]
            if samples in inside:
                self.sampled.add(name)
            own = tuple(f(layer) for f in EXTENTS.get(len(x.indices) - 1, ()) if samples in inside)
            self.features.setdefault(name, own or tuple(inside))
        outputs, parameters = {x.base.name for x in s.outputs}, {x.base.name for x in s.parameters}
        self.parameters |= {x.base.name: len(x.indices) for x in s.parameters}
        for equation in s.equations:
            self.order.append(equation.name)
            self._add(s.name, equation, where, sizes)
        where |= {f"{kind}_{x}": at for x, at in where.items() for kind in ("delta", "nabla")}
        for equation in s.equations:
            for name, part in adjoint([equation], {equation.name}, declared=declared).items():
                self.partials[equation.name, name] = self._lifted(s.name, part, where, sizes)
        for equation in adjoint(s.equations, outputs, declared=declared, parameters=parameters).values():
            self._add(s.name, equation, where, sizes)

    def _add(self, owner: str, equation: Equation, where: dict[str, sp.Expr], sizes: dict[sp.Basic, sp.Expr]) -> None:
        self.definitions[equation.name] = self._lifted(owner, equation, where, sizes)

    def _lifted(
        self, owner: str, equation: Equation, where: dict[str, sp.Expr], sizes: dict[sp.Basic, sp.Expr]
    ) -> Definition:
        shift = {layer: layer + (layer - where[equation.name])}  # the target stands at layer l
        body = bounded(equation).xreplace(sizes)
        at = {x: tensor(x.base.name)[(where.get(x.base.name, layer), *x.indices)] for x in body.atoms(sp.Indexed)}
        body = body.replace(lambda x: isinstance(x, sp.Indexed), lambda x: at.get(x, x)).xreplace(shift)
        return Definition(owner, equation.name, (layer, *equation.target.indices), self._canonical_bounds(body))

    def _canonical_bounds(self, body: sp.Expr) -> sp.Expr:
        if not self.kind.planes:
            return body
        return body.replace(lambda f: isinstance(f, channels | rows | columns), self.canonical)

    def _add_gradients(self) -> None:
        """The gradient of one sample's cost, and of the mean: sensitivities weighed by what the objective says."""
        (weight,) = adjoint(objective.equations, {"E"}, declared=objective.declared()).values()
        (batch,) = weight.target.indices
        mean = weight.expression().xreplace({tensor("delta_E")[0]: sp.Integer(1), size_of(batch): samples})
        whole = samples if self.summed else ONE
        mean *= whole
        self.mean_weight = Definition(objective.name, weight.name, (batch,), mean)
        sample = sp.Symbol("x", integer=True)
        for name in self.parameters:
            gradient = self.definitions.pop(f"nabla_{name}")
            owner = gradient.system
            if self.kind.coupled:
                self.definitions |= {f"{kind}:{name}": gradient for kind in "CE"}
                continue
            for kind, extra in (("C", (sample,)), ("E", ())):

                def weighed(d: sp.Indexed, kind: str = kind) -> sp.Expr:
                    (at,) = d.indices[1:2]
                    return d * (sp.KroneckerDelta(at, sample) if kind == "C" else self.mean_weight.of((at,)))

                sensitivities = [d for d in gradient.body.atoms(sp.Indexed) if d.base.name.startswith("delta_")]
                body = gradient.body.xreplace({d: weighed(d) for d in sensitivities})
                at = (layer, *extra, *gradient.at[1:])
                self.definitions[f"{kind}:{name}"] = Definition(owner, f"nabla_{name}", at, body)
        E = objective.equations[0]
        body = whole * E.expression().xreplace({size_of(batch): samples})
        self.definitions["E"] = Definition(objective.name, "E", (sp.Symbol("e", integer=True),), body)

    def _add_rule(self) -> None:
        """A rule is elementwise: its index stands for all of a parameter's."""
        (step,) = gradient_descent.equations
        (old,), (gradient,) = gradient_descent.parameters, gradient_descent.gradient
        (learning_rate,) = gradient_descent.settings
        for name in self.parameters:
            at = self.definitions[f"E:{name}"].at
            change = {old: tensor(name)[at], gradient: tensor(f"E:{name}")[at], learning_rate: rate}
            self.definitions[f"{name}_new"] = Definition(
                gradient_descent.name, step.name, at, step.expression().xreplace(change)
            )

    def _add_cost(self, cost: System) -> None:
        (C,), (output,) = cost.outputs, cost.inputs
        (defined,) = cost.equations
        self.definitions["C"] = Definition(cost.name, C.base.name, C.indices, lifted(defined.expression(), cost))
        sensitivity = adjoint(cost.equations, {C.base.name}, declared=cost.declared())[output.base.name]
        body = sensitivity.expression().xreplace({tensor(f"delta_{C.base.name}")[C.indices]: sp.Integer(1)})
        at = (layer, *sensitivity.target.indices)
        self.at_last["delta_a"] = Definition(cost.name, "delta_a", at, lifted(body, cost))

    def _add_pair(self, cost: System, before: System) -> None:
        """The sensitivity that a cost and the activation before it send back together, in closed form."""
        (sensitivity,) = derive(compose(before, cost), objective).closed
        batch = sensitivity.target.indices[0]
        weight = self.mean_weight.of((batch,)).xreplace({samples: size_of(batch)})
        body = lifted(sensitivity.expression() / weight, cost)
        self.at_last["delta_z"] = Definition(cost.name, "delta_z", (layer, *sensitivity.target.indices), body)


def with_batch_index(s: System) -> System:
    """A system whose samples are counted by n, whatever letter its definition counts them by."""
    change: dict[sp.Basic, sp.Basic] = {s.inputs[0].indices[0]: sp.Symbol("n", integer=True)}

    def moved(xs: tuple[sp.Indexed, ...]) -> tuple[sp.Indexed, ...]:
        return tuple(x.xreplace(change) for x in xs)

    return replace(
        s, inputs=moved(s.inputs), outputs=moved(s.outputs), equations=[with_size(e, change) for e in s.equations]
    )


def with_size(e: Equation, change: dict[sp.Basic, sp.Basic]) -> Equation:
    """The equation with an index renamed, and the size that goes with its name."""
    return e.map(change | {size_of(i): size_of(j) for i, j in change.items()})


def stem(name: str) -> str:
    """The forward quantity that a sensitivity, a gradient or a new value belongs to."""
    return name.split(":")[-1].removesuffix("_new").removeprefix("delta_")


def bounded(equation: Equation) -> sp.Expr:
    """The right side, with all bounds of a sum but the plainest as factors that are one or zero."""
    if equation.kind == "max":
        return equation.expression()
    return sp.Add(*(bounded_term(t) for t in equation.terms))


def bounded_term(term: Term) -> sp.Expr:
    body, limits = term.body, []
    for k, low, high in term.over:
        lows = list(low.args) if isinstance(low, sp.Max) else [low]
        highs = list(high.args) if isinstance(high, sp.Min) else [high]
        first, end = min(lows, key=sp.count_ops), min(highs, key=lambda e: (len(e.free_symbols), sp.count_ops(e)))
        body *= sp.Mul(*(at_least(k, e) for e in lows if e != first), *(at_most(k, e) for e in highs if e != end))
        limits.append((k, first, end))
    body *= sp.Mul(*(nonnegative(c) for c in term.conditions))
    return sp.Sum(body, *limits) if limits else body


def at_least(k: sp.Symbol, low: sp.Expr) -> sp.Expr:
    """k >= low as a factor; of a quotient rounded up, by its numerator and denominator."""
    over, under = sp.fraction(sp.together(low.args[0])) if isinstance(low, sp.ceiling) else (low, ONE)
    return nonnegative(under * k - over)


def at_most(k: sp.Symbol, high: sp.Expr) -> sp.Expr:
    over, under = sp.fraction(sp.together(high.args[0])) if isinstance(high, sp.floor) else (high, ONE)
    return nonnegative(over - under * k)


def lifted(e: sp.Expr, cost: System) -> sp.Expr:
    """A cost's expression in the activations of layer L and the targets y."""
    (output,), (target,) = cost.inputs, cost.targets
    e = e.xreplace({size_of(output.indices[0]): samples, size_of(output.indices[1]): units(last)})
    change = {x: tensor("a")[(last, *x.indices)] for x in e.atoms(sp.Indexed) if x.base == output.base}
    change |= {x: tensor("y")[x.indices] for x in e.atoms(sp.Indexed) if x.base == target.base}
    return e.xreplace(change)


@cache
def network(kind: str = "dense", cost: str | None = None, **details: bool | str | None) -> Network:
    return Network(kind, cost, **details)  # type: ignore[arg-type]


@cache
def slope_in_output(name: str) -> tuple[sp.Indexed, sp.Expr]:
    """An activation's output and, in terms of it, its derivative."""
    (output,), (sensitivity,) = ACTIVATIONS[name].outputs, derive(ACTIVATIONS[name]).closed
    return output, sensitivity.expression().xreplace(
        {tensor(f"delta_{output.base.name}")[output.indices]: sp.Integer(1)}
    )


def jacobian(of: sp.Indexed, by: sp.Indexed, net: Network) -> sp.Expr | None:
    """The derivative of a component of a forward quantity by what it depends on: its adjoint, with one at `of`.

    Where the equation of `of` itself reads `by`, all else that it reads is held; else `by` acts through what reads it. None
    where `of` does not depend on it.
    """
    name, seed = by.base.name, f"delta_{of.base.name}"
    if (of.base.name, name) in net.partials:
        part = net.partials[of.base.name, name]
        e = part.of(by.indices)
        at = {x.indices[0] for x in e.atoms(sp.Indexed) if x.base.name == seed}
        if at == {of.indices[0]}:
            return picked(e, seed, of)
    if of.base.name not in net.order:
        return None
    own = [part for (reader, read), part in net.partials.items() if read == name and reader in net.order]
    if name not in net.order and len(own) != 1:
        return None

    def before(x: sp.Indexed) -> bool:
        derived = x.base.name.startswith("delta_") and net.definition(x) is not None
        return derived and bool((net.position(of) - net.position(x)).is_positive)

    start = tensor(f"delta_{name}")[by.indices] if name in net.order else own[0].of(by.indices)
    sensitivities = [x for x in start.atoms(sp.Indexed) if x.base.name.startswith("delta_")]
    if not all((net.position(of) - net.position(x)).is_Integer for x in sensitivities):
        return None
    return picked(rewrite(start, net, before), seed, of)


def picked(e: sp.Expr, seed: str, of: sp.Indexed) -> sp.Expr | None:
    """The part of an adjoint that comes from one component."""
    change = {}
    for x in e.atoms(sp.Indexed):
        if x.base.name == seed and x.indices[0] == of.indices[0]:
            change[x] = sp.Mul(*(sp.KroneckerDelta(i, p) for i, p in zip(x.indices[1:], of.indices[1:], strict=True)))
        elif x.base.name.startswith("delta_"):
            return None
    return e.xreplace(change)


def rewrite(
    e: sp.Expr, network: Definitions, chosen: Callable[[sp.Indexed], bool], opened: set[sp.Indexed] | None = None
) -> sp.Expr:
    """Replace every chosen component by what defines it, again and again; `opened` collects them."""
    change = {}
    for x in e.atoms(sp.Indexed):
        if chosen(x):
            if opened is not None:
                opened.add(x)
            change[x] = rewrite(network.open(x), network, chosen, opened)
    return e.xreplace(change)
