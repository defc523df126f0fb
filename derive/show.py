"""A derivation step by step, from the forward equations to what the kernels compute. `derive show` is this file."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy as sp

from derive.audit.excerpt.account import told_of
from derive.calculus.adjoint import bar_name, derivative
from derive.calculus.derivation import Derivation, compose, derive
from derive.calculus.equation import Equation, tensor, tensors_of
from derive.calculus.system import DefinitionError, System
from derive.calculus.text import LatexEquations, TextPrinter, equation_latex, equation_text

if TYPE_CHECKING:
    from derive.audit.excerpt.account import Line


@dataclass(frozen=True)
class Step:
    """One line of a derivation, under the heading of its stage; of words and formulas, `html` is how a page has it."""

    stage: str
    text: str
    latex: str
    html: str = ""


def derivation_named(name: str, systems: dict[str, System]) -> Derivation:
    """The derivation of a definition, or of a layer followed by a cost, written ``layer+cost``.

    Raises DefinitionError for a name that there is no definition of.
    """
    parts = name.split("+")
    for part in parts:
        if part not in systems:
            raise DefinitionError(f"there is no definition named {part!r}; there are {', '.join(sorted(systems))}")
    chain = [systems[part] for part in parts]
    try:
        whole = chain[0]
        for following in chain[1:]:
            whole = compose(whole, following)
    except ValueError as error:
        raise DefinitionError(str(error)) from error
    return derive(whole, systems["objective"] if chain[-1].kind == "cost" else None)


def steps(derivation: Derivation) -> list[Step]:
    """Definition, chain rule, Kronecker deltas eliminated, closed form, stable form; without stages that change nothing.

    Then what excerpts of our documents say of the system, the cost that they state by its sensitivities.
    """
    found = [_step("Forward equations", e) for e in derivation.defined]
    if derivation.system.kind == "rule":
        return found
    parameters = [p.base.name for p in derivation.system.parameters]
    for equation in reversed(derivation.defined):
        for term in equation.terms:
            found += [_chain_rule(equation, x, derivative(term.body, x), parameters) for x in tensors_of(term.body)]
    found += [
        _step("Summed over all (i, k) that read the same element: Kronecker deltas eliminated", e)
        for e in derivation.adjoints
    ]
    if [str(e) for e in derivation.closed] != [str(e) for e in derivation.adjoints]:
        found += [
            _step("Closed form: intermediate sensitivities put in, in terms of outputs, simplified", e)
            for e in derivation.closed
        ]
    stable = [
        e for e in (*derivation.forward, *derivation.backward) if e not in (*derivation.defined, *derivation.closed)
    ]
    found += [_step("Numerically stable form: what the kernels compute", e) for e in stable]
    return found + [_told(stage, line) for stage, line in told_of(derivation.system)]


def _step(stage: str, equation: Equation) -> Step:
    return Step(stage, equation_text(equation), equation_latex(equation))


def _chain_rule(equation: Equation, x: sp.Indexed, slope: sp.Expr, parameters: Sequence[str]) -> Step:
    """What one operand receives from one equation: the sensitivity of the target times the derivative of the body."""
    text, latex = TextPrinter().doprint, LatexEquations().doprint
    bar = tensor(bar_name(equation.name, parameters))[equation.target.indices]
    own = tensor(bar_name(x.base.name, parameters))[x.indices]
    added = slope * bar
    return Step(
        "Chain rule: what each operand receives from each place that reads it",
        f"{text(own)} += {text(added)}    (d {text(equation.target)} / d {text(x)} = {text(slope)})",
        rf"{latex(own)} \mathrel{{+}}= {latex(added)} \qquad "
        rf"\frac{{\partial {latex(equation.target)}}}{{\partial {latex(x)}}} = {latex(slope)}",
    )


def _told(stage: str, line: "Line") -> Step:
    """A line of words, code and formulas."""
    from latex2mathml.converter import convert

    text, latex, page = "", "", ""
    for piece in line:
        text += piece.text
        if piece.kind == "formula":
            latex += piece.latex
            page += convert(piece.latex)
        else:
            latex += rf"\{'texttt' if piece.kind == 'code' else 'text'}{{{_escaped(piece.text)}}}"
            said = html.escape(piece.text)
            page += f"<code>{said}</code>" if piece.kind == "code" else said
    return Step(stage, text, latex, page)


def _escaped(words: str) -> str:
    """Words as LaTeX sets them."""
    named = {"\\": "backslash", "^": "asciicircum", "~": "asciitilde", "<": "less", ">": "greater", "|": "bar"}
    spelled = {c: rf"\text{name}{{}}" for c, name in named.items()}
    return "".join(spelled.get(c, rf"\{c}" if c in "{}_%&#$" else c) for c in words)


def render(derivation: Derivation, form: str) -> str:
    """The derivation as ``text``, ``latex`` or ``html``."""
    stages: dict[str, list[Step]] = {}
    for step in steps(derivation):
        stages.setdefault(step.stage, []).append(step)
    title = derivation.system.name
    if form == "text":
        lines = [title, "=" * len(title), "", derivation.system.doc, ""]
        for stage, inside in stages.items():
            lines += [stage, *(f"    {s.text}" for s in inside), ""]
        return "\n".join(lines)
    if form == "latex":
        lines = [rf"\section*{{{title.replace('_', ' ')}}}"]
        for stage, inside in stages.items():
            body = " \\\\\n".join(f"  & {s.latex}" for s in inside)
            lines += [rf"\paragraph{{{_escaped(stage)}}}", r"\begin{align*}", body, r"\end{align*}"]
        return "\n".join(lines) + "\n"
    from latex2mathml.converter import convert

    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(derivation.system.doc)}</p>"]
    for stage, inside in stages.items():
        parts.append(f"<h2>{html.escape(stage)}</h2>")
        parts += [f"<p>{s.html or convert(s.latex, display='block')}</p>" for s in inside]
    style = "body{font-family:serif;max-width:60rem;margin:2rem auto;padding:0 1rem}p{overflow-x:auto}"
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )
