"""Verdicts as a table for people, as JSON, as a page of HTML, as Markdown; and what `derive audit` does."""

import html
import json
import os
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from derive.audit.audit import audit, our_documents
from derive.audit.document import DocumentError
from derive.audit.verdict import Verdict

WIDTH = 80
Audited = Sequence[tuple[str, Sequence[Verdict]]]  # documents' names and their verdicts
ORDER = ("proved", "conditional", "refuted", "unread")
MEANING = {
    "proved": "true as written",
    "conditional": "true under the reading that is named",
    "refuted": "false under every reading tried",
    "unread": "not understood",
}


def run(documents: Sequence[str | Path] = (), format: str = "text", output: str | Path | None = None) -> int:
    """Audit documents (none named: ours) and print or write the report: what `derive audit` does.

    Returns 1 if any formula is refuted that its document does not itself mark as an erratum, else 0. Raises
    DocumentError for a document that cannot be audited, a format that does not exist, or an output that cannot be
    written.
    """
    if format not in FORMATS:
        raise DocumentError(f"format {format!r}: choose one of {', '.join(FORMATS)}")
    audited = [(shown_name(path), audit(path)) for path in (documents or our_documents())]
    report = FORMATS[format](audited)
    if output is None:
        sys.stdout.write(report)
    else:
        write_whole(Path(output), report)
    return int(any(v.verdict == "refuted" and not v.erratum for _, verdicts in audited for v in verdicts))


def shown_name(path: str | Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise DocumentError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        os.unlink(name)
        raise DocumentError(f"{path}: cannot be written: {error.strerror}") from None


def is_part(verdict: Verdict, verdicts: Sequence[Verdict]) -> bool:
    """Whether it is one of the single relations of a formula that has a verdict as a whole."""
    whole, _, number = verdict.id.rpartition("/")
    return number.isdigit() and any(v.id == whole for v in verdicts)


def summary(verdicts: Sequence[Verdict]) -> str:
    """`39 formulas: 34 proved, 5 conditional, 0 refuted, 0 unread`; formulas of several relations count once."""
    whole = [v for v in verdicts if not is_part(v, verdicts)]
    counts = Counter(v.verdict for v in whole)
    plural = "formula" if len(whole) == 1 else "formulas"
    return f"{len(whole)} {plural}: " + ", ".join(f"{counts[kind]} {kind}" for kind in ORDER)


def details(verdict: Verdict) -> list[tuple[str, str]]:
    """What there is to say beyond the verdict, as (heading, text)."""
    found = []
    if verdict.scope and verdict.verdict in ("proved", "conditional") and verdict.scope != "all sizes":
        found.append(("scope", verdict.scope))
    if verdict.reading:
        found.append(("reading", verdict.reading))
    if verdict.reason:
        found.append(("reason", verdict.reason))
    if verdict.counterexample:
        given = verdict.counterexample
        instance = ", ".join(f"{k} = {v}" for part in (given["sizes"], given["values"]) for k, v in part.items())
        found.append(
            (
                "counterexample",
                f"left {given['left']}, right {given['right']}" + (f", at {instance}" if instance else ""),
            )
        )
    if verdict.correction:
        found.append(("correction", verdict.correction))
    if verdict.erratum:
        found.append(("erratum", "the document itself marks this formula as wrong"))
    return found


def text(audited: Audited) -> str:
    """A table of at most 80 columns; what a verdict rests on stands indented below it."""
    lines = []
    for name, verdicts in audited:
        lines += [name, summary(verdicts), "", f"{'id':<13}{'line':>5}  {'verdict':<12}{'system':<17}formula"]
        for v in verdicts:
            part = is_part(v, verdicts)
            shown_id = f"  /{v.id.rpartition('/')[2]}" if part else v.id
            start = f"{shown_id:<13}{'' if part else v.line:>5}  {v.verdict:<12}{v.system or '-':<17}"
            lines.append(start + shortened(v.latex, WIDTH - len(start)))
            for heading, said in details(v) if part or not has_parts(v, verdicts) else ():
                lines += textwrap.wrap(
                    f"{heading}: {said}",
                    WIDTH,
                    initial_indent=" " * 6,
                    subsequent_indent=" " * 8,
                    break_on_hyphens=False,
                )
        lines.append("")
    return "\n".join(lines)


def has_parts(verdict: Verdict, verdicts: Sequence[Verdict]) -> bool:
    return any(v.id.startswith(f"{verdict.id}/") for v in verdicts)


def shortened(latex: str, width: int) -> str:
    flat = " ".join(latex.split())
    return flat if len(flat) <= width else flat[: max(width - 3, 0)] + "..."


def as_json(audited: Audited) -> str:
    """One array; with several documents, each element also names its own."""
    several = len(audited) > 1
    rows = [({"document": name} if several else {}) | v.as_dict() for name, verdicts in audited for v in verdicts]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def markdown(audited: Audited) -> str:
    """A section a document, an entry a formula."""
    lines = ["# Audit", ""]
    for name, verdicts in audited:
        lines += [f"## {name}", "", f"{summary(verdicts)}.", ""]
        for v in verdicts:
            lines += [
                f"### {v.id}: {v.verdict}",
                "",
                f"Line {v.line}, system {v.system or 'none'}, {v.scope or 'no scope'}.",
                "",
            ]
            lines += ["```latex", v.latex, "```", ""]
            lines += [f"- {heading}: {said}" for heading, said in details(v)] + [""]
    return "\n".join(lines).rstrip("\n") + "\n"


STYLE = """
:root {
  color-scheme: light dark;
  --line: #8884; --proved: #1a7f37; --conditional: #9a6700; --refuted: #cf222e; --unread: #6e7781;
}
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 }
code { font: 0.9rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
article {
  border: 1px solid var(--line); border-left: 0.4rem solid var(--kind); border-radius: 0.4rem;
  margin: 0.8rem 0; padding: 0.6rem 1rem;
}
article.part { margin-left: 2rem }
article header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline }
.verdict { color: var(--kind); font-weight: 600 }
.where { opacity: 0.7 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; margin: 0.5rem 0 0 }
dt { opacity: 0.7 }
dd { margin: 0; overflow-wrap: anywhere }
.proved { --kind: var(--proved) }
.conditional { --kind: var(--conditional) }
.refuted { --kind: var(--refuted) }
.unread { --kind: var(--unread) }
@media (max-width: 30rem) {
  article.part { margin-left: 0.5rem }
  dl { grid-template-columns: 1fr }
  dt { margin-top: 0.4rem }
}
""".strip()

HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit</title>
<style>
{STYLE}
</style>
</head>
<body>
<h1>Audit</h1>"""


def page(audited: Audited) -> str:
    """One page that needs nothing else: no script, no network."""
    body = []
    for name, verdicts in audited:
        body += [f"<h2>{html.escape(name)}</h2>", f"<p>{summary(verdicts)}.</p>"]
        for v in verdicts:
            kinds = f"{v.verdict} part" if is_part(v, verdicts) else v.verdict
            where = f"line {v.line}" + (f", {v.system}" if v.system else "") + (f", {v.scope}" if v.scope else "")
            body += [
                f'<article class="{kinds}" id="{html.escape(v.id, quote=True)}">',
                f'<header><strong>{html.escape(v.id)}</strong> <span class="verdict">{v.verdict}</span> '
                f'<span class="where">{html.escape(where)}</span></header>',
                f"<code>{html.escape(v.latex)}</code>",
            ]
            if said := details(v):
                rows = "".join(f"<dt>{heading}</dt><dd>{marked(heading, what)}</dd>" for heading, what in said)
                body.append(f"<dl>{rows}</dl>")
            body.append("</article>")
    meanings = "; ".join(f"<b>{kind}</b>: {meaning}" for kind, meaning in MEANING.items())
    return "\n".join([HEAD, f"<p>{meanings}.</p>", *body, "</body>", "</html>", ""])


def marked(heading: str, what: str) -> str:
    return f"<code>{html.escape(what)}</code>" if heading == "correction" else html.escape(what)


FORMATS: dict[str, Callable[[Audited], str]] = {"text": text, "json": as_json, "html": page, "markdown": markdown}
