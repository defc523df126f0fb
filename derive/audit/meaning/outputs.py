r"""Bind letters to one logistic output and its cost: z, y = \sigma(z), the target t, the cross-entropy \xi(t, y)."""

from collections.abc import Iterable
from functools import cache

import sympy as sp

from derive.audit.meaning.algebra import Algebra, constant
from derive.audit.meaning.network import Definition, Definitions, jacobian
from derive.audit.meaning.scripts import base_name
from derive.audit.meaning.values import Unbindable, Value
from derive.audit.meaning.vocabulary import ACTIVATIONS, COSTS, MEAN_COSTS, Reading
from derive.audit.syntax import formula as f
from derive.calculus.adjoint import adjoint
from derive.calculus.derivation import compose
from derive.calculus.equation import Equation, size_of, tensor
from derive.calculus.simplify import in_output
from derive.calculus.system import System
from derive.forward.logistic import logistic
from derive.forward.logistic_cross_entropy import logistic_cross_entropy

LETTERS = {"z": "z", "y": "a", "a": "a", "t": "t", "output": "a", "target": "t"}
SLOPES = frozenset({"loss_derivative", r"loss\_derivative", "loss derivative"})
PLACE = (sp.Integer(0), sp.Integer(0))  # one sample, one output
NOTATION: dict[sp.Basic, str] = {
    tensor("z")[PLACE]: "z",
    tensor("a")[PLACE]: "y",
    tensor("t")[PLACE]: "t",
    tensor("C")[PLACE[:1]]: r"\xi",
    tensor("delta_a")[PLACE]: r"\frac{\partial \xi}{\partial y}",
    tensor("delta_z")[PLACE]: r"\frac{\partial \xi}{\partial z}",
}
TIMES = {"exp": sp.exp, "log": sp.log, "ln": sp.log}


@cache
def one_output(target: int | None = None) -> Definitions:
    """The logistic function and its cross-entropy, of one sample and one output, with their adjoints.

    In the case of a `target`, t is that.
    """
    both = compose(logistic, logistic_cross_entropy)
    (C,) = logistic_cross_entropy.outputs
    n, j = logistic.outputs[0].indices
    one = {size_of(n): sp.Integer(1), size_of(j): sp.Integer(1)}
    seed = {tensor(f"delta_{C.base.name}")[C.indices]: sp.Integer(1)}
    net = Definitions(logistic_cross_entropy.name)
    for e in (*both.equations, *slopes(both, C.base.name)):
        owner = logistic.name if e.name in ("a", "delta_z") else logistic_cross_entropy.name
        body = e.expression().xreplace(one | seed).doit()
        net.definitions[e.name] = Definition(owner, e.name, e.target.indices, body)
    for e in both.equations:
        for name, part in adjoint([e], {e.name}, declared=both.declared()).items():
            net.partials[e.name, name] = Definition(e.name, name, part.target.indices, part.expression().xreplace(one))
    if target is not None:
        net.definitions["t"] = Definition(logistic_cross_entropy.name, "t", (n, j), sp.Integer(target))
    net.order = ["z", "a", "C"]
    net.logarithms = frozenset({"z"})
    return net


def slopes(system: System, cost: str) -> Iterable[Equation]:
    """The adjoints, with the logistic function's derivative in terms of its output."""

    def form(e: Equation, slope: sp.Expr) -> sp.Expr:
        return in_output(e.terms[0].body, slope, e.target) if e.name == "a" else slope

    return adjoint(system.equations, {cost}, declared=system.declared(), slope_form=form).values()


class Outputs(Algebra):
    """The letters of one logistic output."""

    def __init__(self, reading: Reading, relation: f.Relation) -> None:
        super().__init__(reading, relation)
        self.network = one_output()

    def symbol(self, node: f.Scripted) -> Value:
        assert isinstance(node.base, f.Name | f.Word)
        text = node.base.text
        if text == "e" and len(node.sup) == 1 and not node.sub and not node.primes:
            exponent = self.value(node.sup[0])
            return Value(sp.exp(exponent.body))
        if node.sub or node.primes or len(node.sup) > 1:
            raise Unbindable(f"scripts on `{text.removeprefix('word ')}` that are not understood", node.at)
        value = self.plain_symbol(text, node)
        if node.sup:
            exponent_ = constant(node.sup[0])
            if exponent_ is None:
                raise Unbindable("a superscript that is no power", node.sup[0].at)
            return self.power(value, exponent_, node.sup[0].at)
        return value

    def plain_symbol(self, text: str, node: f.Scripted) -> Value:
        if text in LETTERS:
            return Value(tensor(LETTERS[text])[PLACE])
        if text in SLOPES:
            return Value(tensor("delta_z")[PLACE])
        if text == "word delta":
            self.reading.choose("delta", ("minus the slope",))
            return Value(-tensor("delta_z")[PLACE])
        if text in self.costs():
            return Value(tensor("C")[PLACE[:1]])
        raise Unbindable(f"the symbol `{text.removeprefix('word ')}` is not known here", node.at)

    def costs(self) -> frozenset[str]:
        return COSTS | MEAN_COSTS | {"xi"}

    def applied(self, function: f.Scripted, argument: f.Node, node: f.Node) -> Value:
        text, inside = base_name(function), self.value(argument).body
        if text in TIMES and not function.primes:
            return Value(TIMES[text](inside))
        if text in ACTIVATIONS and function.primes <= 1:
            (equation,) = logistic.equations
            (term,) = equation.terms
            (z,) = logistic.inputs
            x = sp.Dummy(real=True)
            body = term.body.xreplace({z: x})
            return Value((sp.diff(body, x) if function.primes else body).xreplace({x: inside}))
        raise Unbindable("the function is not known here", node.at)

    def _call(self, node: f.Call) -> Value:
        r"""`\xi(t, y)`: the cost, with what it is of."""
        name = node.function.base if isinstance(node.function, f.Scripted) else node.function
        if not isinstance(name, f.Name | f.Word) or name.text not in self.costs():
            raise Unbindable("a function of several arguments that is not known here", node.at)
        bodies = [self.value(a).body for a in node.arguments]
        if bodies != [tensor("t")[PLACE], tensor("a")[PLACE]]:
            raise Unbindable("a cost of something else than the target and the output, in this order", node.at)
        return self.symbol(f.Scripted(name, at=node.at))

    def _probability(self, node: f.Probability) -> Value:
        r"""`P(t = 1 \mid z)`: what the output is meant to be."""
        event, given = node.event, node.given
        value = constant(event.right)
        if event.left != f.Name("t") or value not in (0, 1) or event.sign != "equation":
            raise Unbindable("the probability of something else than a class, t = 1 or t = 0", node.at)
        if given is not None and given != f.Name("z"):
            raise Unbindable("a probability given something else than z", node.at)
        self.reading.choose("probability", ("the output is the probability of class 1: t is 1 or 0",))
        one = tensor("a")[PLACE]
        return Value(one if value == 1 else 1 - one)

    def _derivative(self, node: f.Derivative) -> Value:
        of, by = (LETTERS.get(text(n), text(n)) for n in (node.of, node.by))
        if of in self.costs() and by in ("z", "a"):
            return Value(tensor(f"delta_{by}")[PLACE])
        if (of, by) != ("a", "z"):
            raise Unbindable("a derivative by what it does not depend on, as it is written", node.at)
        found = jacobian(tensor("a")[PLACE], tensor("z")[PLACE], self.network)  # type: ignore[arg-type]
        assert found is not None
        return Value(found)


def text(node: f.Node) -> str:
    return node.text if isinstance(node, f.Name | f.Word) else ""
