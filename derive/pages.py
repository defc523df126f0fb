"""What `derive show` prints: pages of formulas under headings, as text, LaTeX or HTML."""

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from derive.calculus.equation import Equation
from derive.calculus.text import equation_latex, equation_text


@dataclass(frozen=True)
class Step:
    """Something under the heading of its stage; of words and formulas, `html` is how a page has it."""

    stage: str
    text: str
    latex: str
    html: str = ""


@dataclass(frozen=True)
class Page:
    """A title, what it is about, and its steps in order."""

    title: str
    doc: str
    steps: tuple[Step, ...]

    @property
    def stages(self) -> dict[str, list[Step]]:
        """The steps by their headings."""
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.stage, []).append(step)
        return found


def equation_step(stage: str, equation: Equation) -> Step:
    """An equation as a step."""
    return Step(stage, equation_text(equation), equation_latex(equation))


def escaped(words: str) -> str:
    """Words as LaTeX sets them."""
    named = {"\\": "backslash", "^": "asciicircum", "~": "asciitilde", "<": "less", ">": "greater", "|": "bar"}
    spelled = {c: rf"\text{name}{{}}" for c, name in named.items()}
    return "".join(spelled.get(c, rf"\{c}" if c in "{}_%&#$" else c) for c in words)


def render(pages: Sequence[Page], form: str) -> str:
    """The pages, one after the other, as ``text``, ``latex`` or ``html``."""
    return {"text": _text, "latex": _latex, "html": _html}[form](pages)


def _text(pages: Sequence[Page]) -> str:
    lines: list[str] = []
    for page in pages:
        lines += [page.title, "=" * len(page.title), "", page.doc, ""]
        for stage, inside in page.stages.items():
            lines += [stage, *(textwrap.indent(s.text, "    ") for s in inside), ""]
    return "\n".join(lines)


def _latex(pages: Sequence[Page]) -> str:
    lines: list[str] = []
    for page in pages:
        lines.append(rf"\section*{{{page.title.replace('_', ' ')}}}")
        for stage, inside in page.stages.items():
            body = " \\\\\n".join(f"  & {s.latex}" for s in inside)
            lines += [rf"\paragraph{{{escaped(stage)}}}", r"\begin{align*}", body, r"\end{align*}"]
    return "\n".join(lines) + "\n"


def _html(pages: Sequence[Page]) -> str:
    from latex2mathml.converter import convert

    parts = []
    for page in pages:
        parts += [f"<h1>{html.escape(page.title)}</h1>", f"<p>{html.escape(page.doc)}</p>"]
        for stage, inside in page.stages.items():
            parts.append(f"<h2>{html.escape(stage)}</h2>")
            parts += [f"<div>{s.html or convert(s.latex, display='block')}</div>" for s in inside]
    style = "body{font-family:serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    style += "div{margin:1rem 0;overflow-x:auto}td,th{padding:0 .5rem;text-align:right}tr :first-child{text-align:left}"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(pages[0].title)}</title>"
    )
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )
