r"""Bind letters to an update rule: one step of gradient descent, of momentum, of weight decay, for any parameter.

A rule is elementwise, so a parameter is one number here. `w_new` and `v_new` are what a step makes of a weight w and a
velocity v with the gradient `nabla`. Documents differ in what they call velocity, which is a reading of the section:
`v_old` is the document's own before the step, and v is that in our terms.
"""

from fractions import Fraction
from functools import cache

import sympy as sp

from derive.audit.meaning.algebra import Algebra, constant
from derive.audit.meaning.network import Definition, Definitions, rewrite, samples
from derive.audit.meaning.scripts import base_name, is_new
from derive.audit.meaning.values import Unbindable, Value
from derive.audit.meaning.vocabulary import BATCH, COSTS, MEAN_COSTS, RATES, SECTION, Reading
from derive.audit.syntax import formula as f
from derive.calculus.adjoint import adjoint
from derive.calculus.equation import tensor
from derive.calculus.system import System
from derive.forward.gradient_descent import gradient_descent
from derive.forward.momentum import heavy_ball
from derive.forward.weight_decay import penalty

PARAMETERS = frozenset({"w", "W", "b", "theta"})
VELOCITIES = frozenset({"v", "u"})
MOMENTA = frozenset({"gamma", "mu", "beta", "rho"})
GRADIENTS = frozenset({"g"})
(DECAY,) = penalty.settings
RATE, MOMENTUM = heavy_ball.settings
w, v, v_new, v_old, nabla = (tensor(n)[0] for n in ("w", "v", "v_new", "v_old", "nabla"))
nabla_before = tensor("nabla_before")[0]
# By reading: our velocity before the step in terms of the document's, and the document's after it in terms of ours.
OURS = {
    "velocity falls": (-v_old, -v_new),
    "velocity rises": (v_old, v_new),
    "velocity of gradients": (-RATE * v_old, -v_new / RATE),
    "last step": (
        -v_old - RATE * nabla_before,
        -MOMENTUM * v,
    ),  # the whole of the step before, of which v_old is a part
}


@cache
def rule(name: str, decayed: str = "", velocity: str = "") -> Definitions:
    """What a step makes of w, and of v as documents have it; `decayed`: of the penalty "alone" or "too"."""
    system: System = {"gradient_descent": gradient_descent, "momentum": heavy_ball}[name]
    (i,) = system.parameters[0].indices
    found = []
    pull = decay_gradient().xreplace({sp.Symbol("i", integer=True): i})
    gradient = {"": nabla.base[i], "alone": pull, "too": nabla.base[i] + pull}[decayed]
    for e in system.equations:
        body = e.expression().xreplace({nabla.base[i]: gradient})
        owner = penalty.name if decayed == "alone" else name
        found.append(Definition(owner, e.name, e.target.indices, body))
    if velocity in OURS:
        found.append(Definition(name, "v", (i,), OURS[velocity][0]))
    return Definitions(penalty.name if decayed == "alone" else name, found)


def decay_gradient() -> sp.Expr:
    """The penalty's derivative by one weight."""
    (R,) = penalty.outputs
    (of_w,) = (e for n, e in adjoint(penalty.equations, {R.base.name}, declared=penalty.declared()).items() if n == "w")
    return of_w.expression().xreplace({tensor(f"delta_{R.base.name}")[R.indices]: sp.Integer(1)})


class Rules(Algebra):
    """The letters of an update rule."""

    def __init__(self, reading: Reading, relation: f.Relation) -> None:
        super().__init__(reading, relation)
        names = {
            base_name(n) if isinstance(n, f.Scripted) else n.text
            for n in self.everything
            if isinstance(n, f.Scripted | f.Name)
        }
        self.with_velocity = bool(names & VELOCITIES)
        self.with_decay = "lambda" in names
        self.with_gradient = any(isinstance(n, f.Gradient | f.Derivative) for n in self.everything) or bool(
            names & GRADIENTS
        )
        self.defined = (
            base_name(relation.left) if isinstance(relation.left, f.Scripted) else getattr(relation.left, "text", "")
        )
        if self.defined not in PARAMETERS | VELOCITIES:
            raise Unbindable("what is updated is neither a parameter nor a velocity", relation.left.at)
        self.component_scripts: tuple[f.Node, ...] | None = None
        if self.with_velocity:
            self.velocity = reading.choose("velocity", SECTION["velocity"][0])
        if self.with_decay:
            self.samples_in_penalty = any(isinstance(n, f.Name) and n.text in BATCH for n in self.everything)
            words = r"$\lambda/(2m)$" if self.samples_in_penalty else r"$\lambda/2$"
            reading.choose("penalty", (f"the penalty is {words} times the sum of the squares of the weights",))

    def rule(self) -> Definitions:
        decayed = "" if not self.with_decay else "too" if self.with_gradient or self.with_velocity else "alone"
        if not self.with_velocity:
            return rule("gradient_descent", decayed)
        return rule("momentum", decayed, self.velocity)

    def canonical_decay(self) -> sp.Expr:
        """What the document's lambda is in terms of the penalty's own factor."""
        return DECAY * samples if self.samples_in_penalty else DECAY

    def symbol(self, node: f.Scripted) -> Value:
        assert isinstance(node.base, f.Name | f.Word)
        text = node.base.text
        if text in PARAMETERS:
            if text != self.defined and self.defined in PARAMETERS:
                raise Unbindable(f"`{text}` is not what is updated", node.at)
            self.same_component(node)
            return Value(tensor("w_new" if self.is_new(node) else "w")[0])
        if text in VELOCITIES:
            return Value(self.velocity_at(self.is_new(node) if self.defined in VELOCITIES else not self.is_old(node)))
        if text in GRADIENTS:
            return Value(nabla)
        if node.primes or node.sub or len(node.sup) > 1:
            raise Unbindable(f"scripts on `{text.removeprefix('word ')}` that are not understood", node.at)
        value = self.setting(text, node)
        exponent = constant(node.sup[0]) if node.sup else Fraction(1)
        if exponent is None:
            raise Unbindable("a superscript that is no power", node.at)
        return value if exponent == 1 else self.power(value, exponent, node.at)

    def setting(self, text: str, node: f.Node) -> Value:
        if text in RATES:
            return Value(RATE)
        if text in MOMENTA:
            return Value(MOMENTUM)
        if text == "lambda":
            return Value(self.canonical_decay())
        if text in BATCH:
            return Value(samples)
        raise Unbindable(f"the symbol `{text.removeprefix('word ')}` is not known here", node.at)

    def velocity_at(self, new: bool) -> sp.Expr:
        """The document's velocity: after the step in terms of ours, which is added to the weights."""
        if self.velocity == "raw":
            return sp.Symbol("v new" if new else "v old", real=True)
        return OURS[self.velocity][1] if new else v_old

    def is_new(self, node: f.Scripted) -> bool:
        """The left side is new, and on the right what is of its step; without steps, only the left side is."""
        if node.at == self.relation.left.at or is_new(node):
            return True
        left = step_of(self.relation.left) if isinstance(self.relation.left, f.Scripted) else None
        return left is not None and step_of(node) == left

    def is_old(self, node: f.Scripted) -> bool:
        """Of a velocity in an update of w: v_{t-1}. Beside w_{t+1} documents write v_t and v_{t+1} for the same one."""
        step = step_of(node)
        return step is not None and step < 0

    def same_component(self, node: f.Node) -> None:
        """A rule is of one component or of all: whatever scripts say so, all of the formula is of the same."""
        scripts = component_of(node)
        if self.component_scripts is None:
            self.component_scripts = scripts
        if self.component_scripts != scripts:
            raise Unbindable("not all of the update is of the same component", node.at)

    def _gradient(self, node: f.Gradient) -> Value:
        self.of_cost(node.of)
        if node.by is not None and not self.is_parameter(node.by):
            raise Unbindable("a gradient by what is not updated", node.by.at)
        self.same_component(node.by or node)
        return Value(nabla)

    def _derivative(self, node: f.Derivative) -> Value:
        self.of_cost(node.of)
        if not self.is_parameter(node.by):
            raise Unbindable("a derivative by what is not updated", node.by.at)
        self.same_component(node.by)
        return Value(nabla)

    def is_parameter(self, node: f.Node) -> bool:
        base = node.base if isinstance(node, f.Scripted) else node
        return isinstance(base, f.Name) and base.text in PARAMETERS and self.defined in (base.text, *VELOCITIES)

    def of_cost(self, node: f.Node) -> None:
        base = node.base if isinstance(node, f.Scripted) else node
        if not isinstance(base, f.Name | f.Word) or base.text not in COSTS | MEAN_COSTS:
            raise Unbindable("only a cost is differentiated here", node.at)


def component_of(node: f.Node) -> tuple[f.Node, ...]:
    """The scripts that say which component of a parameter is meant, without steps and labels."""
    if not isinstance(node, f.Scripted):
        return ()
    kept = [
        i for i in (*node.sub, *node.sup) if not isinstance(i, f.Word) and step_of(f.Scripted(node.base, (i,))) is None
    ]
    return tuple(kept)


def step_of(node: f.Node) -> int | None:
    """How far from step t a symbol is: `v_t` is at 0, `v_{t-1}` and `v^{(t-1)}` at -1."""
    if not isinstance(node, f.Scripted):
        return None
    for item in (*node.sub, *node.sup):
        inner = item.body if isinstance(item, f.Group) else item
        if inner == f.Name("t"):
            return 0
        if isinstance(inner, f.Addition) and inner.terms[0] == (1, f.Name("t")) and len(inner.terms) == 2:
            sign, shift = inner.terms[1]
            if isinstance(shift, f.Number) and shift.value == 1:
                return sign
    return None


def written(binder: Rules) -> dict[sp.Basic, str]:
    """How the document writes what a rule is made of."""
    names = {n.text for n in binder.everything if isinstance(n, f.Name)}

    def letter(among: frozenset[str], default: str) -> str:
        found = sorted(names & among)
        return "\\" + (found[0] if found else default)

    weight = binder.defined if binder.defined in PARAMETERS else "w"
    weight = rf"\{weight}" if weight == "theta" else weight
    return {
        RATE: letter(RATES, "alpha"),
        MOMENTUM: letter(MOMENTA, "gamma"),
        DECAY: r"\frac{\lambda}{m}" if binder.with_decay and binder.samples_in_penalty else r"\lambda",
        w: weight,
        tensor("w_new")[0]: f"{weight}'",
        nabla: r"\nabla C",
        v: "v",
        v_new: "v'",
        v_old: "v_{t-1}",
        nabla_before: r"\nabla C_{t-1}",
    }


def corrected(relation: f.Relation, reading: Reading) -> str:
    """What the rule makes of the left side, with the document's own velocity."""
    binder = Rules(reading, relation)
    net, shown = binder.rule(), written(binder)
    velocity_is_new = binder.defined in VELOCITIES
    earlier: sp.Expr = v_old
    if velocity_is_new:
        left, value = "v_t", rewrite(binder.velocity_at(True), net, lambda x: net.definition(x) is not None)
    else:
        left, value = shown[w], net.open(tensor("w_new")[0])
        if binder.with_velocity:  # with the document's velocity after the step
            earlier = sp.Symbol("v_t", real=True)
            now = binder.velocity_at(True)
            (ours,) = now.atoms(sp.Indexed)
            value = rewrite(value, net, lambda x: x == v_new and ours != v_new)
            value = sp.expand(value.xreplace({ours: sp.solve(now - earlier, ours)[0]}))
    terms = sp.Add.make_args(
        sp.factor_terms(value) if velocity_is_new and binder.velocity == "last step" else sp.expand(value)
    )

    def place(e: sp.Expr) -> tuple[bool, bool, bool, str]:
        return e.could_extract_minus_sign(), not e.has(w), not e.has(earlier), str(e)

    plain = {x: sp.Symbol(str(x), real=True) for x in shown}
    names = {plain[x]: text for x, text in shown.items()}
    terms = [t.xreplace(plain) for t in sorted(terms, key=place)]

    def product(t: sp.Expr) -> str:
        sign, t = ("-", -t) if t.could_extract_minus_sign() else ("", t)
        late = {plain[x] for x in (w, v_old, nabla)} | {earlier}
        factors = sorted(sp.Mul.make_args(t), key=lambda e: (not e.is_number, e in late or e.is_Add, str(e)))
        texts = [sp.latex(factor, symbol_names=names, order="none") for factor in factors]
        return sign + " ".join(rf"\left({x}\right)" if e.is_Add else x for x, e in zip(texts, factors, strict=True))

    return f"{left} = " + " + ".join(map(product, terms)).replace("+ -", "- ")


def run_of(relation: f.Relation, reading: Reading, count: int = 3) -> str | None:
    """What a recurrence of a velocity makes of v_0 = 0 with gradients of 1, beside what momentum does."""
    binder = Rules(Reading((("velocity", "raw"), *reading.chosen)), relation)
    if binder.defined not in VELOCITIES:
        return None
    body = binder.value(relation.right).body
    numbers = {RATE: sp.Rational(1, 2), MOMENTUM: sp.Rational(1, 2), nabla: sp.Integer(1)}
    convention = dict(reading.chosen)["velocity"]
    (step,) = (e for e in heavy_ball.equations if e.name == "v_new")
    (i,) = step.target.indices
    old, ours = sp.Integer(0), sp.Integer(0)
    said, meant = [], []
    for _ in range(count):
        old = body.xreplace({sp.Symbol("v old", real=True): old} | numbers)
        before, ours = ours, step.expression().xreplace({v.base[i]: ours, nabla.base[i]: sp.Integer(1)} | numbers)
        said.append(str(old))
        meant.append(str(OURS[convention][1].xreplace({v: before, v_new: ours} | numbers)))
    if old.free_symbols:
        return None
    return (
        f"from $v_0 = 0$, with a gradient of 1 at every step, rate 1/2 and momentum 1/2, the formula gives the velocities "
        f"{', '.join(said)}; momentum gives {', '.join(meant)}"
    )
