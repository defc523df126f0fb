r"""LaTeX as MathML that browsers show as they should; what cannot be set so is left to be shown as code.

latex2mathml does the work. It does not know some spellings, which are replaced before, and some of its elements are not of
MathML Core, which are replaced after.
"""

import html
import re
from itertools import pairwise
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element

from derive.audit.source.document import readable, without_tags

LONGEST = 20_000  # characters: what is longer is no formula that a person would read
# Alignments by the name under which latex2mathml knows them.
ALIGNMENTS = {
    **dict.fromkeys(("align", "aligned", "split"), "align*"),
    **dict.fromkeys(("eqnarray", "gather", "gathered"), "matrix"),
}
BEFORE = (
    (r"\\(?:label\s*\{[^}]*\}|nonumber(?![A-Za-z])|notag(?![A-Za-z]))", " "),
    (r"\\(begin|end)\s*\{(\w+)\*?\}", lambda m: rf"\{m[1]}{{{ALIGNMENTS[m[2]]}}}" if m[2] in ALIGNMENTS else m[0]),
    (r"\\begin\s*\{([bpvBV]?matrix|array)\}", r"{\\begin{\1}"),  # scripts belong to the whole matrix
    (r"\\end\s*\{([bpvBV]?matrix|array)\}", r"\\end{\1}}"),
    (r"\\arg\s*\\(max|min)(?![A-Za-z])", "\\\\operatorname*{arg\N{NO-BREAK SPACE}\\1}"),
    (r"\\arg(?![A-Za-z])", r"\\operatorname{arg}"),
    (r"\\(?:operatorname\*?|mathrm)\s*\{((?:[^{}\\]|\\_)*\\_(?:[^{}\\]|\\_)*)\}", r"\\text{\1}"),
)  # fmt: skip
FUNCTIONS = frozenset({"log", "ln", "exp", "sin", "cos", "tanh", "det", "arg"})
LIMITS = {"msub": "munder", "msubsup": "munderover"}
MOVABLE = frozenset({"max", "min", "&#x02211;", "&#x0220F;"})  # limits below them in a display, beside them in a line
CLOSING = frozenset(")]}|‖∣⟩")
CHILDREN = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
ATTRIBUTES = frozenset(
    {
        "display", "displaystyle", "mathvariant", "stretchy", "fence", "form", "separator", "movablelimits", "accent",
        "width", "linethickness", "columnalign", "columnspacing", "rowspacing", "minsize", "maxsize", "notation",
        "lspace", "rspace",
    }
)  # fmt: skip


def mathml(latex: str, display: str = "block") -> str | None:
    """A formula without its tags as MathML; None where latex2mathml fails or leaves something as LaTeX."""
    if len(latex) > LONGEST:
        return None
    seen = readable(without_tags(latex)[0])
    for pattern, instead in BEFORE:
        seen = re.sub(pattern, instead, seen)
    try:
        formula = convert_to_element(seen, display=display)
        if any(node.get("linebreak") for node in formula.iter()):  # rows without an alignment
            formula = convert_to_element(rf"\begin{{matrix}}{seen}\end{{matrix}}", display=display)
        if not all(map(is_set, formula.iter())):
            return None
        for node in formula.iter():
            improve(node)
        for before, following in (pair for node in formula.iter() for pair in pairwise(node)):
            if following.text in ("−", "+") and before.tag == "mo" and before.text not in CLOSING:
                following.set("form", "prefix")  # a sign, not an operation
        return ElementTree.tostring(formula, encoding="unicode")
    except Exception:  # whatever it stumbles over, the LaTeX itself is shown
        return None


def is_set(node: ElementTree.Element) -> bool:
    """Whether an element is whole, and not a piece of LaTeX that was not understood."""
    text = node.text or ""
    if node.get("linebreak") or (node.tag in ("mi", "mo", "mn") and (text == "&" or text.startswith("\\"))):
        return False
    return len(node) == CHILDREN.get(node.tag, len(node))


def improve(node: ElementTree.Element) -> None:
    """Make of an element what a browser shows right, and keep a document's \\href or \\style from the page."""
    if node.tag == "msup" and node[1].text == "&#x02032;":  # a prime is raised by itself; twice, it is too small
        node.tag = "mrow"
    node.text = html.unescape(node.text) if node.text else node.text
    if node.tag == "mtext":
        node.text = (node.text or "").replace(r"\_", "_")
    if node.tag == "mi" and node.text in FUNCTIONS:
        node.tag = "mo"
        node.attrib |= {"form": "prefix", "lspace": "0.17em", "rspace": "0.17em"}
    if node.tag in LIMITS and (node[0].get("movablelimits") or node[0].text in MOVABLE):
        node.tag = LIMITS[node.tag]
        node[0].set("movablelimits", "true")
    if node.tag == "mover" and node[1].text == "&#x0005E;":  # a hat
        node[1].text = "ˆ"
    if node.get("width") == "negativethinmathspace":
        node.set("width", "-0.17em")
    node.attrib = {key: value for key, value in node.attrib.items() if key in ATTRIBUTES}
