r"""Find the formulas of a document: between `$$` marks, and between `$` marks where they state something.

A document is Markdown or any text. A formula between single marks is a claim if it holds a relation such as `=`,
`\equiv` or `\rightarrow`; otherwise it only names something (`the weights $w^l$`) and is passed over, as are code
blocks and code spans. A formula's id is its tag: `\tag{FC-1}` or, at its end, `(\text{FC-1})` or `\quad (FC-1)`;
without one, `eq-<line>`. A document says that it knows a formula to be wrong by the comment `<!-- erratum -->`, on one
of the formula's lines or on the line above it.
"""

import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

RELATION = re.compile(r"=|≡|→|\\(equiv|(long)?(right|left)arrow|to|gets|triangleq|coloneqq)(?![a-zA-Z])")
TAG = re.compile(r"\\tag\*?\s*\{([^{}]*)\}")
TRAILING_TAG = re.compile(
    r"(?:\\q?quad|(?<=\s))\s*\(\s*\\text\s*\{([^{}]*)\}\s*\)\s*(?=[.,]?\s*(?:\\end\s*\{\w+\*?\}\s*)?$)"
    r"|\\q?quad\s*\(\s*([A-Za-z][\w .;-]*)\s*\)\s*(?=[.,]?\s*(?:\\end\s*\{\w+\*?\}\s*)?$)"
)
ERRATUM = re.compile(r"<!--\s*erratum\s*-->")
FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$(?!\$)([^$\n]+?)(?<!\\)\$(?!\$)")
STEP = re.compile(r"^\s*(#+\s|\d+[.)]\s|[-*+◦•]\s)", re.MULTILINE)


class DocumentError(ValueError):
    """A document that cannot be audited; says which file, which line, and what is wrong."""


@dataclass(frozen=True)
class Formula:
    """A formula as it stands: `latex` is the text between the marks, `source` the same with its tags blanked out."""

    id: str
    line: int
    latex: str
    source: str
    step: int  # which heading or list item it belongs to
    erratum: bool = False
    tags: tuple[tuple[int, str], ...] = ()  # where each tag stands, and the tag
    column: int = 1

    def place(self, at: int) -> str:
        """The document's line and column of an offset in the formula."""
        before = self.latex[: min(at, len(self.latex))]
        down = before.count("\n")
        across = len(before) - (before.rfind("\n") + 1) + 1
        return f"line {self.line + down}, column {across + (self.column - 1 if not down else 0)}"


def read_document(path: str | Path) -> list[Formula]:
    """The formulas of a document, in order; raises DocumentError if there are none or the document cannot be read."""
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
    formulas = formulas_in(text, str(path))
    if not formulas:
        raise DocumentError(f"{path}: no formula: put formulas between `$$` marks")
    return formulas


def formulas_in(text: str, path: str = "document") -> list[Formula]:
    """The formulas of a text, in order; raises DocumentError for a `$$` that is not closed."""
    masked = text
    for pattern in (FENCE, COMMENT, CODE):
        masked = pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), masked)
    lines = [0, *(m.end() for m in re.finditer("\n", text))]
    steps = [m.start() for m in STEP.finditer(masked)]
    errata = {bisect_right(lines, m.start()) for m in ERRATUM.finditer(text)}

    spans = displays(masked, lines, path)
    for start, stop in spans:
        masked = masked[: start - 2] + " " * (stop - start + 4) + masked[stop + 2 :]
    spans += [m.span(1) for m in INLINE.finditer(masked) if RELATION.search(m[1])]

    formulas: list[Formula] = []
    seen: Counter[str] = Counter()
    for start, stop in sorted(spans):
        raw = text[start:stop]
        start += len(raw) - len(raw.lstrip())
        latex = raw.strip()
        line, end = bisect_right(lines, start), bisect_right(lines, max(start, stop - 1))
        source, tags = without_tags(latex)
        name = tags[0][1] if len({tag for _, tag in tags}) == 1 else f"eq-{line}"
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name}.{seen[name]}"
        above = line - 1 in errata and not text[lines[line - 2] : lines[line - 1]].replace("<!--", "").count("$")
        known = bool(errata & set(range(line, end + 1))) or (line > 1 and above)
        step = bisect_right(steps, start)
        formulas.append(Formula(name, line, latex, source, step, known, tags, column=start - lines[line - 1] + 1))
    return formulas


def displays(text: str, lines: list[int], path: str) -> list[tuple[int, int]]:
    """Where the formulas between `$$` marks stand."""
    marks = [m.start() for m in re.finditer(r"(?<!\\)\$\$", text)]
    spans = []
    for n, opening in enumerate(marks[::2]):
        line = bisect_right(lines, opening)
        closing = marks[2 * n + 1] if 2 * n + 1 < len(marks) else None
        if closing is None or re.search(r"\n[ \t]*\n", text[opening:closing]):
            raise DocumentError(f"{path}:{line}: the `$$` opened here is not closed before the paragraph ends")
        if not text[opening + 2 : closing].strip():
            raise DocumentError(f"{path}:{line}: there is nothing between the `$$` marks")
        spans.append((opening + 2, closing))
    return spans


def without_tags(latex: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """The formula with its tags blanked out, so that places stay what they are, and the tags."""
    found = list(TAG.finditer(latex)) or list(TRAILING_TAG.finditer(latex))
    tags = tuple((m.start(), " ".join(next(g for g in m.groups() if g is not None).split())) for m in found)
    for m in found:
        latex = latex[: m.start()] + " " * (m.end() - m.start()) + latex[m.end() :]
    return latex, tags
