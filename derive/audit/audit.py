"""A verdict for every formula of a document."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import sympy as sp

from derive.audit.document import DocumentError, Formula, formulas_in, read_document
from derive.audit.evaluation import Counterexample
from derive.audit.formula import Ellipsis, Range, Relation
from derive.audit.judge import A_COUNTEREXAMPLE, ALL_SIZES, Context, Outcome, chain, judge
from derive.audit.network import last, layer
from derive.audit.reader import Unreadable, read
from derive.audit.scripts import layer_expression
from derive.audit.values import Unbindable
from derive.audit.verdict import WORST_FIRST, Verdict

__all__ = ["DocumentError", "Verdict", "audit", "audit_text", "citations", "our_documents", "verdicts_by_tag"]

LOWEST = {"a": 1, "delta_a": 1}  # the first layer that has such a quantity; all others begin at layer 2


def audit(path: str | Path) -> list[Verdict]:
    """A verdict for every formula of the document, in order; of a formula of several relations, one for each as well.

    Raises DocumentError for a document that cannot be read, is empty, has no formula, or leaves a `$$` open.
    """
    return [verdict for verdict, _ in judged(read_document(path))]


def audit_text(text: str, name: str = "document") -> list[Verdict]:
    """The same for a text at hand."""
    return [verdict for verdict, _ in judged(formulas_in(text, name))]


def judged(formulas: Iterable[Formula]) -> list[tuple[Verdict, Outcome]]:
    """Verdicts with the outcomes behind them. What a document defines, it means from there on: its cost."""
    context = Context()
    found: list[tuple[Formula, Relation | Range | None, Outcome]] = []
    for formula in formulas:
        try:
            statements = read(formula.source)
        except Unreadable as error:
            found.append((formula, None, Outcome("unread", reason=error.reason, at=error.at)))
            continue
        given = context
        for statement in statements:
            if isinstance(statement, Range):
                found.append((formula, statement, Outcome("unread")))
                continue
            for relation in statement.relations:
                outcome = judge(relation, replace(given, premise=statement.follows and given is not context))
                found.append((formula, relation, outcome))
                if outcome.cost and outcome.verdict == "proved":
                    given = Context(outcome.cost, f" of line {formula.line}")
        context = given
    found = [
        (formula, part, range_outcome(part, formula, found) if isinstance(part, Range) else outcome)
        for formula, part, outcome in found
    ]
    verdicts: list[tuple[Verdict, Outcome]] = []
    for formula in dict.fromkeys(formula for formula, *_ in found):
        parts = [(part, outcome) for owner, part, outcome in found if owner is formula]
        verdicts += with_whole(formula, parts)
    return verdicts


def with_whole(formula: Formula, parts: list[tuple[Relation | Range | None, Outcome]]) -> list[tuple[Verdict, Outcome]]:
    """The formula's verdict, the worst of its parts'; where there are several, theirs follow as `ID/1`, `ID/2`, ..."""
    part, worst = min(parts, key=lambda each: WORST_FIRST.index(each[1].verdict))
    whole = verdict(formula, formula.id, formula.latex, worst)
    if len(parts) == 1:
        return [(whole, worst)]
    if whole.verdict == "conditional":
        readings = dict.fromkeys(o.reading for _, o in parts if o.reading)
        whole = replace(whole, reading="; ".join(readings) or None)
    several = len({tag for _, tag in formula.tags}) > 1
    found = [(whole, replace(worst, about=frozenset()))]
    for n, (part, outcome) in enumerate(parts, 1):
        name = f"{formula.id}/{n}"
        if several and isinstance(part, Relation):
            name = next((tag for at, tag in formula.tags if at >= part.at), name)
        latex = part.source if isinstance(part, Relation) else formula.latex
        found.append((verdict(formula, name, latex, outcome), outcome))
    return found


def verdict(formula: Formula, name: str, latex: str, outcome: Outcome) -> Verdict:
    reason = outcome.reason
    if outcome.verdict == "unread" and reason:
        reason = f"{reason} ({formula.place(outcome.at)})"
    shown = outcome.counterexample.as_dict() if outcome.counterexample else None
    return Verdict(
        name, formula.line, latex, outcome.system, outcome.verdict, outcome.scope, outcome.reading, shown,
        outcome.correction, reason, formula.erratum,
    )  # fmt: skip


def range_outcome(
    part: Range, owner: Formula, found: list[tuple[Formula, Relation | Range | None, Outcome]]
) -> Outcome:
    """`l = 2, ..., L` claims that what follows in its step, up to the next range, has its layers for each such l."""
    governed: list[tuple[Relation, Outcome]] = []
    seen = False
    for formula, other, outcome in found:
        if other is part:
            seen = True
        elif seen and (isinstance(other, Range) or formula.step != owner.step):
            break
        elif seen and isinstance(other, Relation):
            governed.append((other, outcome))
    if not governed:
        return Outcome("unread", reason="a range that no formula follows", at=part.at)
    try:
        low, high, down = ends(part)
    except Unbindable as error:
        return Outcome("unread", reason=error.reason, at=error.at)
    lowest, highest, failing = 1, 0, None
    depth = max(2, low - high)  # the smallest network in which the range is not empty
    for relation, outcome in governed:
        for x in sorted(outcome.places, key=str):
            letter, shift = chain(x)
            if letter != layer or x.base.name in ("y", "C", "E"):
                continue
            first, beyond = LOWEST.get(x.base.name, 2) - shift, shift
            if first > low:
                failing = failing or (relation, low, f"layer {low + shift} has none")
            if beyond > -high:
                failing = failing or (relation, depth + high, f"there is no layer {depth + high + shift}")
            lowest, highest = max(lowest, first), min(highest, -beyond)
    if failing is None:
        return Outcome("proved", "dense", ALL_SIZES)
    relation, at, why = failing
    bounds = [str(lowest), f"L {highest:+d}".replace("-", "- ") if highest else "L"]
    right = f"{part.index.text} = " + r", \dots, ".join(reversed(bounds) if down else bounds)
    shown = Counterexample({"L": str(depth), "l": str(at)}, {}, relation.source, why)
    return Outcome("refuted", "dense", A_COUNTEREXAMPLE, counterexample=shown, correction=right, at=part.at)


def ends(part: Range) -> tuple[int, int, bool]:
    """The lowest layer, how far the highest stands from L, and whether the range runs down."""
    if part.index.text not in ("l", "ell"):
        raise Unbindable("a range of something else than the layers l", part.at)
    written = [v for v in part.values if not isinstance(v, Ellipsis)]
    if len(written) not in (2, 3) or isinstance(part.values[-1], Ellipsis):
        raise Unbindable("a range says its first value, perhaps its second, and its last", part.at)
    values = [layer_expression(v) for v in written]
    down = values[0].has(last)
    first, final = (values[-1], values[0]) if down else (values[0], values[-1])
    steps = sp.expand(values[1] - values[0]) if len(values) == 3 else (-1 if down else 1)
    if not first.is_Integer or not (final - last).is_Integer or steps != (-1 if down else 1):
        raise Unbindable("the range does not run between a layer's number and L in steps of one", part.at)
    return int(first), int(final - last), down


def our_documents() -> list[Path]:
    """The documents that come with the package."""
    with as_file(files("derive") / "documents") as folder:
        return sorted(folder.glob("*.md"))


@cache
def our_verdicts() -> tuple[tuple[Verdict, Outcome], ...]:
    return tuple(pair for path in our_documents() for pair in judged(read_document(path)))


def verdicts_by_tag() -> dict[str, Verdict]:
    """The verdicts on our documents' formulas, by id."""
    return {verdict.id: verdict for verdict, _ in our_verdicts()}


def citations(system: str, *, untagged: bool = False) -> dict[str, list[tuple[str, str, str]]]:
    """By tensor of a system, the tagged (or all) formulas of our documents whose truth rests on its equation.

    Each as (id, verdict, scope). A formula speaks of the equations that one of its sides had to be opened by and the
    other had not: of dense, FC-1 speaks of `delta_a`, FC-2 of `nabla_b`, FC-3 of `nabla_w`.
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    for verdict, outcome in our_verdicts():
        if (verdict.id.startswith("eq-") and not untagged) or verdict.verdict not in ("proved", "conditional"):
            continue
        for owner, tensor in sorted(outcome.about):
            if owner == system:
                found.setdefault(tensor, []).append((verdict.id, verdict.verdict, verdict.scope or ""))
    return found
