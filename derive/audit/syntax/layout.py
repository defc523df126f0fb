r"""What of a formula's LaTeX is layout, taken out before the grammar sees it; every place in the text stays what it is.

Alignments become rows with a mark between them. Labels, tags, the text under an `\underbrace` and what a `\phantom` hides are
blanked out. The bars of a norm, which only their order tells apart, are told apart.
"""

import re
from dataclasses import dataclass

DEEPEST = 40  # brackets in brackets: no formula has more, and each level costs stack
LONGEST = 20_000  # characters
NORM_OPEN, NORM_CLOSE, BREAK = "\ufdd0", "\ufdd1", "\ufdd2"  # for latex.lark: the bars of a norm, the end of a row

ALIGNMENT = re.compile(
    r"(align|flalign|gather|multline|eqnarray|equation)\*?|aligned|gathered|split|alignat\*?|alignedat"
)
OPTION = re.compile(r"\[[tcb]\]")  # of aligned: where it stands in its line
PAIRS = re.compile(r"\s*\{\s*\d+\s*\}")  # of alignat: how many pairs of columns it has
COLUMNS = re.compile(r"\s*\{\s*(rcl|lcl|l)\s*\}")  # of an array that is an alignment
DIMENSION = r"\s*-?(?:\d+(?:\.\d+)?|\.\d+)\s*(?:pt|em|ex|mu|mm|cm|in)\s*"
MARKS = re.compile(
    r"\\(?P<way>begin|end)\s*\{(?P<name>\w+\*?)\}"
    rf"|(?P<break>\\\\(?:\s*\[{DIMENSION}\])?|\\newline(?![a-zA-Z]))"
    r"|(?P<column>&)|(?P<brace>[{}])"
    r"|(?P<note>\\(?:label|tag\*?)\s*\{(?:[^{}]|\{[^{}]*\})*\}|\\(?:nonumber|notag)(?![a-zA-Z]))"
    rf"|\\[hm]space\*?\s*\{{(?P<space>{DIMENSION})\}}"
    r"|\\."
)
QUAD = {"pt": 10, "em": 1, "ex": 2, "mu": 18, "mm": 3.5, "cm": 0.35, "in": 0.14}  # how much of each is a \quad
LEADING = re.compile(r"(\s|\{|\\boxed|\\displaystyle|\\(text)?color\s*\{\w*\})*")
LEFT_BRACE = re.compile(r"\\left\s*\\\{\s*\Z")
RIGHT_NULL = re.compile(r"\s*\\right\s*\.")

GOES_ON = re.compile(
    r"(?:\s|~|\\[,;:! ]|\\q?quad(?![a-zA-Z]))*"
    r"(?P<operator>[-+\u2212*\u2299]|\\(?:odot|circ|cdot|times|ast|star|otimes)(?![a-zA-Z]))"
)
JOINS = re.compile(r"\s*(=|\+|\\(equiv|approx|odot|cdot|times)(?![a-zA-Z]))")
UNFINISHED = ("+", "-", "=", "*", "\u2212", r"\odot", r"\cdot", r"\times", r"\equiv", r"\leftarrow", r"\rightarrow")
RELATION = re.compile(r"[{}]|=|<|>|\\(?:equiv|approx|leq?|geq?|to|gets|leftarrow|rightarrow)(?![a-zA-Z])")

DECORATION = re.compile(
    r"\\(?:text(?:rm|it|bf|sf|tt|normal)?|mbox)\s*\{[^{}]*\}"  # bars and brackets in words are none
    r"|\\(?P<brace>under|over)brace(?![a-zA-Z])|(?P<phantom>\\[hv]?phantom)(?![a-zA-Z])"
    r"|(?:\\(?P<side>left|right|[bB]igg?[lr])\s*)?(?P<bars>\\\||\\[lr]?Vert(?![a-zA-Z])|\u2016|\|\|)"
    rf"|\\\\|\\?(?P<bracket>[{{}}]|[\[\]()])|\\.|{BREAK}"
)
NOTHING = re.compile(r"(?<=[=+&-])\s*\{\s*\}|(?<!\\)\{\s*\}(?=\s*[=+&-])")  # `{}` beside a sign is no argument
SCRIPT = {"under": re.compile(r"\s*_\s*"), "over": re.compile(r"\s*\^\s*")}
ONE = re.compile(rf"\\[a-zA-Z]+(\s*\{{[^{{}}]*\}})?|\\.|[^\s{{}}\\{BREAK}]")  # what a script without braces is


class Unreadable(ValueError):
    """A formula that is not understood: why, and the offset in its text."""

    def __init__(self, reason: str, at: int | None) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at or 0


def guard(latex: str) -> None:
    """Refuse what is too long or too deep before anything recursive sees it."""
    if len(latex) > LONGEST:
        raise Unreadable(f"it is longer than {LONGEST} characters", LONGEST)
    depth = 0
    for at, character in enumerate(latex):
        if character in (NORM_OPEN, NORM_CLOSE, BREAK):
            raise Unreadable("a character that no text may hold", at)
        depth += (character in "([{") - (character in ")]}")
        if depth > DEEPEST:
            raise Unreadable(f"its brackets are nested deeper than {DEEPEST}", at)


def rows(latex: str) -> str:
    """The text with a mark where a row ends; one that begins or ends with an operator is one with its neighbour."""
    text, breaks = unaligned(latex)
    shown = "".join(text)
    before = 0
    for n, (stop, start) in enumerate(breaks):
        after = breaks[n + 1][0] if n + 1 < len(breaks) else len(latex)
        first = going_on(latex, shown, (before, stop), (start, after))
        if first is None:
            text[stop] = BREAK
        else:
            text[start:first] = " " * (first - start)
        before = start
    return NOTHING.sub(lambda nothing: " " * len(nothing[0]), "".join(text))


@dataclass
class Opened:
    """An environment or a brace that is not closed yet; what is layout is blanked out, at its end too."""

    name: str
    layout: bool = False
    null: bool = False  # whether a `\left\{` before it was blanked out, whose `\right.` follows its end
    columns: int = 0  # how many `&` its row has so far

    @property
    def environment(self) -> bool:
        return self.name != "{"

    def parts_here(self, mark: re.Match[str]) -> bool:
        """Whether an `&` parts two statements: every second one does, of `eqnarray` every third, if no sign is at it."""
        self.columns += 1
        if self.columns % (3 if self.name.startswith(("eqnarray", "array")) else 2):
            return False
        latex, at = mark.string, mark.start()
        return not (latex[max(at - 40, 0) : at].rstrip().endswith(UNFINISHED) or JOINS.match(latex, at + 1))


def unaligned(latex: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The text without alignments, labels and tags, and where its rows break."""
    text = list(latex)
    breaks: list[tuple[int, int]] = []
    opened: list[Opened] = []
    for mark in MARKS.finditer(latex):
        start, stop = mark.span()
        aligned = all(o.layout for o in opened)
        layout = False
        if mark["way"] == "begin":
            opened.append(begun(mark, text, opened, breaks[-1][1] if breaks else 0))
            layout = opened[-1].layout
            stop = argument(mark) if layout else stop
        elif mark["way"] == "end":
            while opened and not opened[-1].environment:
                opened.pop()
            if not opened or opened[-1].name != mark["name"]:
                raise Unreadable(f"\\end{{{mark['name']}}} without its \\begin", start)
            closed = opened.pop()
            layout = closed.layout
            if closed.null and (null := RIGHT_NULL.match(latex, stop)):
                stop = null.end()
            if layout:  # what follows belongs to no row
                breaks.append((start, stop))
        elif mark["brace"] == "{":
            opened.append(Opened("{"))
        elif mark["brace"]:
            layout = bool(opened) and not opened[-1].environment and opened.pop().layout
        elif mark["space"]:
            text[start:stop] = (r"\quad" if wide(mark["space"]) else "").ljust(stop - start)
        elif mark["break"] and aligned:
            layout = True
            if not any(o.name.startswith("multline") for o in opened):
                breaks.append((start, stop))
                for o in opened:
                    o.columns = 0
        elif mark["column"] and aligned:
            innermost = next((o for o in reversed(opened) if o.environment), None)
            if innermost is None:
                raise Unreadable("`&` outside of an alignment", start)
            if innermost.parts_here(mark):
                text[start] = ","
            else:
                layout = True
        if layout or mark["note"]:
            text[start:stop] = " " * (stop - start)
    for o in reversed(opened):
        if o.environment:
            raise Unreadable(f"\\begin{{{o.name}}} without its \\end", len(latex))
        if o.layout:
            raise Unreadable("a brace is not closed", len(latex))
    return text, breaks


def begun(mark: re.Match[str], text: list[str], opened: list[Opened], row: int) -> Opened:
    r"""An environment. If it is an alignment, the braces around it (`\boxed{`, `\left\{`) are layout as well."""
    if sum(o.environment for o in opened) >= DEEPEST:
        raise Unreadable(f"its environments are nested deeper than {DEEPEST}", mark.start())
    found = Opened(mark["name"])
    array = mark["name"] == "array" and COLUMNS.match(mark.string, mark.end())
    if not (array or ALIGNMENT.fullmatch(mark["name"])) or any(o.environment and not o.layout for o in opened):
        return found
    found.layout = True
    before = "".join(text[row : mark.start()])
    brace = LEFT_BRACE.search(before[-20:])
    stop = mark.start() - (len(before[-20:]) - brace.start()) if brace else mark.start()
    if LEADING.fullmatch(before[: stop - row]):
        found.null = bool(brace)
        for o in opened:
            o.layout = True
        text[row : mark.start()] = " " * (mark.start() - row)
    elif not all(o.layout for o in opened):
        raise Unreadable("an alignment inside of braces", mark.start())
    return found


def argument(mark: re.Match[str]) -> int:
    """Where the beginning of an alignment ends, with its argument."""
    name = mark["name"]
    pattern = COLUMNS if name == "array" else PAIRS if name.startswith(("alignat", "alignedat")) else OPTION
    found = pattern.match(mark.string, mark.end())
    return found.end() if found else mark.end()


def wide(space: str) -> bool:
    r"""Whether a space is as wide as a `\quad`, which parts statements."""
    space = space.strip()
    return float(space[:-2]) >= QUAD[space[-2:]]


def going_on(latex: str, shown: str, above: tuple[int, int], row: tuple[int, int]) -> int | None:
    """Where a row that goes on from the one above begins; None for one that is a statement of its own."""
    start, stop = row
    found = GOES_ON.match(shown, start, stop)
    if found is None:
        return start if shown[slice(*above)].rstrip().endswith(UNFINISHED) else None
    at = found.start("operator")
    if found["operator"] in "-\u2212" and relates(shown[at:stop]):
        if "&" in latex[start:at]:
            raise Unreadable("whether this row goes on from the one above is not clear", at)
        return None  # `-a &= b` has a left side
    return at


def relates(row: str) -> bool:
    """Whether a relation stands in a row, outside of braces."""
    depth = 0
    for mark in RELATION.finditer(row):
        if mark[0] in "{}":
            depth += 1 if mark[0] == "{" else -1
        elif depth == 0:
            return True
    return False


def plain(latex: str) -> str:
    """The text without decoration, and with the bars of norms told apart."""
    text = list(latex)
    closing = braces(latex)
    norms = [False]  # whether a norm is open, for each bracket that is
    for mark in DECORATION.finditer(latex):
        start, stop = mark.span()
        if text[stop - 1] == " ":  # it was part of what is blanked out
            continue
        if mark["phantom"]:
            opening = blanks(latex, stop)
            if opening in closing:
                stop = closing[opening] + 1
                text[start:stop] = " " * (stop - start)
        elif mark["brace"]:
            opening = blanks(latex, stop)
            script = SCRIPT[mark["brace"]].match(latex, closing[opening] + 1) if opening in closing else None
            if script:
                label = ONE.match(latex, script.end())
                stop = closing[script.end()] + 1 if script.end() in closing else label.end() if label else script.end()
                text[script.start() : stop] = " " * (stop - script.start())
        elif mark["bars"]:
            opens = (mark["side"] or "").endswith(("left", "l")) or mark["bars"] == r"\lVert"
            closes = (mark["side"] or "").endswith(("right", "r")) or mark["bars"] == r"\rVert"
            norms[-1] = opens or not (closes or norms[-1])
            text[start:stop] = (NORM_OPEN if norms[-1] else NORM_CLOSE).rjust(stop - start)
        elif mark[0] == BREAK:
            norms = [False]
        elif mark["bracket"] and mark["bracket"] in "([{":
            norms.append(False)
        elif mark["bracket"] and len(norms) > 1:
            norms.pop()
    return "".join(text)


def blanks(latex: str, at: int) -> int:
    """Where the blanks end that begin at a place."""
    return at + len(latex[at:]) - len(latex[at:].lstrip())


def braces(latex: str) -> dict[int, int]:
    """Where each brace that opens is closed."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for mark in re.finditer(r"\\.|[{}]", latex):
        if mark[0] == "{":
            opened.append(mark.start())
        elif mark[0] == "}" and opened:
            pairs[opened.pop()] = mark.start()
    return pairs
