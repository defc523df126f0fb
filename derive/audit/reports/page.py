"""Verdicts as one page of HTML that needs nothing else: no script, no network; mathematics as MathML."""

import html
import re
from collections.abc import Sequence
from itertools import groupby

from derive.audit.judging.judge import ALL_SIZES
from derive.audit.reports.finding import Document, Finding, Pair, continued, details, equations
from derive.audit.reports.mathml import mathml
from derive.audit.verdict import KINDS, Verdict

STYLE = """
:root {
  color-scheme: light dark;
  --line: #8884; --shade: #8881; --link: light-dark(#0958c5, #79b8ff);
  --proved: light-dark(#1a7f37, #4ac26b); --conditional: light-dark(#8a5d00, #d4a72c);
  --refuted: light-dark(#cf222e, #ff7b72); --unread: light-dark(#5c656e, #9aa3ab);
}
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere }
h3 { margin: 2rem 0 0 }
a { color: var(--link) }
code, pre { font: 0.9rem/1.5 ui-monospace, monospace }
code { overflow-wrap: anywhere }
pre { margin: 0.4rem 0; padding: 0.5rem 0.7rem; overflow: auto; background: var(--shade); border-radius: 0.3rem }
pre code { overflow-wrap: normal }
math { font-size: 1.15rem; font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", "DejaVu Math TeX Gyre", math }
math[display="block"] { width: fit-content; margin: 0 }
mfrac { padding-inline: 0.12em }
mtable { math-style: normal }
mtd[columnalign="right"] { text-align: right; padding-right: 0 }
mtd[columnalign="left"] { text-align: left }
mtd[columnalign="right"] + mtd[columnalign="left"] { padding-left: 0 }
[mathvariant^="bold"] { font-weight: bold }
.formula { overflow: auto hidden; padding: 0.4rem 0 }
.counts { display: flex; flex-wrap: wrap; gap: 0.3rem 1.5rem; padding: 0; list-style: none }
.counts b { font-size: 1.3rem; margin-right: 0.4rem }
article {
  border: 1px solid var(--line); border-left: 0.4rem solid var(--kind); border-radius: 0.4rem;
  margin: 0.8rem 0; padding: 0.6rem 1rem;
}
article article { margin-left: 0; padding: 0.4rem 0.8rem }
article:target { outline: 2px solid var(--link) }
header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; overflow-wrap: anywhere }
.verdict { color: var(--kind); font-weight: 600 }
.where, dt, summary { color: light-dark(#59636e, #9198a1) }
.folded { display: flex; flex-wrap: wrap; gap: 0 1.5rem; margin-top: 0.3rem; font-size: 0.9rem }
details { min-width: 0 }
details[open] { flex: 1 0 100%; margin-bottom: 0.6rem }
summary { cursor: pointer; width: fit-content }
details h4 { margin: 0.7rem 0 0; font-size: inherit; font-weight: 600 }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.2rem 1rem; margin: 0.5rem 0 0 }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere }
dd > span { display: inline-block; max-width: 100%; overflow: auto hidden; vertical-align: bottom }
dd > .formula { padding: 0 0 0.3rem }
.proved { --kind: var(--proved) }
.conditional { --kind: var(--conditional) }
.refuted { --kind: var(--refuted) }
.unread { --kind: var(--unread) }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 0.6rem }
  article { padding: 0.5rem 0.6rem }
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


def page(documents: Sequence[Document]) -> str:
    """What is refuted first, then every formula in its order: its verdict, what that rests on, and the derivation."""
    meanings = "; ".join(f'<b class="verdict {kind}">{kind}</b>: {meaning}' for kind, meaning in KINDS.items())
    body = [f"<p>{meanings}.</p>"]
    for number, document in enumerate(documents, 1):
        anchors = {id(finding): f"{number}-{n}" for n, finding in enumerate(document.findings, 1)}
        body += [f"<h2>{html.escape(document.name)}</h2>", *summary(document, anchors)]
        for title, findings in groupby(document.findings, key=lambda finding: finding.formula.section.title):
            body += [f"<h3>{html.escape(title)}</h3>"] if title else []
            for finding in findings:
                body += article(finding, anchors[id(finding)])
    return "\n".join([HEAD, *body, "</body>", "</html>", ""])


def summary(document: Document, anchors: dict[int, str]) -> list[str]:
    """How many formulas have which verdict; links to those that are refuted or unread."""
    counts = "".join(f'<li class="verdict {kind}"><b>{len(document.of_kind(kind))}</b>{kind}</li>' for kind in KINDS)
    lines = [f'<ul class="counts">{counts}</ul>']
    for kind in ("refuted", "unread"):
        links = [f'<a href="#{anchors[id(f)]}">{html.escape(f.verdict.id)}</a>' for f in document.of_kind(kind)]
        lines += [f'<p><span class="verdict {kind}">{kind}</span>: {", ".join(links)}</p>'] if links else []
    return lines


def article(finding: Finding, anchor: str) -> list[str]:
    """A formula as its document has it; where it states several things, each of them below it."""
    own = finding.verdict
    latex = [] if finding.is_code else [folded("LaTeX", f"<pre><code>{html.escape(own.latex)}</code></pre>")]
    lines = [
        f'<article class="{own.verdict}" id="{anchor}">',
        header(own, f"line {own.line}"),
        box(own.latex, finding.is_code),
    ]
    if not finding.parts:
        return [*lines, *below((own, finding.outcome), finding.is_code, latex), "</article>"]
    if finding.own_reason:
        lines.append(f"<dl><dt>reason</dt><dd>{marked(finding.own_reason)}</dd></dl>")
    before = ""
    for verdict, outcome in finding.parts:
        lines += [f'<article class="{verdict.verdict}">', header(verdict)]
        lines += [box(continued(before, verdict.latex), finding.is_code)]
        lines += [*below((verdict, outcome), finding.is_code), "</article>"]
        before = verdict.latex
    return [*lines, *foot(latex), "</article>"]


def header(verdict: Verdict, line: str = "") -> str:
    scope = verdict.scope if verdict.scope == ALL_SIZES else ""
    erratum = "marked as an erratum by the document" if line and verdict.erratum else ""
    where = ", ".join(said for said in (line, verdict.system, scope, erratum) if said)
    return (
        f'<header><strong>{html.escape(verdict.id)}</strong> <span class="verdict">{verdict.verdict}</span> '
        f'<span class="where">{html.escape(where)}</span></header>'
    )


def below(pair: Pair, is_code: bool, further: Sequence[str] = ()) -> list[str]:
    """What a verdict rests on; its derivation, and what else there is, folded."""
    verdict, outcome = pair
    told = [(heading, told_of(heading, said, verdict, is_code)) for heading, said in details(verdict, outcome)]
    rows = "".join(f"<dt>{heading}</dt><dd>{said}</dd>" for heading, said in told)
    lines = [f"<dl>{rows}</dl>"] if rows else []
    if not outcome.steps:
        return [*lines, *foot(further)]
    title = "The proof, step by step" if outcome.holds else "What is derived instead, step by step"
    steps = []
    for heading, those in groupby(outcome.steps, key=lambda step: step[0]):
        steps += [f"<h4>{marked(heading)}</h4>", *(box(latex) for _, latex in those)]
    return [*lines, *foot([folded(title, "".join(steps)), *further])]


def foot(parts: Sequence[str]) -> list[str]:
    return ['<div class="folded">', *parts, "</div>"] if parts else []


def folded(title: str, inside: str) -> str:
    return f"<details><summary>{title}</summary>{inside}</details>"


def told_of(heading: str, said: str, verdict: Verdict, is_code: bool) -> str:
    """A detail with its formulas set."""
    if heading in ("correction", "right"):
        return box(said, is_code)
    if heading == "counterexample" and verdict.counterexample:
        return instance(verdict.counterexample, is_code)
    return marked(said)


def instance(found: dict, is_code: bool) -> str:
    """A counterexample: both sides' values, then the sizes and values at which they differ."""

    def shown(side: str) -> str:  # a number or a formula; or words, such as a shape
        return inline(side, is_code) if re.search(r"[=\\]|^-?[\d/]+$", side) else html.escape(side)

    sides = f"left {shown(found['left'])}, right {shown(found['right'])}"
    pairs = [inline(equation, is_code) for equation in equations(found)]
    return f"{sides}, at <span>" + ",</span> <span>".join(pairs) + "</span>" if pairs else sides


def box(latex: str, is_code: bool = False) -> str:
    """A formula in a box of its own, which scrolls where it is too long; code, and what cannot be set, as it is."""
    if is_code:
        return f"<pre><code>{html.escape(latex)}</code></pre>"
    return f'<div class="formula">{mathml(latex) or f"<code>{html.escape(latex)}</code>"}</div>'


def inline(latex: str, is_code: bool = False) -> str:
    return (None if is_code else mathml(latex, "inline")) or f"<code>{html.escape(latex)}</code>"


def marked(said: str) -> str:
    """Words with their `code` and their $formulas$ set."""
    parts = re.split(r"`([^`]+)`|\$([^$]+)\$", said)
    return "".join(
        html.escape(words) + (f"<code>{html.escape(code)}</code>" if code else inline(latex) if latex else "")
        for words, code, latex in zip(parts[::3], [*parts[1::3], None], [*parts[2::3], None], strict=True)
    )
