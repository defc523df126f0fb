"""A network of dense layers of any depth and width: the forward definitions, lifted by a layer index.

Nothing here is mathematics of its own. The equations of `derive.forward` get the index of their layer (a layer's input
is the activation of the one before), the calculus gives their adjoints, and the activation and the cost stay abstract:
any function of one number, and any function of the last activations, unless a reading names them. Tensors, all with
their layer l first:

    a[l, n, j], z[l, n, j], w[l, j, k], b[l, j], y[n, j]    forward; layer 1 is the input, layer L the last
    delta_z[l, n, j], delta_a[l, n, j]                      derivatives of sample n's own cost C[n]
    C:w[l, n, j, k], E:w[l, j, k]                           gradients of a sample's cost and of the mean cost; also of b
    w_new[l, j, k], b_new[l, j]                             after one step of gradient descent
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import sympy as sp

from derive.calculus.adjoint import adjoint
from derive.calculus.derivation import compose, derive
from derive.calculus.equation import Equation, tensor
from derive.calculus.system import System
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
from derive.notation import indices, size_of, system, tensors

COSTS = {s.name: s for s in (quadratic, squared_error, logistic_cross_entropy, softmax_cross_entropy)}
ACTIVATIONS = {s.name: s for s in (logistic, hyperbolic_tangent)}  # those whose slope is a polynomial in their output
PAIRS = {logistic_cross_entropy.name: logistic, softmax_cross_entropy.name: softmax}  # costs and what comes before them

layer = sp.Symbol("l", integer=True, positive=True)
last = sp.Symbol("L", integer=True, positive=True)
samples = sp.Symbol("m", integer=True, positive=True)
rate = sp.Symbol("eta", real=True)
width = sp.Symbol("n", integer=True, positive=True)  # of vectors that belong to no network
units = sp.Function("units", integer=True, positive=True)  # of a layer


class sigma(sp.Function):
    """The abstract activation function."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return slope(*self.args)


class slope(sp.Function):
    """Its derivative."""


n, j = indices("n j")
z, a = tensors("z a")
with system("activation", inputs=[z[n, j]], outputs=[a[n, j]]) as activation:
    activation.a[n, j] = sigma(z[n, j])


@dataclass(frozen=True)
class Definition:
    """tensor[at] = body, and the system that says so."""

    system: str
    tensor: str
    at: tuple[sp.Symbol, ...]
    body: sp.Expr

    def of(self, place: tuple[sp.Expr, ...]) -> sp.Expr:
        """The body at a place, its summed indices fresh."""
        fresh = {k: sp.Dummy(k.name, integer=True) for s in self.body.atoms(sp.Sum) for k, *_ in s.limits}
        return self.body.xreplace(fresh).xreplace(dict(zip(self.at, place, strict=True)))


class Network:
    """Definitions by tensor name, for one cost (None: any) and one known activation (None: any).

    Paired, the last layer's activation is the one that goes with the cost.
    """

    def __init__(self, cost: str | None = None, paired: bool = False, known: str | None = None) -> None:
        self.cost, self.paired, self.known = cost, paired, known
        self.definitions: dict[str, Definition] = {}
        self.at_last: dict[str, Definition] = {}  # what holds at layer L only
        for s, input_layer in ((dense, layer - 1), (activation, layer)):
            self._add_layer(s, input_layer)
        self._add_gradients()
        self._add_rule()
        if cost:
            self._add_cost(COSTS[cost])
        if cost and paired:
            self._add_pair(COSTS[cost], PAIRS[cost])

    def definition(self, x: sp.Indexed) -> Definition | None:
        """What defines a component, if anything does: at layer L, the sensitivity that the cost sends back."""
        name = x.base.name
        if name in self.at_last and x.indices[0] == last:
            return self.at_last[name]
        return self.definitions.get(name)

    def open(self, x: sp.Indexed) -> sp.Expr:
        """The right side of what defines x."""
        found = self.definition(x)
        assert found is not None
        return found.of(x.indices)

    def with_slopes(self, e: sp.Expr) -> sp.Expr:
        """An expression with the activation's slope in terms of its output, if it is one of the known activations."""
        if self.known is None:
            return e
        output, of_output = slope_in_output(self.known)
        return e.replace(slope, lambda x: of_output.xreplace({output: sigma(x)}))

    def _add_layer(self, s: System, input_layer: sp.Expr) -> None:
        where = dict.fromkeys(s.declared(), layer) | {x.base.name: input_layer for x in s.inputs}
        sizes: dict[sp.Basic, sp.Expr] = {}
        for x in (*s.inputs, *s.outputs):  # the batch comes first, then the units
            sizes |= {size_of(i): units(where[x.base.name]) for i in x.indices[1:]}
            sizes[size_of(x.indices[0])] = samples
        outputs, parameters = {x.base.name for x in s.outputs}, {x.base.name for x in s.parameters}
        for equation in s.equations:
            self._add(s.name, equation, where, sizes)
        where |= {f"{kind}_{x}": at for x, at in where.items() for kind in ("delta", "nabla")}
        for equation in adjoint(s.equations, outputs, declared=s.declared(), parameters=parameters).values():
            self._add(s.name, equation, where, sizes)

    def _add(self, owner: str, equation: Equation, where: dict[str, sp.Expr], sizes: dict[sp.Basic, sp.Expr]) -> None:
        shift = {layer: layer + (layer - where[equation.name])}  # the target stands at layer l
        body = equation.expression().xreplace(sizes)
        body = body.xreplace({x: tensor(x.base.name)[(where[x.base.name], *x.indices)] for x in body.atoms(sp.Indexed)})
        self.definitions[equation.name] = Definition(
            owner, equation.name, (layer, *equation.target.indices), body.xreplace(shift)
        )

    def _add_gradients(self) -> None:
        """The gradient of one sample's cost, and of the mean: sensitivities weighed by what the objective says."""
        (weight,) = adjoint(objective.equations, {"E"}, declared=objective.declared()).values()
        (batch,) = weight.target.indices
        mean = weight.expression().xreplace({tensor("delta_E")[0]: sp.Integer(1), size_of(batch): samples})
        self.mean_weight = Definition(objective.name, weight.name, (batch,), mean)
        sample = sp.Symbol("x", integer=True)
        for p in dense.parameters:
            name = p.base.name
            gradient = self.definitions.pop(f"nabla_{name}")
            for kind, extra in (("C", (sample,)), ("E", ())):

                def weighed(d: sp.Indexed, kind: str = kind) -> sp.Expr:
                    (at,) = d.indices[1:2]
                    return d * (sp.KroneckerDelta(at, sample) if kind == "C" else self.mean_weight.of((at,)))

                sensitivities = [d for d in gradient.body.atoms(sp.Indexed) if d.base.name.startswith("delta_")]
                body = gradient.body.xreplace({d: weighed(d) for d in sensitivities})
                at = (layer, *extra, *gradient.at[1:])
                self.definitions[f"{kind}:{name}"] = Definition(dense.name, f"nabla_{name}", at, body)
        E = objective.equations[0]
        body = E.expression().xreplace({size_of(batch): samples})
        self.definitions["E"] = Definition(objective.name, "E", (sp.Symbol("e", integer=True),), body)

    def _add_rule(self) -> None:
        """A rule is elementwise: its index stands for all of a parameter's."""
        (step,) = gradient_descent.equations
        (old,), (gradient,) = gradient_descent.parameters, gradient_descent.gradient
        (learning_rate,) = gradient_descent.settings
        for p in dense.parameters:
            at = (layer, *p.indices)
            change = {old: tensor(p.base.name)[at], gradient: tensor(f"E:{p.base.name}")[at], learning_rate: rate}
            self.definitions[f"{p.base.name}_new"] = Definition(
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


def lifted(e: sp.Expr, cost: System) -> sp.Expr:
    """A cost's expression in the activations of layer L and the targets y."""
    (output,), (target,) = cost.inputs, cost.targets
    e = e.xreplace({size_of(output.indices[0]): samples, size_of(output.indices[1]): units(last)})
    change = {x: tensor("a")[(last, *x.indices)] for x in e.atoms(sp.Indexed) if x.base == output.base}
    change |= {x: tensor("y")[x.indices] for x in e.atoms(sp.Indexed) if x.base == target.base}
    return e.xreplace(change)


@cache
def network(cost: str | None = None, paired: bool = False, known: str | None = None) -> Network:
    return Network(cost, paired, known)


@cache
def slope_in_output(name: str) -> tuple[sp.Indexed, sp.Expr]:
    """An activation's output and, in terms of it, its derivative."""
    (output,), (sensitivity,) = ACTIVATIONS[name].outputs, derive(ACTIVATIONS[name]).closed
    return output, sensitivity.expression().xreplace(
        {tensor(f"delta_{output.base.name}")[output.indices]: sp.Integer(1)}
    )


def position(x: sp.Indexed) -> sp.Expr:
    """Where a quantity of a layer, or its sensitivity, stands on the way from layer to layer: z before a."""
    return 2 * x.indices[0] - int(x.base.name in ("z", "delta_z"))


def jacobian(of: sp.Indexed, by: sp.Indexed) -> sp.Expr | None:
    """The derivative of a component of z or a by what it depends on: its adjoint, with a sensitivity of one at `of`.

    `by` is the sensitivity or gradient (`delta_a`, `C:w`, ...) that would be asked for if `of` were the cost. None
    where `of` does not depend on it in this direction.
    """
    net, seed = network(), f"delta_{of.base.name}"

    def before(x: sp.Indexed) -> bool:
        gap = position(of) - position(x)
        return x.base.name.startswith("C:") or (x.base.name.startswith("delta_") and bool(gap.is_positive))

    if not (position(of) - position(by)).is_Integer:
        return None
    e = rewrite(by, net, before)
    change = {}
    for x in e.atoms(sp.Indexed):
        if x.base.name == seed and x.indices[0] == of.indices[0]:
            change[x] = sp.KroneckerDelta(x.indices[2], of.indices[2])
        elif x.base.name.startswith("delta_"):
            return None
    return e.xreplace(change)


def rewrite(
    e: sp.Expr, network: Network, chosen: Callable[[sp.Indexed], bool], opened: set[sp.Indexed] | None = None
) -> sp.Expr:
    """Replace every chosen component by what defines it, again and again; `opened` collects them."""
    change = {}
    for x in e.atoms(sp.Indexed):
        if chosen(x):
            if opened is not None:
                opened.add(x)
            change[x] = rewrite(network.open(x), network, chosen, opened)
    return e.xreplace(change)
