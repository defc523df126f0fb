"""What the calculus derives: the sensitivities of YOLOv3's raw inputs, and the targets that decode to the truth."""

from dataclasses import dataclass
from functools import cache

import sympy as sp

from derive.audit.excerpt.comparison import canonical
from derive.audit.excerpt.vocabulary import BOX, DECODING, NAMES, TRUTH
from derive.calculus.adjoint import adjoint
from derive.calculus.derivation import compose
from derive.calculus.equation import Equation, Term
from derive.calculus.simplify import in_output, needed
from derive.calculus.text import equation_latex
from derive.forward.logistic import logistic
from derive.forward.quadratic import quadratic
from derive.forward.yolo import yolo
from derive.forward.yolo_cost import yolo_cost

Steps = tuple[tuple[str, str], ...]  # of a derivation, as (heading, LaTeX)
output, target, weight = sp.symbols("output target weight", real=True)


@dataclass(frozen=True)
class Sensitivity:
    """The derivative of the cost by a raw input, in its output, target and weight, and the steps to it."""

    e: sp.Expr
    steps: Steps

    def at(self, of_output: sp.Expr, of_target: sp.Expr, of_weight: sp.Expr) -> sp.Expr:
        return self.e.xreplace({output: of_output, target: of_target, weight: of_weight})


@cache
def adjoints(squared: bool) -> tuple[list[Equation], list[Equation]]:
    """The equations of `yolo` with its cost, or of the logistic function with half the squared error; their adjoints."""
    whole = compose(logistic, quadratic) if squared else compose(yolo, yolo_cost)

    def in_outputs(e: Equation, slope: sp.Expr) -> sp.Expr:
        return in_output(e.terms[0].body, slope, e.target) if len(e.terms) == 1 and not e.terms[0].over else slope

    bars = adjoint(whole.equations, {"C"}, declared=whole.declared(), slope_form=in_outputs)
    return [e for e in whole.equations if e.name in bars], list(bars.values())


@cache
def sensitivity(entry: str, squared: bool = False) -> Sensitivity:
    """The sensitivity of an entry; `squared` puts half the squared error of its output in the place of its cost.

    There the weight is what the cost's own sensitivity is taken for.
    """
    forward, bars = adjoints(squared)
    raw, meaning = "z", {"a": output, "y": target, "delta_C": weight}
    if not squared:
        weighed = "scale" if entry in BOX else f"weight_{entry}"
        raw, meaning = f"t_{entry}", {entry: output, f"{entry}_true": target, weighed: weight, "delta_C": sp.S.One}
    chain = needed(bars, {f"delta_{raw}"})
    closed = chain[-1].target
    for e in reversed(chain):
        closed = closed.xreplace({e.target: e.expression()})
    closed = sp.factor(sp.cancel(closed))
    last = Equation(chain[-1].target, (Term(closed),))
    steps = (
        *(("Forward equations", equation_latex(e)) for e in forward if {e.name, *e.reads()} & {"a", entry}),
        *(("Chain rule, from the cost back to the raw input", equation_latex(e)) for e in chain),
        ("Intermediate sensitivities put in, simplified", equation_latex(last)),
    )
    return Sensitivity(closed.xreplace({x: meaning[x.base.name] for x in closed.atoms(sp.Indexed)}), steps)


@cache
def decoded(entry: str) -> tuple[sp.Expr, Equation]:
    """What an output of a box is decoded to, in `output` and the names of C; and the equation of `yolo` that says so."""
    own, equation = (next(e for e in yolo.equations if e.name == name) for name in (entry, f"b_{entry}"))
    right = equation.expression()
    change: dict[sp.Basic, sp.Expr] = {s: DECODING[s.name] for s in yolo.settings}
    for x in right.atoms(sp.Indexed):
        if x.base.name in own.reads():  # the raw input itself: in terms of the output
            (change[x],) = sp.solve(own.expression() - output, x)
        else:
            change[x] = output if x.base.name == entry else DECODING[x.base.name]
    return right.xreplace(change), equation


@cache
def encoded(entry: str) -> sp.Expr:
    """The output that is decoded to the truth: the decoding solved for it."""
    (solution,) = sp.solve(decoded(entry)[0] - NAMES[TRUTH[entry]], output)
    return canonical(solution)
