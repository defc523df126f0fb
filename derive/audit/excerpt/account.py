"""A recovered cost as people read it: each sensitivity, its integral step by step, the sum, and what is proved of it."""

from collections.abc import Iterator
from typing import NamedTuple

import sympy as sp

from derive.audit.audit import our_documents
from derive.audit.excerpt import vocabulary as v
from derive.audit.excerpt.recovery import KINDS, Part, RecoveredCost, Term, data, defined_term, excerpts, recovered_cost
from derive.calculus.equation import Equation
from derive.calculus.system import System
from derive.calculus.text import LatexEquations, TextPrinter, equation_latex, equation_text
from derive.forward.yolo import yolo
from derive.forward.yolo_cost import yolo_cost

TITLE = "Recovered cost"
text, latex = TextPrinter().doprint, LatexEquations().doprint


class Piece(NamedTuple):
    """Of a line: words, code as it stands in an excerpt, or a formula."""

    kind: str  # "words", "code", "formula"
    text: str
    latex: str = ""


Line = tuple[Piece, ...]


def told_of(system: System) -> Iterator[tuple[str, Line]]:
    """What the excerpts of our documents say of a system: the cost that they state by its sensitivities, line by line.

    Each line comes with the heading that it stands under. Nothing, where no excerpt speaks of the system's equations.
    """
    if not any(all(e in system.equations for e in own.equations) for own in (yolo, yolo_cost)):
        return
    for path in our_documents():
        if found := excerpts(path):
            yield from account(recovered_cost(found, path.name))


def account(cost: RecoveredCost) -> Iterator[tuple[str, Line]]:
    """The lines of a recovered cost, each with the heading that it stands under."""
    for term in cost.terms:
        names = ", ".join(dict.fromkeys(part.excerpt for part in term.parts))
        stage = f"{TITLE}, the term of {term.entry}" + (f": {names} in {cost.document}" if names else "")
        if term.reason:
            yield stage, (words(f"no cost: {term.reason}"),)
        for k, part in enumerate(term.parts):
            yield from ((stage, line) for line in integration(term, part, first=k == 0))
    yield from ((f"{TITLE}, the sum", line) for line in the_sum(cost))
    yield from ((f"{TITLE}, what is proved of it", line) for line in proof(cost))


def integration(term: Term, part: Part, *, first: bool) -> Iterator[Line]:
    """From a statement to the cost that it is the sensitivity of."""
    r, by, total = part.general, part.general.of, yolo_cost.outputs[0]
    cases: list[Line] = [(code(c),) for c in part.where]
    cases += [(words("an earlier truth was assigned"),)] * part.later
    head = f"line {part.line}" if part.line else "nothing is assigned to it"
    said = [words(": "), code(part.source)] if part.line else []
    yield words(head), *listed(", where ", *cases), *said
    values = [
        (math(s), words(" = "), words("what earlier truths left") if e.has(v.EARLIER) else code(c))
        for s, c, e in zip(
            data(term.entry), (part.target, part.weight), (part.found.target, part.found.weight), strict=True
        )
        if e is not None and by.delta.has(s)
    ]
    yield relation("-", slope(total, by.raw), by.delta), *listed(", where ", *values)
    if r.integrand == 0:
        yield (words("it adds nothing to the cost"),)
        return
    if first:
        yield (relation("", slope(by.output, by.raw), r.slope),)
    yield (relation("", slope(total, by.output), r.integrand),)
    yield words("its integral over "), math(by.output), words(": "), math(r.cost)
    kind = words(r.name or f"neither {' nor '.join(KINDS)}")
    target = () if r.target is None else (words(" of target "), math(r.target))
    least: Line = ()
    if r.at is not None and not r.at.is_number and r.name == r.kind:
        least = (
            words("; its least value is " if r.kind else "; it is "),
            math(r.least),
            words(" where "),
            equal(by.output, r.at),
        )
    yield kind, *target, *least


def the_sum(cost: RecoveredCost) -> Iterator[Line]:
    """The terms of a sample's cost, their sum, and what stands in it that no sensitivity says."""
    for term in cost.terms:
        if term.equation:
            yield (equation(term.equation),)
        else:
            yield (words(f"{term.entry}: {'no cost' if term.reason else 'no cost of one kind'}"),)
    if cost.total:
        yield (equation(cost.total),)
    kinds = {kind: [term.entry for term in cost.terms if term.kind == kind] for kind in KINDS}
    yield (words("; ".join(f"{kind}: {', '.join(entries)}" for kind, entries in kinds.items() if entries)),)
    for name, called in v.CALLED_WITH.items():
        if any(part.weight == name for part in cost.parts):
            yield code(name), words(" is the caller's: in yolo_layer.c "), code(called), words(", from the truth alone")
    least = dict.fromkeys(p.general.least for p in cost.parts if p.general.least and not p.later)
    if least:
        yield (
            words("a constant may be added; as it stands, a squared error is 0 at its least, and a cross-entropy the entropy of its target"),
            *listed(": that is 0 for a target of 0 or 1, and for others ", *((math(e),) for e in least)),
        )  # fmt: skip


def proof(cost: RecoveredCost) -> Iterator[Line]:
    """What is proved, and what is not so."""
    for problem in cost.unread:
        yield (words(f"not read: {problem}"),)
    whole = not any(term.reason for term in cost.terms)
    yield verdict(
        whole, words("no sensitivity depends on another output: all mixed derivatives are 0, so they are a gradient")
    )
    yield verdict(whole, words("each integral, differentiated back by the raw input, is its sensitivity"))
    total = math(yolo_cost.outputs[0])
    yield verdict(cost.is_defined, total, words(f" is that of {yolo_cost.name}, term by term, for all sizes"))
    other = [(equation(defined_term(term.entry)),) for term in cost.terms if not term.is_defined]
    if other:
        yield words("    there, "), *listed("", *other)
    if not cost.weights_agree:
        yield (words("    there, the outputs of a box have one weight, and so have all classes"),)
    of_boxes = [(term.entry, part) for term in cost.terms for part in term.parts if term.entry in v.BOX]
    boxes = [(entry, part) for entry, part in of_boxes if part.found.target is not None]
    for holds in (True, False):
        decoded = [
            (code(p.target), words(" is decoded to "), code(v.TRUTH[entry])) for entry, p in boxes if p.decodes == holds
        ]
        if decoded:
            yield verdict(holds, *listed("", *decoded))
    for holds in (True, False):
        lines: dict[str, list[int]] = {}
        for p in cost.parts:
            if p.intended == holds:
                lines.setdefault(p.excerpt, []).append(p.line)
        named = ", ".join(f"{name} ({numbers(at)})" for name, at in lines.items())
        said = f"minus the derivative of {yolo_cost.name} by the raw inputs of {yolo.name} is what the excerpts leave: "
        if lines:
            yield verdict(holds, words(said + named))


def numbers(lines: list[int]) -> str:
    """`line 3`, `lines 3, 5`; nothing assigned is 0."""
    found = sorted(set(lines) - {0})
    return f"line{'s' * (len(found) > 1)} {', '.join(map(str, found))}" if found else "nothing is assigned"


def verdict(holds: bool, *pieces: Piece) -> Line:
    return words("proved: " if holds else "not proved: "), *pieces


def words(said: str) -> Piece:
    return Piece("words", said)


def code(said: str) -> Piece:
    return Piece("code", said)


def math(e: sp.Expr) -> Piece:
    return Piece("formula", text(e), latex(e))


def equation(e: Equation) -> Piece:
    return Piece("formula", equation_text(e), equation_latex(e))


def equal(left: sp.Expr, right: sp.Expr) -> Piece:
    return Piece("formula", f"{text(left)} = {text(right)}", f"{latex(left)} = {latex(right)}")


def slope(of: sp.Expr, by: sp.Expr) -> tuple[str, str]:
    return f"d {text(of)} / d {text(by)}", rf"\frac{{\partial {latex(of)}}}{{\partial {latex(by)}}}"


def relation(sign: str, left: tuple[str, str], right: sp.Expr) -> Piece:
    return Piece("formula", f"{sign}{left[0]} = {text(right)}", f"{sign}{left[1]} = {latex(right)}")


def listed(before: str, *each: Line) -> Line:
    """Words before a list, and the list; nothing of nothing."""
    parts = [p for k, line in enumerate(each) for p in (words(before if k == 0 else ", "), *line)]
    return tuple(p for p in parts if p.text)
