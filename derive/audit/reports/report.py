"""The audit's reports, and what `derive audit` does: a table for people, JSON for programs, a page, errata."""

import json
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from derive.audit.audit import our_documents
from derive.audit.reports.errata import errata
from derive.audit.reports.finding import Document, Finding, Pair, continued, details, examined
from derive.audit.reports.page import page
from derive.audit.source.document import DocumentError, without_tags
from derive.files import write_whole

WIDTH = 80
ROW = "{:<17} {:>5}  {:<12} {:<23} {}"
ROOM = 17  # for an id in a row
TIE = "\N{NO-BREAK SPACE}"


def run(
    documents: Sequence[str | Path] = (),
    format: str = "text",
    output: str | Path | None = None,
    jobs: int = 1,
) -> int:
    """Audit documents (none named: ours) in so many processes, and print or write the report.

    Returns 1 if any formula is refuted that its document does not itself mark as an erratum, else 0. Raises
    DocumentError for a document that cannot be audited or a format that does not exist, ValueError for an output that
    cannot be written.
    """
    if format not in FORMATS:
        raise DocumentError(f"format {format!r}: choose one of {', '.join(FORMATS)}")
    found = [examined(path, jobs) for path in (documents or our_documents())]
    report = FORMATS[format](found)
    if output is None:
        sys.stdout.write(report)
    else:
        write_whole(Path(output), report)
    return int(any(document.says_no() for document in found))


def as_json(documents: Sequence[Document]) -> str:
    """One array; with several documents, each element also names its own."""
    several = len(documents) > 1
    rows = [({"document": d.name} if several else {}) | v.as_dict() for d in documents for v in d.verdicts]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def text(documents: Sequence[Document]) -> str:
    """A table of at most 80 columns. Each formula stands below its row, and below it what its verdict rests on.

    Readings are numbered, and stand once at the end of their document.
    """
    lines = []
    for document in documents:
        said = [v.reading for each in document.findings for v, _ in each.statements if v.reading]
        readings = {reading: f"[{n}]" for n, reading in enumerate(dict.fromkeys(said), 1)}
        lines += [
            plain(document.name),
            "",
            ROW.format("id", "line", "verdict", "system", "reading" if said else "").rstrip(),
        ]
        for finding in document.findings:
            lines += rows(finding, readings)
        if readings:
            lines += ["", "readings"]
        for reading, number in readings.items():
            lines += wrapped(f"{number:>5} {reading}", 0, 6)
        lines += ["", *wrapped(document.summary(), 0, 4)]
        for kind in ("refuted", "unread"):
            if named := ", ".join(each.verdict.id for each in document.of_kind(kind)):
                lines += wrapped(f"{kind}: {named}", 0, 4)
        lines.append("")
    return "\n".join(lines)


def rows(finding: Finding, readings: dict[str, str]) -> list[str]:
    """A formula's row and what stands below it; where it states several things, a row for each of them as well."""
    own = finding.verdict
    if not finding.parts:
        latex = own.latex if finding.is_code else without_tags(own.latex)[0].strip()
        lines = entry(own.id, str(own.line), latex, (own, finding.outcome), readings)
    else:
        lines = row(own.id, str(own.line), own.verdict, own.system)
        lines += wrapped(f"reason: {finding.own_reason}", 4, 8) if finding.own_reason else []
        before = ""
        for n, part in enumerate(finding.parts, 1):
            name = f"  /{n}" if part[0].id == f"{own.id}/{n}" else f"  {part[0].id}"
            lines += entry(name, "", continued(before, part[0].latex), part, readings)
            before = part[0].latex
    return [*lines, "    erratum: the document itself marks this formula as wrong"] if own.erratum else lines


def entry(name: str, line: str, latex: str, pair: Pair, readings: dict[str, str]) -> list[str]:
    verdict, outcome = pair
    lines = row(name, line, verdict.verdict, verdict.system, readings.get(verdict.reading or "", ""))
    for stretch in latex.splitlines():
        lines += wrapped(stretch.expandtabs(4).rstrip(), 4, 4 + len(stretch) - len(stretch.lstrip()))
    for heading, said in details(verdict, outcome):
        if heading != "reading":
            lines += wrapped(f"{heading}: {said}", 4, 8, pairs=heading == "counterexample")
    return lines


def row(name: str, line: str, verdict: str, system: str | None, reading: str = "") -> list[str]:
    """A row of the table; a name that is too long for it stands above it."""
    name = plain(name)
    above = wrapped(name, 0, 4) if columns(name) > ROOM else []
    return [*above, ROW.format("" if above else name, line, verdict, system or "-", reading).rstrip()]


def wrapped(said: str, first: int, further: int, pairs: bool = False) -> list[str]:
    """Lines of at most 80 columns, where a wide character takes two; `pairs`: what commas part stays together."""
    said = plain(said)
    if pairs:
        said = ", ".join(pair.replace(" ", TIE) for pair in said.split(", "))
    padded = "".join(c + "\0" * (columns(c) - 1) for c in said)
    found = textwrap.wrap(  # one column less where a line may end within a wide character
        padded, WIDTH - ("\0" in padded), initial_indent=" " * first, subsequent_indent=" " * min(further, WIDTH // 2),
        break_on_hyphens=False, drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip
    return [line.replace("\0", "").replace(TIE, " ").rstrip() for line in found]


def plain(said: str) -> str:
    """Without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in said)


def columns(said: str) -> int:
    """The width of a text in a terminal."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in said)


FORMATS: dict[str, Callable[[Sequence[Document]], str]] = {
    "text": text, "json": as_json, "html": page, "errata": errata,
}  # fmt: skip
