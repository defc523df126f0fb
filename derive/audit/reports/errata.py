"""Errata: what is wrong in a document, why, and what is right instead; then what is true only under a reading.

Every word about a formula comes from its verdict.
"""

import re
import textwrap
from collections.abc import Sequence
from pathlib import PurePath

from derive.audit.judging.judge import ALL_SIZES
from derive.audit.reports.finding import Document, Finding, Pair, equations, reason
from derive.audit.source.document import without_tags
from derive.audit.verdict import Verdict


def errata(documents: Sequence[Document]) -> str:
    """The errata of documents as Markdown."""
    return "\n".join(line for document in documents for line in of_document(document))


def of_document(document: Document) -> list[str]:
    name = PurePath(document.name).name
    wrong = document.of_kind("refuted")
    about = (
        f"`derive audit --errata` writes this page from its verdicts on `{name}`. Each formula is read from its LaTeX and "
        "held to what follows from the forward definitions. Wrong is what an exact instance refutes; what stands instead "
        f"is what the derivation gives. {document.summary()}."
    )
    lines = [f"# Errata of {name}", "", *textwrap.wrap(about, 120), "", "## What is wrong", ""]
    for finding in wrong:
        lines += entry(finding)
    if not wrong:
        lines += ["Nothing is refuted.", ""]
    if grouped := under_readings(document):
        lines += ["## What is true only under a reading", ""]
        for said, those in grouped.items():
            lines += [f"**{markdown(said)}**", "", *(f"- {each}" for each in those), ""]
    return lines


def entry(finding: Finding) -> list[str]:
    """A refuted formula: which of its statements are wrong and why, and what is right."""
    own = finding.verdict
    lines = [f"### {markdown(own.id)} (line {own.line})", "", *display(own.latex, finding.is_code)]
    if finding.parts and finding.own_reason:
        lines += [sentence(finding.own_reason), ""]
    for n, (verdict, outcome) in enumerate(finding.statements, 1):
        if verdict.verdict == "refuted":
            which = f"Statement {n} of {len(finding.parts)}" if finding.parts else ""
            lines += why(which, (verdict, outcome), finding.is_code)
    return lines


def why(which: str, pair: Pair, is_code: bool) -> list[str]:
    """What is wrong with a statement, and what is right instead; of one that is right by itself, what it says."""
    verdict, outcome = pair
    words, right = reason(verdict, outcome)
    if right:
        return [f"{which}: {markdown(words)}:", "", *display(right, is_code)]
    lines = [f"{which} is wrong:", "", *display(verdict.latex, is_code)] if which else []
    if words:
        lines += [sentence(words), ""]
    if found := verdict.counterexample:
        at = ", ".join(inline(equation, is_code) for equation in equations(found))
        sides = f"Left {side(found['left'], is_code)}, right {side(found['right'], is_code)}"
        lines += [f"{sides}, at {at}." if at else f"{sides}.", ""]
    return [*lines, "Instead:", "", *display(verdict.correction, is_code)] if verdict.correction else lines


def under_readings(document: Document) -> dict[str, list[str]]:
    """By reading, in the document's order, the formulas that are true under it; and statements of those that are wrong."""
    grouped: dict[str, list[str]] = {}
    for finding in document.findings:
        own = (finding.verdict, finding.outcome)
        for verdict, _ in (own,) if finding.verdict.verdict != "refuted" else finding.parts:
            if verdict.verdict == "conditional":
                scope = verdict.scope if verdict.scope != ALL_SIZES else None
                said = "; ".join(each for each in (verdict.reading, scope) if each)
                grouped.setdefault(said, []).append(named(verdict, finding))
    return grouped


def named(verdict: Verdict, finding: Finding) -> str:
    """A formula in a line: its name, its place, and itself where it states one thing."""
    where = f"{markdown(verdict.id)}, line {verdict.line}"
    if finding.is_code:
        return where
    if finding.parts and verdict is finding.verdict:
        return f"{where}: its {len(finding.parts)} statements"
    return f"{where}: {inline(verdict.latex, finding.is_code)}"


def display(latex: str, is_code: bool) -> list[str]:
    """A formula on lines of its own, without its tag."""
    if is_code:
        return ["```c", *latex.splitlines(), "```", ""]
    lines = [" ".join(line.split()) for line in without_tags(latex)[0].splitlines()]
    return ["$$" + "\n".join(line for line in lines if line) + "$$", ""]


def inline(latex: str, is_code: bool) -> str:
    """A formula in a line, without its tag."""
    flat = " ".join(without_tags(latex)[0].split())
    return f"`{flat}`" if is_code else f"${flat}$"


def side(value: str, is_code: bool) -> str:
    """A number or a formula; or words, such as a shape."""
    return inline(value, is_code) if re.search(r"[=\\]|^-?[\d/]+$", value) else markdown(value)


def sentence(words: str) -> str:
    return f"{markdown(words[:1].upper() + words[1:])}."


def markdown(words: str) -> str:
    """Words that Markdown shows as they are, but for their `code` and their $formulas$."""
    parts = re.split(r"(`[^`]+`|\$[^$]+\$)", words)
    return "".join(part if n % 2 else re.sub(r"([\\*_\[\]<>])", r"\\\1", part) for n, part in enumerate(parts))
