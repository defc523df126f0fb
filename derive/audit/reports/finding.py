"""What was found in a document: its formulas with their verdicts, and the derivations behind them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from derive.audit.audit import judged, our_documents, our_verdicts
from derive.audit.judging.judge import ALL_SIZES, Outcome
from derive.audit.source.document import Formula, read_document
from derive.audit.verdict import KINDS, Verdict

Pair = tuple[Verdict, Outcome]


@dataclass(frozen=True)
class Finding:
    """A formula and its verdict. Where it states several things, `parts` are theirs, and its own is the worst of them."""

    formula: Formula
    verdict: Verdict
    outcome: Outcome
    parts: tuple[Pair, ...] = ()

    @property
    def is_code(self) -> bool:
        return self.formula.kind == "code"

    @property
    def statements(self) -> tuple[Pair, ...]:
        """Its parts; a formula that states one thing is its own part."""
        return self.parts or ((self.verdict, self.outcome),)

    @property
    def own_reason(self) -> str | None:
        """A reason that no part gives."""
        return None if self.verdict.reason in {part.reason for part, _ in self.parts} else self.verdict.reason


@dataclass(frozen=True)
class Document:
    """A document by its name, and what was found in it, in its order."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def verdicts(self) -> list[Verdict]:
        """All verdicts, each formula's before those of its parts."""
        return [v for each in self.findings for v in (each.verdict, *(part for part, _ in each.parts))]

    def of_kind(self, kind: str) -> list[Finding]:
        return [each for each in self.findings if each.verdict.verdict == kind]

    def says_no(self) -> bool:
        """Whether a formula is refuted that the document does not itself mark as an erratum."""
        return any(not each.verdict.erratum for each in self.of_kind("refuted"))

    def summary(self) -> str:
        """`39 formulas: 34 proved, 5 conditional, 0 refuted, 0 unread`."""
        counts = Counter(each.verdict.verdict for each in self.findings)
        plural = "formula" if len(self.findings) == 1 else "formulas"
        return f"{len(self.findings)} {plural}: " + ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)


def examined(path: str | Path, jobs: int = 1) -> Document:
    """Audit a document in so many processes; raises DocumentError as `read_document` does."""
    formulas = read_document(path)
    return Document(shown_name(path), tuple(gathered(formulas, judged(formulas, jobs))))


def our_findings() -> list[Document]:
    """Our own documents, audited once in a process."""
    given = [(shown_name(path), read_document(path)) for path in our_documents()]
    found = iter(gathered([formula for _, formulas in given for formula in formulas], our_verdicts()))
    return [Document(name, tuple(islice(found, len(formulas)))) for name, formulas in given]


def gathered(formulas: Sequence[Formula], pairs: Sequence[Pair]) -> list[Finding]:
    """Verdicts in the document's order, by formula: its own comes first, then those of its parts."""
    found: list[tuple[Formula, list[Pair]]] = []
    for pair in pairs:
        following = formulas[len(found)] if len(found) < len(formulas) else None
        if following and (pair[0].id, pair[0].latex) == (following.id, following.latex):
            found.append((following, []))
        found[-1][1].append(pair)
    return [Finding(formula, *own, tuple(parts)) for formula, (own, *parts) in found]


def shown_name(path: str | Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def details(verdict: Verdict, outcome: Outcome) -> list[tuple[str, str]]:
    """What a verdict rests on, as (heading, text); `right` and `correction` are formulas as the document would write them."""
    found = []
    if outcome.holds and verdict.scope and verdict.scope != ALL_SIZES:
        found.append(("scope", verdict.scope))
    if verdict.reading:
        found.append(("reading", verdict.reading))
    words, right = reason(verdict, outcome)
    if words:
        found.append(("reason", words))
    if right:
        found.append(("right", right))
    if verdict.counterexample:
        found.append(("counterexample", counterexample_line(verdict.counterexample)))
    if verdict.correction:
        found.append(("correction", verdict.correction))
    return found


def reason(verdict: Verdict, outcome: Outcome) -> tuple[str, str]:
    """The reason in words; of a line that is right although it does not follow, also what is right."""
    words, _, right = (verdict.reason or "").partition(": ") if outcome.right else (verdict.reason or "", "", "")
    return words, right


def counterexample_line(found: dict[str, Any]) -> str:
    """Both sides' values, and the sizes and values at which they differ."""
    instance = ", ".join(f"{name} = {value}" for name, value in given(found))
    return f"left {found['left']}, right {found['right']}" + (f", at {instance}" if instance else "")


def given(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The sizes and values of a counterexample."""
    return [*found["sizes"].items(), *found["values"].items()]


def equations(found: dict[str, Any]) -> list[str]:
    """The same as LaTeX."""
    return [rf"\sigma(z) = {value}" if name == "sigma(z)" else f"{name} = {value}" for name, value in given(found)]


def continued(before: str, latex: str) -> str:
    """What a statement adds to the one before it: of `b = c` after `a = b`, the `= c`."""
    for sign in re.finditer(r"=|\\equiv(?![A-Za-z])", before):
        right = before[sign.end() :].strip()
        rest = latex[len(right) :].lstrip()
        if right and latex.startswith(right) and re.match(r"=|\\equiv(?![A-Za-z])", rest):
            return rest
    return latex
