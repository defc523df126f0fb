r"""Reading guides: how to read a document that does not itself say, in a form a program understands, what it speaks of.

A guide is a TOML file. `NAME.guide.toml` beside `NAME.md` guides that document; the guides that come with the package
also guide whichever text has their `document` phrase as a line of its own.

    document = "On backpropagation"            # a line by which the document is recognised

    [[section]]                                # in the document's order; a section ends where the next one opens
    opens = "Now the convolutions"             # a phrase of the document
    title = "Convolution"
    system = "convolution"                     # what its formulas are bound to; may be left out

    [[figure]]
    opens = "An example:"                      # tables of `$...$` cells between tabs, each with a caption below it
    [figure.claims]                            # how they combine, each claim by its tag; names in braces are captions,
    "figure 1" = '{feature map}^{l} = {input}^{l-1} * {filter} + {bias}'    # and a symbol alone on a line is the bias

    [[rule]]
    words = "passes the error to all neurons"  # a rule that the document states in words
    formula = '\delta_{i,j}^{l-1} = \frac{1}{s^2} \delta_{i,j}^l'           # the formula that says the same
    tag = "average pooling"

No other formula is in a guide: what a document writes as a formula is read where it stands.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from itertools import groupby
from pathlib import Path
from typing import Any

from derive.audit.source.marks import states
from derive.audit.source.passage import DocumentError, Passage
from derive.audit.source.sections import SYSTEMS, Section

CELL = re.compile(r"\$([^$]+)\$")
SYMBOL = re.compile(r"[A-Za-z]_\{?\w+\}?")
CAPTION = re.compile(r"(?<![\\^_\w}\]])\{([^{}\\]*)\}")  # in a claim: braces that no command and no script takes


@dataclass(frozen=True)
class Figure:
    """Tables under a phrase; `claims` are tags and what they claim of the tables."""

    opens: str
    claims: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Rule:
    """A rule stated in words, and the formula that says the same."""

    words: str
    formula: str
    tag: str


@dataclass(frozen=True)
class Guide:
    """A reading guide; `path` is its file, `sections` has the phrase that opens each."""

    path: str
    document: str | None = None
    sections: tuple[tuple[str, Section], ...] = ()
    figures: tuple[Figure, ...] = ()
    rules: tuple[Rule, ...] = ()

    def fits(self, text: str) -> bool:
        """Whether the phrase by which the document is recognised is a line of the text."""
        return self.document is not None and any(line.strip() == self.document for line in text.splitlines())


@dataclass(frozen=True)
class Guided:
    """What a guide says of a text: where its sections open, and what its figures and rules claim, each at its place."""

    sections: list[tuple[int, Section]]
    claims: list[tuple[int, Passage]]


@dataclass(frozen=True)
class Table:
    """A table of a figure: where it stands, its cells, the caption and the lone symbol below it, where there are any."""

    start: int
    cells: list[list[Passage]]
    caption: str | None = None
    symbol: Passage | None = None


def guided(guide: Guide, text: str, document: str) -> Guided:
    """Apply a guide to the text of the document; raises DocumentError where they do not belong together."""
    if guide.document is not None and not guide.fits(text):
        raise DocumentError(f"{guide.path}: `document`: no line of {document} is {guide.document!r}")

    def places(kind: str, key: str, phrases: list[str]) -> list[int]:
        found: list[int] = []
        after = 0
        for n, phrase in enumerate(phrases, 1):
            if (at := text.find(phrase, after)) < 0:
                why = f"comes before that of {kind}[{n - 1}] in" if phrase in text else "is not in"
                raise DocumentError(f"{guide.path}: `{kind}[{n}].{key}`: {phrase!r} {why} {document}")
            found.append(at)
            after = at + len(phrase)
        return found

    opens = places("section", "opens", [phrase for phrase, _ in guide.sections])
    figures = places("figure", "opens", [figure.opens for figure in guide.figures])
    rules = places("rule", "words", [rule.words for rule in guide.rules])
    claims, captioned = [], dict[str, Passage]()
    ends = sorted([*opens, *figures, len(text)])  # a figure ends where another or a section begins
    for n, (figure, start) in enumerate(zip(guide.figures, figures, strict=True), 1):
        for table in tables(Passage.whole(text), start, next(end for end in ends if end > start)):
            if len({len(row) for row in table.cells}) > 1:
                raise DocumentError(f"{guide.path}: `figure[{n}]`: a table's rows are not of one length in {document}")
            captioned |= {table.caption: matrix(table)} if table.caption else {}
            captioned |= {"bias": table.symbol} if table.symbol else {}
        for tag, claim in figure.claims:
            if missing := [name for name in CAPTION.findall(claim) if name not in captioned]:
                known = ", ".join(captioned) or "none"
                why = f"no table is captioned {missing[0]!r}: {known}"
                raise DocumentError(f"{guide.path}: `figure[{n}].claims`: {why}")
            claims.append((start, combined(claim, tag, captioned, start)))
    claims += [(at, Passage.placed(tagged(r.formula, r.tag), at)) for r, at in zip(guide.rules, rules, strict=True)]
    sections = [(at, section) for at, (_, section) in zip(opens, guide.sections, strict=True)]
    return Guided(sections, claims)


def tables(whole: Passage, start: int, stop: int) -> Iterator[Table]:
    """The tables between two places of a document: lines of `$...$` cells between tabs, blank cells left out."""
    lines = [whole.part(start + m.start(), start + m.end()) for m in re.finditer(r"[^\n]*\n?", whole.text[start:stop])]
    groups = [(row, list(group)) for row, group in groupby(lines, key=lambda line: bool(cells(line)))]
    for (row, group), (_, text) in zip(groups, [*groups[1:], (False, [])], strict=True):
        if row:
            below = [line.stripped() for line in text if line.text.strip()][:2]
            symbols = [line for line in below if SYMBOL.fullmatch(line.text)]
            captions = [line.text for line in below if line not in symbols]
            rows = [cells(line) for line in group]
            yield Table(group[0].origin(0), rows, next(iter(captions), None), next(iter(symbols), None))


def cells(line: Passage) -> list[Passage]:
    """The cells of a line of a table; none if the line is not of one, as where a cell states something."""
    found = []
    for cell in (line.part(*m.span()).stripped() for m in re.finditer(r"[^\t]+", line.text)):
        if cell.text:
            if not (formula := CELL.fullmatch(cell.text)) or states(formula[1]):
                return []
            found.append(cell.part(1, -1).stripped())
    return found


def matrix(table: Table) -> Passage:
    """A table as a matrix of its cells, as they are written."""
    parts = [Passage.placed(r"\begin{bmatrix} ", table.start)]
    for r, row in enumerate(table.cells):
        parts += [Passage.placed(r" \\ ", table.start)] if r else []
        for c, cell in enumerate(row):
            parts += [Passage.placed(" & ", cell.origin(0)), cell] if c else [cell]
    return Passage.joined([*parts, Passage.placed(r" \end{bmatrix}", table.start)])


def combined(claim: str, tag: str, captioned: dict[str, Passage], at: int) -> Passage:
    """A claim with the tables for their captions."""
    parts, start = [], 0
    claim = tagged(claim, tag)
    for caption in CAPTION.finditer(claim):
        parts += [Passage.placed(claim[start : caption.start()], at), captioned[caption[1]]]
        start = caption.end()
    return Passage.joined([*parts, Passage.placed(claim[start:], at)])


def tagged(formula: str, tag: str) -> str:
    return rf"{formula} \tag{{{tag}}}"


def guide_of(text: str, path: str | Path | None = None) -> Guide | None:
    """The guide beside a document, or else the one of ours that recognises its text; raises DocumentError."""
    if path is not None:
        beside = Path(path).with_suffix(".guide.toml")
        if beside.is_file():
            return read_guide(beside)
    return next((guide for guide in our_guides() if guide.fits(text)), None)


@cache
def our_guides() -> tuple[Guide, ...]:
    """The guides that come with the package."""
    with as_file(files("derive") / "documents") as folder:
        return tuple(read_guide(path) for path in sorted(folder.glob("*.guide.toml")))


def read_guide(path: str | Path) -> Guide:
    """Read a guide; raises DocumentError for a file that is none, naming the key."""
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DocumentError(f"{path}: this is no reading guide: {error}") from None

    def strings(table: Any, at: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, str]:
        if not isinstance(table, dict):
            raise DocumentError(f"{path}: `{at}`: a table is expected")
        inside = f"{at}." if at else ""
        for key, value in table.items():
            if key not in required + optional:
                raise DocumentError(f"{path}: `{inside}{key}`: there is no such key: {', '.join(required + optional)}")
            if not isinstance(value, str) or not value.strip():
                raise DocumentError(f"{path}: `{inside}{key}`: a text is expected")
        if missing := [key for key in required if key not in table]:
            raise DocumentError(f"{path}: `{inside}{missing[0]}`: it is missing")
        return table

    def each(key: str) -> Iterator[tuple[str, Any]]:
        found = given.pop(key, [])
        if not isinstance(found, list):
            raise DocumentError(f"{path}: `{key}`: write `[[{key}]]`")
        yield from ((f"{key}[{n}]", table) for n, table in enumerate(found, 1))

    sections, figures, rules = [], [], []
    for n, (at, table) in enumerate(each("section"), 1):
        said = strings(table, at, ("opens", "title"), ("system",))
        if (system := said.get("system")) not in (None, *SYSTEMS):
            raise DocumentError(f"{path}: `{at}.system`: {system!r} is none of {', '.join(SYSTEMS)}")
        sections.append((said["opens"], Section(n, said["title"], system)))
    for at, table in each("figure"):
        claims = table.pop("claims", {}) if isinstance(table, dict) else {}
        said = strings(table, at, ("opens",))
        if not isinstance(claims, dict) or not claims or not all(isinstance(v, str) for v in claims.values()):
            raise DocumentError(f"{path}: `{at}.claims`: a formula for each tag is expected")
        figures.append(Figure(said["opens"], tuple(claims.items())))
    for at, table in each("rule"):
        rules.append(Rule(**strings(table, at, ("words", "formula", "tag"))))
    document = strings(given, "", (), ("document", "section", "figure", "rule")).get("document")
    return Guide(str(path), document, tuple(sections), tuple(figures), tuple(rules))
