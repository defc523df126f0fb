"""A derivation step by step, from the forward equations to what the kernels compute. `derive show` is this file."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import sympy as sp

from derive.audit.excerpt.account import told_of
from derive.calculus.adjoint import bar_name, derivative
from derive.calculus.derivation import Derivation, compose, derive
from derive.calculus.equation import Equation, tensor, tensors_of
from derive.calculus.system import DefinitionError, System
from derive.calculus.text import LatexEquations, TextPrinter
from derive.pages import Page, Step, equation_step, escaped
from derive.show_filtering import filtering_pages

if TYPE_CHECKING:
    from derive.audit.excerpt.account import Line


def pages_named(name: str, systems: dict[str, System]) -> list[Page]:
    """What is shown of a definition, of a layer followed by a cost, of minimal filtering (`winograd`), of one F(m, r).

    Raises DefinitionError for a name that there is nothing of.
    """
    if (found := filtering_pages(name)) is not None:
        return found
    derivation = derivation_named(name, systems)
    return [Page(derivation.system.name, derivation.system.doc, tuple(steps(derivation)))]


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
    found = [equation_step("Forward equations", e) for e in derivation.defined]
    if derivation.system.kind == "rule":
        return found
    parameters = [p.base.name for p in derivation.system.parameters]
    for equation in reversed(derivation.defined):
        for term in equation.terms:
            found += [_chain_rule(equation, x, derivative(term.body, x), parameters) for x in tensors_of(term.body)]
    found += [
        equation_step("Summed over all (i, k) that read the same element: Kronecker deltas eliminated", e)
        for e in derivation.adjoints
    ]
    if [str(e) for e in derivation.closed] != [str(e) for e in derivation.adjoints]:
        found += [
            equation_step("Closed form: intermediate sensitivities put in, in terms of outputs, simplified", e)
            for e in derivation.closed
        ]
    stable = [
        e for e in (*derivation.forward, *derivation.backward) if e not in (*derivation.defined, *derivation.closed)
    ]
    found += [equation_step("Numerically stable form: what the kernels compute", e) for e in stable]
    return found + [_told(stage, line) for stage, line in told_of(derivation.system)]


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
            latex += rf"\{'texttt' if piece.kind == 'code' else 'text'}{{{escaped(piece.text)}}}"
            said = html.escape(piece.text)
            page += f"<code>{said}</code>" if piece.kind == "code" else said
    return Step(stage, text, latex, page)
