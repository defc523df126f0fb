r"""What stands in a text of Markdown or LaTeX: headings, list items, formulas between their marks, code.

A text is walked through from mark to mark, so that whatever opens first decides: a `$$` in a code span opens nothing,
nor does a backtick in a formula.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from derive.audit.source.manuscript import braces
from derive.audit.source.passage import DocumentError, Lines, Passage

MARKDOWN = re.compile(
    r"""
      ^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n]*$
    | ^[ \t>]*(?P<heading>\#{1,6})[ \t]+(?=\S)
    | ^[ \t>]*(?P<item>\d+[.)]|[-*+◦•])(?=\s)
    | (?P<comment><!--)
    | (?P<ticks>`+)
    | \\(?P<edge>begin|end)\s*\{(?P<environment>\w+\*?)\}
    | \\{1,2}(?P<bracket>[\[\]()])
    | \\[\s\S]
    | (?P<dollars>\$\$?)
    """,
    re.VERBOSE | re.MULTILINE,
)
LATEX = re.compile(
    r"""
      \\(?P<heading>part|chapter|(?:sub){0,2}section|(?:sub)?paragraph)\*?\s*(?:\[[^\]\n]*\]\s*)?\{
    | \\(?P<item>item)(?![a-zA-Z])
    | \\(?P<edge>begin|end)\s*\{(?P<environment>\w+\*?)\}
    | \\(?P<bracket>[\[\]()])
    | \\[\s\S]
    | (?P<dollars>\$\$?)
    """,
    re.VERBOSE,
)
LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
PLAIN = re.compile(r"(equation|displaymath|dmath)\*?")  # environments whose content is the formula
ALIGNED = re.compile(  # environments that belong to the formula
    r"(align|alignat|flalign|xalignat|xxalignat|gather|multline|eqnarray|IEEEeqnarray|darray|numcases|subnumcases)\*?"
)
CLOSES = {  # what ends a formula, and what stands in it that does not
    "$$": re.compile(r"\\[\s\S]|\$\$"),
    r"\]": re.compile(r"\\[\s\S]"),
    r"\)": re.compile(r"\\[\s\S]"),
    r"\\]": re.compile(r"\\\\\]"),  # as Markdown escapes the backslash
    r"\\)": re.compile(r"\\\\\)"),
    "$": re.compile(r"\\[\s\S]|[{}$]"),
}
PARAGRAPH = re.compile(r"\n[ \t\r>]*\n")
IN_LINE = re.compile(r"(?:\\.|[^$\n\\])++\$(?!\$)")
OVER_LINES = re.compile(r"(?=\S)(?:\\[\s\S]|[^$\\])++(?<=\S)\$(?![$\d])")
RELATION = re.compile(
    r"\\[\\{}]|(?P<script>[_^]\s*)?(?P<brace>[{}])"
    r"|(?P<relation>[=≡→]|\\(?:equiv|(?:long)?(?:right|left)arrow|to|gets|triangleq|coloneqq)(?![a-zA-Z]))"
)


class Found(NamedTuple):
    """Something found: where its content stands, and a heading's level or a fence's language."""

    kind: str  # "heading", "item", "formula" or "code"
    start: int
    stop: int
    said: str = ""


def found_in(body: Passage, tex: bool, path: str, lines: Lines) -> list[Found]:
    """What stands in a text, in order; raises DocumentError for a formula that is not closed or empty."""
    return list(Walk(body, tex, path, lines))


def states(latex: str) -> bool:
    r"""Whether there is a relation in it, other than in a script as in `\sum_{i=1}`."""
    scripts: list[bool] = []  # of each open brace, whether it is in a script
    for mark in RELATION.finditer(latex):
        inside = bool(scripts) and scripts[-1]
        if mark["brace"] == "{":
            scripts.append(inside or mark["script"] is not None)
        elif mark["brace"]:
            del scripts[-1:]
        elif mark["relation"] and not inside:
            return True
    return False


class Walk:
    """A way through a text."""

    def __init__(self, body: Passage, tex: bool, path: str, lines: Lines) -> None:
        self.body, self.text, self.tex = body, body.text, tex
        self.path, self.lines = path, lines
        self.braces = braces(self.text) if tex else {}
        self.paragraph = -1  # where the last paragraph looked at ends
        self.given_up: dict[str, int] = {}  # by mark that closes, the end of the last text that has none

    def __iter__(self) -> Iterator[Found]:
        at = 0
        while mark := (LATEX if self.tex else MARKDOWN).search(self.text, at):
            found, at = self.at(mark)
            if found:
                yield found

    def at(self, mark: re.Match[str]) -> tuple[Found | None, int]:
        """What begins at a mark, if anything does, and where the text goes on."""
        end = mark.end()
        match mark.lastgroup:
            case "heading" if self.tex:
                stop = self.braces.get(end - 1, end)
                return Found("heading", end, stop, str(LEVELS.index(mark["heading"]) + 2)), end
            case "heading":
                return Found("heading", end, self.line_end(end), str(len(mark["heading"]))), end
            case "item":
                return Found("item", mark.start("item"), end), end
            case "language":
                return self.fence(mark)
            case "comment":
                close = self.text.find("-->", end) if "-->" not in self.given_up else -1
                if close < 0:
                    self.given_up["-->"] = len(self.text)
                return None, close + 3 if close >= 0 else end
            case "ticks":
                same = re.compile(rf"(?<!`){mark['ticks']}(?!`)").search(self.text, end, self.line_end(end))
                return None, same.end() if same else end
            case "environment":
                return self.environment(mark)
            case "bracket" if mark["bracket"] == "[":
                return self.display(mark[0], mark[0].replace("[", "]"), end)
            case "bracket" if mark["bracket"] == "(":
                return self.inline(mark[0], mark[0].replace("(", ")"), end)
            case "bracket" if mark["bracket"] == "]" and self.tex:
                raise self.error(mark.start(), r"`\]` without its `\[`")
            case "dollars" if mark["dollars"] == "$$":
                return self.display("$$", "$$", end)
            case "dollars" if self.tex:
                return self.inline("$", "$", end)
            case "dollars":
                return self.dollar(end)
        return None, end

    def fence(self, mark: re.Match[str]) -> tuple[Found | None, int]:
        """A code block, which runs to the text's end if nothing closes it; one marked `math` is a formula."""
        sign = mark["fence"]
        close = re.compile(rf"^[ \t>]*{sign[0]}{{{len(sign)},}}[ \t\r]*$", re.MULTILINE).search(self.text, mark.end())
        start, stop = mark.end() + 1, close.start() - 1 if close else len(self.text)
        kind = "formula" if mark["language"] == "math" else "code"
        found = Found(kind, start, stop, mark["language"]) if self.text[start:stop].strip() else None
        return found, close.end() if close else len(self.text)

    def environment(self, mark: re.Match[str]) -> tuple[Found | None, int]:
        """A formula in an environment."""
        name, start = mark["environment"], mark.end()
        whole = ALIGNED.fullmatch(name)
        if not whole and not PLAIN.fullmatch(name) and name != "math":
            return None, start
        if mark["edge"] == "end":
            raise self.error(mark.start(), f"`\\end{{{name}}}` without its `\\begin{{{name}}}`")
        depth = 1
        for edge in re.compile(rf"\\(?:(begin|end)\s*\{{{re.escape(name)}\}}|[\s\S])").finditer(self.text, start):
            depth += {"begin": 1, "end": -1}.get(edge[1], 0)
            if not depth:
                break
        else:
            raise self.error(mark.start(), f"the `\\begin{{{name}}}` opened here is not closed")
        if name == "math":
            return self.claim(start, edge.start()), edge.end()
        found = self.formula(start, edge.start(), f"there is nothing in the `{name}` that begins here")
        if found and whole:
            found = Found("formula", mark.start(), edge.end())
        return found, edge.end()

    def display(self, opening: str, closing: str, start: int) -> tuple[Found | None, int]:
        """A formula of its own."""
        stop = self.closing(closing, start, len(self.text))
        if stop is None or PARAGRAPH.search(self.text, start, stop):
            why = f"the `{opening}` opened here is not closed before the paragraph ends"
            raise self.error(start - len(opening), why)
        return self.formula(start, stop, f"there is nothing between the `{opening}` marks"), stop + len(closing)

    def inline(self, opening: str, closing: str, start: int) -> tuple[Found | None, int]:
        """A formula in a paragraph, between brackets; in LaTeX, also between dollars."""
        end = self.paragraph_end(start)
        stop = self.closing(closing, start, end) if self.given_up.get(closing) != end else None
        if stop is None:
            self.given_up[closing] = end
            if opening == "$":  # its braces do not match: then what is closest
                close = self.text.find("$", start, end)
                return (self.claim(start, close), close + 1) if close >= 0 else (None, start)
            if self.tex:
                raise self.error(
                    start - len(opening), f"the `{opening}` opened here is not closed before the paragraph ends"
                )
            return None, start
        return self.claim(start, stop), stop + len(closing)

    def dollar(self, start: int) -> tuple[Found | None, int]:
        """A formula between dollars in Markdown, where a dollar may be just that."""
        close = IN_LINE.match(self.text, start)
        if close and self.text[start].isdigit() and close[0][-2].isspace() and not states(close[0]):
            return None, start  # a price
        close = close or OVER_LINES.match(self.text, start, self.paragraph_end(start))
        return (self.claim(start, close.end() - 1), close.end()) if close else (None, start)

    def claim(self, start: int, stop: int) -> Found | None:
        """A formula in a line of text, if it states something; GitLab has backticks inside of the dollars."""
        if not self.tex and stop - start > 2 and self.text[start] == self.text[stop - 1] == "`":
            start, stop = start + 1, stop - 1
        return Found("formula", start, stop) if states(self.text[start:stop]) else None

    def formula(self, start: int, stop: int, empty: str) -> Found | None:
        """A display formula; nothing where only definitions stood."""
        if self.text[start:stop].strip():
            return Found("formula", start, stop)
        if self.body.origin(stop) - self.body.origin(start - 1) == stop - start + 1:
            raise self.error(start - 1, empty)
        return None

    def closing(self, mark: str, start: int, stop: int) -> int | None:
        """Where a mark stands next, neither escaped nor, a dollar, in braces."""
        depth = 0
        for found in CLOSES[mark].finditer(self.text, start, stop):
            if found[0] == mark and depth == 0:
                return found.start()
            depth = max(0, depth + (found[0] == "{") - (found[0] == "}"))
        return None

    def paragraph_end(self, at: int) -> int:
        if at > self.paragraph:
            blank = PARAGRAPH.search(self.text, at)
            self.paragraph = blank.start() if blank else len(self.text)
        return self.paragraph

    def line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return end if end >= 0 else len(self.text)

    def error(self, at: int, why: str) -> DocumentError:
        return DocumentError(f"{self.path}:{self.lines.line(self.body.origin(at))}: {why}")
