"""A verdict for every formula of a document."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.resources import as_file, files
from itertools import groupby, repeat
from multiprocessing import get_context
from pathlib import Path

import sympy as sp

from derive.audit.excerpt import Claim, judge_excerpt
from derive.audit.judging.agreement import agreement, worlds
from derive.audit.judging.counterexample import Counterexample
from derive.audit.judging.judge import A_COUNTEREXAMPLE, ALL_SIZES, Context, Outcome, corrected_by, fails_under, judge
from derive.audit.judging.proof import chain
from derive.audit.meaning.network import last, layer
from derive.audit.meaning.scripts import layer_expression
from derive.audit.meaning.values import Unbindable
from derive.audit.source.document import DocumentError, Formula, formulas_in, read_document
from derive.audit.syntax import formula as f
from derive.audit.syntax.formula import Clause, Ellipsis, Range, Relation
from derive.audit.syntax.reader import Unreadable, read
from derive.audit.verdict import WORST_FIRST, Verdict

__all__ = ["DocumentError", "Verdict", "audit", "audit_text", "citations", "our_documents", "verdicts_by_tag"]

ERRATA = "ERRATA.md"  # what is wrong with our documents, written by `derive audit --errata`
LOWEST = {"a": 1, "delta_a": 1}  # the first layer that has such a quantity; all others begin at layer 2
Part = tuple[Relation | Range | str | None, Outcome]  # what of a formula is judged: a piece of C is its text
Found = tuple[Formula, Relation | Range | str | None, Outcome]
Pair = tuple[Verdict, Outcome]


def audit(path: str | Path, jobs: int = 1) -> list[Verdict]:
    """A verdict for every formula of the document, in order; of a formula of several relations, one for each as well.

    `jobs` is the number of processes. Raises DocumentError for a document that cannot be read, is empty, has no formula,
    or leaves a `$$` open.
    """
    return [verdict for verdict, _ in judged(read_document(path), jobs)]


def audit_text(text: str, name: str = "document") -> list[Verdict]:
    """The same for a text at hand."""
    return [verdict for verdict, _ in judged(formulas_in(text, name))]


def judged(formulas: Sequence[Formula], jobs: int = 1, *, refute: bool = True) -> list[Pair]:
    """Verdicts with the outcomes behind them, in the document's order.

    Without `refute`, what does not hold is left undecided, which is quicker.
    """
    batches = in_batches(formulas)
    if jobs > 1 and len(batches) > 1:
        with ProcessPoolExecutor(min(jobs, len(batches)), mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(judged_together, sorted(batches, key=weight, reverse=True), repeat(refute)))
    else:
        parts = [judged_together(batch, refute) for batch in batches]
    by_formula = {formula: pairs for part in parts for formula, pairs in part}
    return [pair for formula in formulas for pair in by_formula[formula]]


def weight(batch: list[Formula]) -> int:
    return sum(len(formula.source) for formula in batch)


def in_batches(formulas: Sequence[Formula]) -> list[list[Formula]]:
    """Formulas that say something of one another: those of one section; all of networks, for what a cost is they share."""
    batches: dict[object, list[Formula]] = {}
    for formula in formulas:
        section = formula.section
        batches.setdefault(section.number if section.system not in (None, "dense") else "dense", []).append(formula)
    return list(batches.values())


def judged_together(batch: Sequence[Formula], refute: bool = True) -> list[tuple[Formula, list[Pair]]]:
    """Section by section, each formula with its verdicts. What a document defines, it means from there on."""
    results = []
    context = Context(refute=refute)
    for _, group in groupby(batch, key=lambda formula: formula.section.number):
        found, context = in_section(list(group), context)
        found = [
            (formula, part, range_outcome(part, formula, found) if isinstance(part, Range) else outcome)
            for formula, part, outcome in found
        ]
        for formula in dict.fromkeys(formula for formula, *_ in found):
            own = [each for each in found if each[0] is formula]
            pairs = with_whole(formula, [(part, outcome) for _, part, outcome in own])
            told = [(verdict, outcome.told() if refute else outcome) for verdict, outcome in pairs]
            results.append((formula, told))
    return results


Statements = list[tuple[Formula, "tuple[Clause | Range, ...] | Outcome"]]


def in_section(formulas: list[Formula], context: Context) -> tuple[list[Found], Context]:
    """What a section's formulas are worth under the readings that it agrees on."""
    statements: Statements = []
    for formula in formulas:
        try:
            statements.append((formula, read(formula.source) if formula.kind == "formula" else Outcome("unread")))
        except Unreadable as error:
            statements.append((formula, Outcome("unread", reason=error.reason, at=error.at)))
    relations = [
        r
        for _, found in statements
        if isinstance(found, tuple)
        for c in found
        if isinstance(c, Clause)
        for r in c.relations
    ]
    best: tuple[int, list[Found], Context] | None = None
    for world in worlds(formulas[0].section.system, relations):
        inside = replace(context, world=world)

        def outcomes(agreed: tuple[tuple[str, str], ...], inside: Context = inside) -> list[Outcome]:
            return [o for *_, o in statement_outcomes(statements, replace(inside, agreed=agreed, refute=False))[0]]

        agreed = agreement(outcomes)
        found, after = statement_outcomes(statements, replace(inside, agreed=agreed))
        holding = sum(o.holds for *_, o in found)
        if best is None or holding > best[0]:
            best = holding, found, replace(after, world=context.world, agreed=())
    assert best is not None
    return best[1], best[2]


def statement_outcomes(statements: Statements, context: Context) -> tuple[list[Found], Context]:
    """Each statement of a section judged in turn; what a document defines, it means from there on: its cost, a case."""
    found: list[Found] = []
    for formula, clauses in statements:
        if isinstance(clauses, Outcome):
            if formula.kind == "code" and context.refute:  # it asks its section nothing
                found += [(formula, claim.source, of_claim(claim)) for claim in judge_excerpt(formula.source)]
            else:
                found.append((formula, None, clauses))
            continue
        given, head, broken = context, None, False
        for statement in clauses:
            if isinstance(statement, Range):
                found.append((formula, statement, Outcome("unread")))
                continue
            for relation in statement.relations:
                if head is None or relation.left is not head[1]:
                    head, broken = (relation.left, relation.right, relation.written[0]), False
                case = target_of(relation, context)
                if case is not None:
                    given = replace(given, world=replace(given.world, target=case))
                    found.append((formula, relation, a_case(given)))
                    continue
                outcome = judge(relation, replace(given, premise=statement.follows and given is not context))
                whole = replace(relation, left=head[0], written=(head[2], relation.written[1]))
                if outcome.verdict == "refuted" and context.refute:
                    outcome = seen_whole(outcome, whole, given, broken)
                elif outcome.holds and context.refute:
                    outcome = fails_under(relation, outcome, given)
                broken = broken or outcome.verdict == "refuted"
                head = head[0], relation.right, head[2]
                found.append((formula, relation, outcome))
                if outcome.cost and outcome.verdict == "proved":
                    given = replace(given, cost=outcome.cost, where=f" of line {formula.line}")
        context = given
    return found, context


def of_claim(claim: Claim) -> Outcome:
    """What a statement of C is worth, as any other outcome."""
    return Outcome(
        claim.verdict, claim.system, claim.scope, claim.reading, claim.counterexample, claim.correction, claim.reason,
        claim.at, steps=claim.steps,
    )  # fmt: skip


def target_of(relation: Relation, context: Context) -> int | None:
    """`t = 1` or `t = 0`, where that is a case."""
    if context.world.system not in ("logistic_cross_entropy", "yolo") or relation.left != f.Name("t"):
        return None
    if isinstance(relation.right, f.Number) and relation.right.value in (0, 1):
        return int(relation.right.value)
    return None


def a_case(context: Context) -> Outcome:
    words = "a case: what follows it is meant where this holds"
    return Outcome("conditional", "logistic_cross_entropy", ALL_SIZES, reading=words)


def seen_whole(outcome: Outcome, whole: Relation, context: Context, broken: bool) -> Outcome:
    """A wrong line of a derivation: what the first side of the derivation is instead, and whether only the line before
    is to blame."""
    correction = outcome.correction or corrected_by(whole, context)
    outcome = replace(outcome, correction=correction)
    if broken and judge(whole, replace(context, refute=False)).holds:
        return replace(
            outcome, reason=f"the line before is wrong; what stands here is right: {whole.source}", right=True
        )
    return outcome


def with_whole(formula: Formula, parts: list[Part]) -> list[Pair]:
    """The formula's verdict, the worst of its parts'; where there are several, theirs follow as `ID/1`, `ID/2`, ..."""
    part, worst = min(parts, key=lambda each: WORST_FIRST.index(each[1].verdict))
    whole = verdict(formula, formula.id, formula.latex, worst)
    if len(parts) == 1:
        return [(whole, worst)]
    if whole.verdict == "conditional":
        readings = dict.fromkeys(o.reading for _, o in parts if o.reading)
        whole = replace(
            whole, reading="; ".join(dict.fromkeys(w for r in readings if r for w in r.split("; "))) or None
        )
    if whole.verdict == "refuted" and parts[-1][1].right:
        whole = replace(whole, reason="a line before is wrong, but its last line is right")
    several = len({tag for _, tag in formula.tags}) > 1
    found = [(whole, replace(worst, about=frozenset()))]
    for n, (part, outcome) in enumerate(parts, 1):
        name = f"{formula.id}/{n}"
        if several and isinstance(part, Relation):
            name = next((tag for at, tag in formula.tags if at >= part.at), name)
        latex = part.source if isinstance(part, Relation) else part if isinstance(part, str) else formula.latex
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


def range_outcome(part: Range, owner: Formula, found: list[Found]) -> Outcome:
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
        return sorted(path for path in folder.glob("*.md") if path.name != ERRATA)


KNOWN: dict[bool, tuple[Pair, ...]] = {}  # our verdicts once they were worked out, with and without refutations


def our_verdicts(refute: bool = True) -> tuple[Pair, ...]:
    """The verdicts on our documents' formulas; without `refute`, at least on what holds."""
    if refute not in KNOWN and True not in KNOWN:
        KNOWN[refute] = tuple(p for path in our_documents() for p in judged(read_document(path), refute=refute))
    return KNOWN.get(True) or KNOWN[refute]


def verdicts_by_tag() -> dict[str, Verdict]:
    """The verdicts on our documents' formulas, by id."""
    return {verdict.id: verdict for verdict, _ in our_verdicts()}


def citations(system: str, *, untagged: bool = False) -> dict[str, list[tuple[str, str, str]]]:
    """By tensor of a system, the tagged (or all) formulas of our documents whose truth rests on its equation.

    Each as (id, verdict, scope). A formula speaks of the equations that one of its sides had to be opened by and the
    other had not: of dense, FC-1 speaks of `delta_a`, FC-2 of `nabla_b`, FC-3 of `nabla_w`; of any "activation" P2 speaks
    of `delta_z`.
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    for verdict, outcome in our_verdicts(refute=False):
        of_it = verdict.system == system or {owner for owner, _ in outcome.about} == {system}
        if (verdict.id.startswith("eq-") and not untagged) or not outcome.holds or not of_it:
            continue
        for owner, tensor in sorted(outcome.about):
            if owner == system:
                found.setdefault(tensor, []).append((verdict.id, verdict.verdict, verdict.scope or ""))
    return found
