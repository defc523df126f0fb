r"""A LaTeX manuscript as TeX would see it: without comments and verbatim text, its own macros expanded, its body alone.

Expanded are `\newcommand`, `\renewcommand`, `\providecommand` (with arguments, and a default for the first),
`\DeclareMathOperator`, `\def` with plain parameters, `\let` and `\newenvironment`. A definition holds from its place
on. What a macro makes stands, for messages, where the macro is used; its arguments stand where they are written.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from derive.audit.source.passage import DocumentError, Lines, Passage

SILENT = re.compile(
    r"\\begin\s*\{(?P<verbatim>verbatim\*?|Verbatim|lstlisting|minted|comment|filecontents\*?)\}"
    r"|\\(?:verb|lstinline)\*?(?P<mark>[^\sa-zA-Z*{\[])"
    r"|\\[\s\S]"
    r"|(?P<comment>%)[^\n]*(?:\n[ \t]*(?=\S))?"  # as in TeX, the line's end goes with its comment
)
COMMAND = re.compile(r"\\(?:(?P<edge>begin|end)\s*\{(?P<environment>[^{}\\\n]*)\}|(?P<name>[a-zA-Z]+)|[\s\S])")
DEFINES = re.compile(
    r"\\(newcommand|renewcommand|providecommand|newenvironment|renewenvironment|DeclareRobustCommand"
    r"|DeclareMathOperator|g?def|let)(?![a-zA-Z])"
)
NAME = re.compile(r"\s*(\{\s*)?\\([a-zA-Z@]+|[^a-zA-Z\s])\s*(?(1)\})")
ENVIRONMENT = re.compile(r"\s*\{([^{}\\\n]*)\}")
COUNT = re.compile(r"\s*\[\s*(\d)\s*\]")
PARAMETERS = re.compile(r"\s*((?:#\d){0,9})\s*(?=\{)")
DELIMITED = re.compile(r"[^{}\n]{0,100}(?=\{)")
PARAMETER = re.compile(r"#(\d)")
ALIAS = re.compile(r"\s*\\([a-zA-Z@]+)\s*=?\s*\\([a-zA-Z@]+)")
TOKEN = re.compile(r"\\[a-zA-Z]+|\\[\s\S]|[^}$&]")
MATCHED = re.compile(r"\\[\s\S]|[{}]")
CLOSING = re.compile(r"\\[\s\S]|[{\]]")
WORD_LAST = re.compile(r"\\[a-zA-Z]+\Z")
BEGIN, END = re.compile(r"\\begin\s*\{document\}"), re.compile(r"\\end\s*\{document\}")
KEPT = frozenset(  # what a document is found by stays as it is
    {"begin", "end", "item", "label", "tag", "left", "right", "part", "chapter", "section", "subsection"}
    | {"subsubsection", "paragraph", "subparagraph"}
)
DEEPEST = 50  # macros in macros
FURTHEST = 200  # characters to look for the end of a default's brackets
MOST = 50_000  # macros expanded in one document
LONGEST = 2_000_000  # characters that they may make


@dataclass(frozen=True)
class Macro:
    """`body` with `#1`, ... for its arguments; with a default, the first may stand in square brackets or be left out."""

    body: str
    arguments: int = 0
    default: str | None = None
    final: bool = False  # another name for one of TeX's own commands: not looked at again


def manuscript(text: str, path: str, lines: Lines) -> Passage:
    r"""The body of a `.tex` file; raises DocumentError for an environment left open or macros without an end."""
    given = expanded(Passage.joined(audible(text, path, lines)), path, lines)
    if not (begin := BEGIN.search(given.text)):
        return given
    if not (end := END.search(given.text, begin.end())):
        line = lines.line(given.origin(begin.start()))
        raise DocumentError(f"{path}:{line}: the `\\begin{{document}}` opened here is not closed")
    return given.part(begin.end(), end.start())


def audible(text: str, path: str, lines: Lines) -> Iterator[Passage]:
    """What is left of a text without its comments and verbatim parts."""
    whole, at = Passage.whole(text), 0
    position = 0
    while found := SILENT.search(text, position):
        position = found.end()
        if name := found["verbatim"]:
            end = text.find(f"\\end{{{name}}}", position)
            if end < 0:
                line = lines.line(found.start())
                raise DocumentError(f"{path}:{line}: the `\\begin{{{name}}}` opened here is not closed")
            position = end + len(f"\\end{{{name}}}")
        elif mark := found["mark"]:
            end = text.find(mark, position)
            position = end + 1 if end >= 0 and "\n" not in text[position:end] else position
        elif not found["comment"]:
            continue
        yield whole.part(at, found.start())
        at = position
    yield whole.part(at)


def defines(text: str) -> bool:
    """Whether a text has macros of its own."""
    return bool(DEFINES.search(text))


def expanded(given: Passage, path: str, lines: Lines) -> Passage:
    """A passage without its definitions and with what they stand for; raises DocumentError for macros without an end."""
    return joined(Expansion(path, lines).of(given))


def joined(parts: Iterable[Passage]) -> Passage:
    r"""Parts side by side; a letter that comes to stand behind a command such as `\delta` is kept apart from it."""
    found: list[Passage] = []
    for part in parts:
        if found and part.text[:1].isalpha() and WORD_LAST.search(found[-1].text[-50:]):
            found.append(Passage.placed(" ", part.origins[0]))
        if part.text:
            found.append(part)
    return Passage.joined(found)


class Expansion:
    """The macros known at a place of a document."""

    def __init__(self, path: str, lines: Lines) -> None:
        self.path, self.lines = path, lines
        self.known = {"ensuremath": Macro("#1", 1), "xspace": Macro("")}
        self.count = self.length = 0

    def of(self, given: Passage, depth: int = 0) -> Iterator[Passage]:
        """The parts of a passage, its macros expanded."""
        closing = braces(given.text)
        at = 0
        while found := COMMAND.search(given.text, at):
            yield given.part(at, found.start())
            at = found.end()
            if (stop := self.definition(given.text, found.start(), closing)) is not None:
                at = stop
                continue
            name = f"{found['edge']}{{{found['environment']}}}" if found["edge"] else found["name"] or ""
            macro = self.known.get(name) if name not in KEPT else None
            taken = arguments(macro, given, at, closing) if macro else None
            if macro is None or taken is None:
                yield given.part(found.start(), at)
                continue
            values, at = taken
            made = joined(filled(macro, values, given.origin(found.start())))
            self.bound(name, made, depth)
            yield from [made] if macro.final else self.of(made, depth + 1)
        yield given.part(at)

    def bound(self, name: str, made: Passage, depth: int) -> None:
        self.count, self.length = self.count + 1, self.length + len(made.text)
        if depth >= DEEPEST or self.count > MOST or self.length > LONGEST:
            line = self.lines.line(made.origin(0))
            raise DocumentError(f"{self.path}:{line}: the macro `\\{name}` does not come to an end")

    def definition(self, text: str, at: int, closing: dict[int, int]) -> int | None:
        """Learn the definition that begins at a place, if one does, and say where it ends."""
        if not (head := DEFINES.match(text, at)):
            return None
        at = head.end() + (text[head.end() : head.end() + 1] == "*")
        kind = head[1]
        if kind == "let":
            if not (alias := ALIAS.match(text, at)):
                return None
            self.known[alias[1]] = self.known.get(alias[2], Macro(f"\\{alias[2]}", final=True))
            return alias.end()
        if not (named := (ENVIRONMENT if "environment" in kind else NAME).match(text, at)):
            return None
        name, at = named[named.lastindex or 0], named.end()
        count, default, plain = 0, None, True
        if kind.endswith("def"):
            if not (listed := PARAMETERS.match(text, at)):  # delimited parameters: passed over, and not expanded
                listed, plain = DELIMITED.match(text, at), False
            if listed is None:
                return None
            count, at = len(listed[0].strip()) // 2, listed.end()
        elif number := COUNT.match(text, at):
            count, at = int(number[1]), number.end()
            if option := optional(text, at, closing):
                default, at = text[slice(*option[0])], option[1]
        bodies = []
        for _ in range(2 if "environment" in kind else 1):
            if (body := argument(text, at, closing)) is None:
                return None
            bodies.append(text[slice(*body[0])])
            at = body[1]
        if kind == "DeclareMathOperator":
            bodies = [rf"\operatorname{{{bodies[0]}}}"]
        names = [f"begin{{{name}}}", f"end{{{name}}}"] if "environment" in kind else [name]
        if plain and not (kind == "providecommand" and name in self.known):
            self.known[names[0]] = Macro(bodies[0], count, default)
            self.known |= {other: Macro(body) for other, body in zip(names[1:], bodies[1:], strict=True)}
        return at


def braces(text: str) -> dict[int, int]:
    """Where each `{` of a text has its `}`."""
    open_: list[int] = []
    found = {}
    for mark in MATCHED.finditer(text):
        if mark[0] == "{":
            open_.append(mark.start())
        elif mark[0] == "}" and open_:
            found[open_.pop()] = mark.start()
    return found


def argument(text: str, at: int, closing: dict[int, int]) -> tuple[tuple[int, int], int] | None:
    """The argument that follows a place, in braces or a single token: where it stands, and where the text goes on."""
    while text[at : at + 1].isspace():
        at += 1
    if text[at : at + 1] == "{":
        return ((at + 1, closing[at]), closing[at] + 1) if at in closing else None
    if token := TOKEN.match(text, at):
        return token.span(), token.end()
    return None


def optional(text: str, at: int, closing: dict[int, int]) -> tuple[tuple[int, int], int] | None:
    """The same for an argument in square brackets, if one follows."""
    if text[at : at + 1] != "[":
        return None
    start = at = at + 1
    limit = at + FURTHEST
    while mark := CLOSING.search(text, at, limit):
        if mark[0] == "]":
            return (start, mark.start()), mark.end()
        if mark[0] == "{" and mark.start() not in closing:
            return None
        at = closing[mark.start()] + 1 if mark[0] == "{" else mark.end()
    return None


def arguments(macro: Macro, given: Passage, at: int, closing: dict[int, int]) -> tuple[list[Passage], int] | None:
    """The arguments of a macro used before a place, and where the text goes on; None where one is missing."""
    values = []
    for n in range(macro.arguments):
        taken = optional(given.text, at, closing) if n == 0 and macro.default is not None else None
        if taken is None and n == 0 and macro.default is not None:
            values.append(Passage.placed(macro.default, given.origin(at)))
            continue
        if (taken := taken or argument(given.text, at, closing)) is None:
            return None
        values.append(given.part(*taken[0]))
        at = taken[1]
    return values, at


def filled(macro: Macro, values: list[Passage], at: int) -> Iterator[Passage]:
    """A macro's body with its arguments, as parts."""
    start = 0
    for parameter in PARAMETER.finditer(macro.body):
        yield Passage.placed(macro.body[start : parameter.start()], at)
        if 1 <= (n := int(parameter[1])) <= len(values):
            yield values[n - 1]
        start = parameter.end()
    yield Passage.placed(macro.body[start:], at)
