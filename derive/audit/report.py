"""Verdicts as a table for people, as JSON, as a page of HTML, as Markdown; and what `derive audit` does."""

import html
import json
import os
import re
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element

from derive.audit.audit import audit, our_documents
from derive.audit.document import DocumentError, without_tags
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
  --line: #8884; --proved: light-dark(#1a7f37, #4ac26b); --conditional: light-dark(#9a6700, #d4a72c);
  --refuted: light-dark(#cf222e, #ff7b72); --unread: light-dark(#6e7781, #8b949e);
}
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere }
code { font: 0.9rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
math { font-size: 1.15rem }
math[display="block"] { width: fit-content; margin: 0 }
mtable { math-style: normal }
mtd[columnalign="right"] { text-align: right; padding-right: 0 }
mtd[columnalign="left"] { text-align: left; padding-left: 0 }
[mathvariant^="bold"] { font-weight: bold }
.formula { overflow: auto hidden; padding: 0.4rem 0 }
article {
  border: 1px solid var(--line); border-left: 0.4rem solid var(--kind); border-radius: 0.4rem;
  margin: 0.8rem 0; padding: 0.6rem 1rem;
}
article.part { margin-left: 2rem }
article header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline }
.verdict { color: var(--kind); font-weight: 600 }
.where, summary { opacity: 0.7 }
details { font-size: 0.85rem }
summary { cursor: pointer; width: fit-content }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.2rem 1rem; margin: 0.5rem 0 0 }
dt { opacity: 0.7 }
dd { margin: 0; overflow: auto hidden; overflow-wrap: anywhere }
dd > span { white-space: nowrap }
dd > .formula { padding: 0 0 0.3rem }
.proved { --kind: var(--proved) }
.conditional { --kind: var(--conditional) }
.refuted { --kind: var(--refuted) }
.unread { --kind: var(--unread) }
@media (max-width: 40rem) {
  article.part { margin-left: 0.5rem }
  dl { grid-template-columns: minmax(0, 1fr) }
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
    """One page that needs nothing else: no script, no network; formulas as MathML, their LaTeX folded below them."""
    body = []
    for number, (name, verdicts) in enumerate(audited, 1):
        body += [f"<h2>{html.escape(name)}</h2>", f"<p>{summary(verdicts)}.</p>"]
        for v in verdicts:
            kinds = f"{v.verdict} part" if is_part(v, verdicts) else v.verdict
            where = f"line {v.line}" + (f", {v.system}" if v.system else "") + (f", {v.scope}" if v.scope else "")
            anchor = re.sub(r"\s+", "-", f"{number}-{v.id}")
            body += [
                f'<article class="{kinds}" id="{html.escape(anchor)}">',
                f'<header><strong>{html.escape(v.id)}</strong> <span class="verdict">{v.verdict}</span> '
                f'<span class="where">{html.escape(where)}</span></header>',
                typeset(v.latex),
            ]
            told = details(v) if not has_parts(v, verdicts) else ()
            if rows := "".join(f"<dt>{heading}</dt><dd>{marked(heading, what, v)}</dd>" for heading, what in told):
                body.append(f"<dl>{rows}</dl>")
            body.append("</article>")
    meanings = "; ".join(f'<b class="verdict {kind}">{kind}</b>: {meaning}' for kind, meaning in MEANING.items())
    return "\n".join([HEAD, f"<p>{meanings}.</p>", *body, "</body>", "</html>", ""])


def marked(heading: str, what: str, verdict: Verdict) -> str:
    """What `details` says, with its formulas typeset."""
    if heading == "correction":
        return typeset(what)
    if heading == "counterexample" and verdict.counterexample:
        return instance(verdict.counterexample)
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(what))


def instance(found: dict[str, Any]) -> str:
    """A counterexample: both sides' values, then the sizes and values at which they differ."""

    def shown(side: str) -> str:  # a number or a formula; or words, such as a shape
        return inline(side) if re.search(r"[=\\]|^-?[\d/]+$", side) else html.escape(side)

    names = {"sigma(z)": r"\sigma(z)"}
    given = [f"{names.get(k, k)} = {v}" for part in (found["sizes"], found["values"]) for k, v in part.items()]
    pairs = [f"<span>{inline(one)}{',' if n < len(given) else ''}</span>" for n, one in enumerate(given, 1)]
    sides = f"left {shown(found['left'])}, right {shown(found['right'])}"
    return f"{sides}, at " + " ".join(pairs) if given else sides


def typeset(latex: str) -> str:
    """A formula in a box of its own, its LaTeX folded below it; as code where it cannot be typeset."""
    code = f"<code>{html.escape(latex)}</code>"
    formula = mathml(latex, "block")
    if formula is None:
        return f'<div class="formula">{code}</div>'
    return f'<div class="formula">{formula}</div><details><summary>LaTeX</summary>{code}</details>'


def inline(latex: str) -> str:
    return mathml(latex, "inline") or f"<code>{html.escape(latex)}</code>"


# Alignments by the name under which latex2mathml knows them.
ALIGNMENTS = {
    **dict.fromkeys(("align", "aligned", "split"), "align*"),
    **dict.fromkeys(("eqnarray", "gather", "gathered"), "matrix"),
}
UNSEEN = re.compile(r"\\(?:label\s*\{[^}]*\}|nonumber|notag)")
ATTRIBUTES = frozenset(
    {
        "display", "displaystyle", "mathvariant", "stretchy", "fence", "form", "separator", "movablelimits", "accent",
        "width", "linethickness", "columnalign", "columnspacing", "rowspacing", "minsize", "maxsize", "notation",
    }
)  # fmt: skip


def mathml(latex: str, display: str) -> str | None:
    """A formula without its tags as MathML; None where latex2mathml fails or leaves something as LaTeX."""
    seen = UNSEEN.sub(" ", without_tags(latex)[0])
    seen = re.sub(
        r"\\(begin|end)\s*\{(\w+)\*?\}",
        lambda m: rf"\{m[1]}{{{ALIGNMENTS[m[2]]}}}" if m[2] in ALIGNMENTS else m[0],
        seen,
    )
    try:
        formula = convert_to_element(seen, display=display)
    except Exception:  # whatever it stumbles over, the LaTeX itself is shown
        return None
    for node in formula.iter():
        if node.tag == "msup" and node[1].text == "&#x02032;":  # a prime is raised by itself; twice, it is too small
            node.tag = "mrow"
        if node.get("linebreak") or node.text == "&" or (node.text or "").startswith("\\"):
            return None
        node.text = html.unescape(node.text) if node.text else node.text
        # a document's \href or \style must not reach the page
        node.attrib = {key: value for key, value in node.attrib.items() if key in ATTRIBUTES}
    return ElementTree.tostring(formula, encoding="unicode")


FORMATS: dict[str, Callable[[Audited], str]] = {"text": text, "json": as_json, "html": page, "markdown": markdown}
