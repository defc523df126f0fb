r"""Find the formulas of a document, Markdown or LaTeX, say what names each and where it stands.

Display formulas are claims, all of them: between `$$` marks, between `\[` and `\]`, in environments such as `equation`
and `align`. A formula in a line of text, between `$` or `\(` and `\)`, is a claim if it holds a relation such as `=`,
`\equiv` or `\rightarrow`; otherwise it only names something (`the weights $w^l$`) and is passed over, as are comments,
code spans and code blocks. Excerpts of C are claims where they say what a sensitivity is: fences marked `c` that assign
to something called `delta`, and those of the sections that a guide (guide.py) binds to an output layer.

A formula's id is its tag: `\tag{FC-1}` or, at its end, `(\text{FC-1})` or `\quad (FC-1)`; or its `\label`. An excerpt's
is its function's name. Without one it is `eq-<line>`. A document says that it knows a formula to be wrong by the
comment `<!-- erratum -->`, on one of the formula's lines or alone on the line above it.
"""

import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from derive.audit.source.guide import Guide, guide_of, guided
from derive.audit.source.manuscript import defines, expanded, manuscript
from derive.audit.source.marks import Found, found_in
from derive.audit.source.passage import DocumentError, Lines, Passage
from derive.audit.source.sections import Heading, Section, headed

__all__ = ["DocumentError", "Formula", "Section", "formulas_in", "read_document", "without_tags"]

PAPER = re.compile(r"(?:\s|%[^\n]*\n)*+\\documentclass")
TAG = re.compile(r"\\tag\*?\s*\{([^{}]*)\}|\\l?eqno\s*\{?\(?([^(){}$\\]*)\)?\}?\s*$")
TRAILING_TAG = re.compile(
    r"(?:\\q?quad|(?<=\s))\s*\(\s*\\text\s*\{([^{}]*)\}\s*\)\s*(?=[.,]?\s*(?:\\end\s*\{\w+\*?\}\s*)?$)"
    r"|\\q?quad\s*\(\s*([A-Za-z][\w .;-]*)\s*\)\s*(?=[.,]?\s*(?:\\end\s*\{\w+\*?\}\s*)?$)"
)
TAIL = 300  # characters at a formula's end in which a trailing tag has room
LABEL = re.compile(r"\\label\s*\{([^{}]*)\}")
ROW = re.compile(r"\\\\")
VARIANT = re.compile(r"\\(begin|end)\s*\{(flalign|x?x?alignat|IEEEeqnarray)\*?\}(\s*\{[^{}]*\})?")
MULTLINE = re.compile(r"\\(?:begin|end)\s*\{multline\*?\}|\\\\")
QUOTE = re.compile(r"(?<=\n)[ \t]*>[ \t>]*")
ERRATUM = re.compile(r"<!--\s*erratum\s*-->")

C = frozenset({"c", "h", "cc", "cpp", "c++", "cu", "cuda"})
OUTPUTS = frozenset({"yolo", "logistic_cross_entropy"})  # sections whose unmarked fences are excerpts too
DELTA = re.compile(r"\bdelta\b[^=;]{0,200}?(?<![<>!=])=(?!=)")  # an assignment to it
FUNCTION = re.compile(r"^[A-Za-z_][\w \t*]{0,200}?[\s*]([A-Za-z_]\w*)[ \t]*\([^;{}()]{0,2000}\)\s*\{", re.MULTILINE)
CONTROL = frozenset({"if", "for", "while", "switch"})


@dataclass(frozen=True)
class Formula:
    """A formula as it stands: `latex` is the text between the marks, `source` the same with its tags blanked out.

    Where a document has macros of its own, both have them expanded.
    """

    id: str
    line: int
    latex: str
    source: str
    step: int  # which heading or list item it belongs to
    erratum: bool = False
    tags: tuple[tuple[int, str], ...] = ()  # where each tag stands, and the tag
    column: int = 1
    section: Section = field(default_factory=Section)
    kind: str = "formula"  # or "code": an excerpt of C, `latex` its text
    places: tuple[tuple[int, int], ...] = field(default=(), repr=False, compare=False)  # where it is not in one piece

    def place(self, at: int) -> str:
        """The document's line and column of an offset in the formula."""
        if self.places:
            line, column = self.places[min(at, len(self.places) - 1)]
            return f"line {line}, column {column + (at >= len(self.places))}"
        before = self.latex[: min(at, len(self.latex))]
        down = before.count("\n")
        across = len(before) - (before.rfind("\n") + 1) + 1
        return f"line {self.line + down}, column {across + (self.column - 1 if not down else 0)}"


@dataclass(frozen=True)
class Claim:
    """A formula or an excerpt of code before it has a name."""

    kind: str
    passage: Passage
    at: int  # where it begins in the document

    def on(self, lines: Lines) -> range:
        """The document's lines that it stands on; of code, with its fence."""
        fence = 1 if self.kind == "code" else 0
        last = max(self.at, self.passage.origin(len(self.passage.text) - 1))
        return range(lines.line(self.at) - fence, lines.line(last) + fence + 1)


def read_document(path: str | Path) -> list[Formula]:
    """The formulas of a document, in order; raises DocumentError if there are none or the document cannot be read.

    A file `NAME.guide.toml` beside it says how to read it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DocumentError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DocumentError(f"{path}: this is a folder; name a document in it") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DocumentError(f"{path}:{line}: this is not text in UTF-8") from None
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror}") from None
    if not text.strip():
        raise DocumentError(f"{path}: the document is empty")
    formulas = formulas_in(text, str(path), guide_of(text, path))
    if not formulas:
        raise DocumentError(f"{path}: no formula: put formulas between `$$` marks")
    return formulas


def formulas_in(text: str, path: str = "document", guide: Guide | None = None) -> list[Formula]:
    r"""The formulas of a text, in order; raises DocumentError for marks left open or a guide that does not fit.

    A `path` that ends in `.tex`, or a text whose first command is `\documentclass`, is LaTeX. Without a guide, one of
    ours is used if it recognises the text.
    """
    lines = Lines(text)
    tex = path.endswith(".tex") or bool(PAPER.match(text))
    if tex:
        body = manuscript(text, path, lines)
    else:
        body = expanded(Passage.whole(text), path, lines) if defines(text) else Passage.whole(text)
    found = found_in(body, tex, path, lines)
    guide = guide or guide_of(text)
    said = guided(guide, text, path) if guide else None
    sections = said.sections if said else by_headings(body, found)

    claims = [Claim("formula", passage, at) for at, passage in said.claims] if said else []
    for each in found:
        at = body.origin(each.start)
        if each.kind == "formula":
            formula = (body.part(each.start, each.stop) if tex else unquoted(body, each)).stripped()
            claims.append(Claim("formula", formula, formula.origin(0)))
        elif each.kind == "code":
            code = Passage.whole(text).part(at, body.origin(each.stop - 1) + 1)
            if is_excerpt(code.text, each.said, section_at(at, sections) if said else Section()):
                claims.append(Claim("code", code, at))
    claims.sort(key=lambda claim: claim.at)
    errata = known_errata(text, claims, lines)
    steps = [body.origin(each.start) for each in found if each.kind in ("heading", "item")]
    seen: Counter[str] = Counter()

    def formula_of(claim: Claim) -> Formula:
        latex = claim.passage.text
        line, column = lines.place(claim.at)
        source, tags = without_tags(latex) if claim.kind == "formula" else (latex, ())
        names = {tag for _, tag in tags} if claim.kind == "formula" else function_names(latex)
        name = min(names) if len(names) == 1 else f"eq-{line}"
        seen[name] += 1
        return Formula(
            id=name if seen[name] == 1 else f"{name}.{seen[name]}",
            line=line,
            latex=latex,
            source=readable(source) if claim.kind == "formula" else source,
            step=bisect_right(steps, claim.at),
            erratum=not errata.isdisjoint(claim.on(lines)),
            tags=tags,
            column=column,
            section=section_at(claim.at, sections),
            kind=claim.kind,
            places=() if claim.passage.unbroken() else tuple(map(lines.place, claim.passage.origins)),
        )

    return [formula_of(claim) for claim in claims]


def by_headings(body: Passage, found: list[Found]) -> list[tuple[int, Section]]:
    """The sections that a document's headings open, and where."""
    headings = [each for each in found if each.kind == "heading"]
    ends = [each.start for each in headings[1:]] + [len(body.text)]
    read = [
        Heading(int(each.said), body.text[each.start : each.stop].strip(" #"), body.text[each.stop : end])
        for each, end in zip(headings, ends, strict=False)
    ]
    return [(body.origin(each.start), section) for each, section in zip(headings, headed(read), strict=True)]


def section_at(at: int, sections: list[tuple[int, Section]]) -> Section:
    """The last section that opens at a place or before it."""
    before = bisect_right(sections, at, key=lambda opened: opened[0])
    return sections[before - 1][1] if before else Section()


def known_errata(text: str, claims: list[Claim], lines: Lines) -> set[int]:
    """The lines whose formulas the document marks as wrong: those with a mark, and those below a mark without formula."""
    errata = {lines.line(mark.start()) for mark in ERRATUM.finditer(text)}
    covered = {line for claim in claims for line in claim.on(lines)} if errata else set()
    return errata | {line + 1 for line in errata - covered}


def without_tags(latex: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """The formula with its tags and labels blanked out, so that places stay what they are, and the tags.

    A row's label is its tag where it has no other.
    """
    tags = list(TAG.finditer(latex)) or list(TRAILING_TAG.finditer(latex, max(0, len(latex) - TAIL)))
    labels = list(LABEL.finditer(latex))
    breaks = [m.start() for m in ROW.finditer(latex)] if tags and labels else []
    tagged = {bisect_right(breaks, m.start()) for m in tags}
    named = tags + [m for m in labels if not tags or bisect_right(breaks, m.start()) not in tagged]
    named.sort(key=lambda m: m.start())
    for m in (*tags, *labels):
        latex = blanked(latex, m)
    return latex, tuple((m.start(), " ".join(next(g for g in m.groups() if g is not None).split())) for m in named)


def readable(latex: str) -> str:
    """Environments that only lay out differently, under the names of those that the reader knows; as long as it was."""
    for m in VARIANT.finditer(latex):
        name = "eqnarray" if m[2].startswith("IEEE") else "align"
        latex = blanked(latex, m, f"\\{m[1]}{{{name}}}")
    if latex.startswith(r"\begin{multline") and latex.count(r"\begin") == 1:  # its rows are one formula
        for m in MULTLINE.finditer(latex):
            latex = blanked(latex, m)
    return latex


def blanked(latex: str, m: re.Match[str], instead: str = "") -> str:
    return latex[: m.start()] + instead.ljust(m.end() - m.start()) + latex[m.end() :]


def is_excerpt(code: str, language: str, section: Section) -> bool:
    """Whether a fence is an excerpt of C that says what a sensitivity is."""
    if language.lower() in C and DELTA.search(code):
        return True
    return section.system in OUTPUTS and language.lower() in C | {""}


def function_names(code: str) -> set[str]:
    """The name of the first function that an excerpt of C defines, if it does."""
    return set([m[1] for m in FUNCTION.finditer(code) if m[1] not in CONTROL][:1])


def unquoted(body: Passage, each: Found) -> Passage:
    """A formula of Markdown without the `>` of a quotation at the beginning of its lines."""
    begins = body.text.rfind("\n", 0, each.start) + 1
    if not body.text[begins : each.start].lstrip().startswith(">"):
        return body.part(each.start, each.stop)
    parts, at = [], each.start
    for quote in QUOTE.finditer(body.text, each.start, each.stop):
        parts.append(body.part(at, quote.start()))
        at = quote.end()
    return Passage.joined([*parts, body.part(at, each.stop)])
