r"""Read a formula's LaTeX into a syntax tree, or refuse it with the reason and the place.

The grammar is latex.lark. Two things are done here in Python, for a grammar would hide them: alignments are split into
their rows, and a flat row of factors is given its shape, by these conventions:

- side by side binds closer than `\odot`: `w^T \delta \odot s` is `(w^T \delta) \odot s`;
- `\sum` extends over the rest of its term, up to the next plus or minus;
- a function's name takes the brackets that follow it; every other name before brackets is a factor;
- a slash divides what stands left of it by the one factor right of it; where that could be misread, it is refused.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

import lark

from derive.audit.formula import (
    Addition,
    Application,
    Clause,
    Derivative,
    Differential,
    Ellipsis,
    Gradient,
    Group,
    Hadamard,
    Matrix,
    Name,
    Node,
    Number,
    Product,
    Quotient,
    Range,
    Relation,
    Scripted,
    Summation,
    Word,
)

FUNCTIONS = frozenset({"sigma", "varphi", "phi", "f", "g", "exp", "log", "ln", "tanh"})
ALIGNMENT = re.compile(r"(align|gather|eqnarray|equation)\*?|aligned|gathered|split")
MARKS = re.compile(r"\\(begin|end)\s*\{(\w+\*?)\}|\\\\(\s*\[[^\]]*\])?|(?<!\\)&|\\(?:label\s*\{[^}]*\}|nonumber|notag)")
SIGNS = {
    **dict.fromkeys(("=", ":=", r"\equiv", r"\triangleq", r"\coloneqq"), "equation"),
    **dict.fromkeys((r"\rightarrow", r"\to"), "update"),
    **dict.fromkeys((r"\leftarrow", r"\gets"), "reversed update"),
}
DEEPEST = 40  # brackets in brackets: no formula has more, and each level costs stack
LONGEST = 20_000  # characters


class Unreadable(ValueError):
    """A formula that is not understood: why, and the offset in its text."""

    def __init__(self, reason: str, at: int | None) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at or 0


def read(latex: str) -> tuple[Clause | Range, ...]:
    """The statements of a formula, in order; raises Unreadable."""
    guard(latex)
    statements: list[Clause | Range] = []
    last: Relation | None = None
    for number, row in enumerate(rows(latex)):
        try:
            found = shape(parser().parse(row))
        except lark.exceptions.VisitError as error:
            if isinstance(error.orig_exc, Unreadable):
                raise error.orig_exc from None
            raise
        except lark.exceptions.UnexpectedInput as error:
            raise refusal(error, row) from None
        for clause in clauses(found, number, last, row):
            statements.append(clause)
            last = clause.relations[-1] if isinstance(clause, Clause) else last
    if not statements:
        raise Unreadable("there is nothing in it", 0)
    return tuple(statements)


def guard(latex: str) -> None:
    """Refuse what is too long or too deep before anything recursive sees it."""
    if len(latex) > LONGEST:
        raise Unreadable(f"it is longer than {LONGEST} characters", LONGEST)
    depth = 0
    for at, character in enumerate(latex):
        depth += (character in "([{") - (character in ")]}")
        if depth > DEEPEST:
            raise Unreadable(f"its brackets are nested deeper than {DEEPEST}", at)


def rows(latex: str) -> Iterator[str]:
    r"""The rows of an alignment, each as long as the whole and blank elsewhere, so that places stay what they are."""
    text, breaks = list(latex), [0]
    open_: list[str] = []
    for mark in MARKS.finditer(latex):
        aligned = all(map(ALIGNMENT.fullmatch, open_))
        if mark[1] == "begin":
            open_.append(mark[2])
        elif mark[1] == "end" and (not open_ or open_.pop() != mark[2]):
            raise Unreadable(f"\\end{{{mark[2]}}} without its \\begin", mark.start())
        if mark[1] and not ALIGNMENT.fullmatch(mark[2]):
            continue
        if mark[0].startswith("\\\\") and not mark[1]:
            if not aligned:
                continue
            breaks.append(mark.start())
        elif mark[0] == "&" and not aligned:
            continue
        elif mark[0] == "&" and not open_:
            raise Unreadable("`&` outside of an alignment", mark.start())
        text[mark.start() : mark.end()] = " " * (mark.end() - mark.start())
    if open_:
        raise Unreadable(f"\\begin{{{open_[-1]}}} without its \\end", len(latex))
    for start, stop in zip(breaks, [*breaks[1:], len(text)], strict=True):
        row = "".join(text[start:stop])
        if row.strip() or len(breaks) == 1:
            yield " " * start + row


@cache
def parser() -> lark.Lark:
    grammar = (files("derive.audit") / "latex.lark").read_text(encoding="utf-8")
    return lark.Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def refusal(error: lark.exceptions.UnexpectedInput, row: str) -> Unreadable:
    if isinstance(error, lark.exceptions.UnexpectedToken) and error.token.type == "$END":
        return Unreadable("it ends too early", len(row.rstrip()))
    at = error.pos_in_stream or 0
    piece = re.match(r"\\[a-zA-Z]+(\s*\{\w*\*?\})?|\\.|.", row[at:], re.DOTALL)
    shown = piece[0] if piece else row[at:]
    known = isinstance(error, lark.exceptions.UnexpectedToken)
    return Unreadable(f"`{shown}` is not expected here" if known else f"`{shown}` is not understood", at)


def shape(tree: lark.Tree) -> list:
    return Shape().transform(tree)


def clauses(found: list, row: int, last: Relation | None, text: str) -> Iterator[Clause | Range]:
    """Chains into relations, `l = 2, 3, ..., L` into a range; a row may go on from the last one's right side."""
    sources = written(found, text)
    position, follows = 0, False
    while position < len(found):
        item = found[position]
        position += 1
        if isinstance(item, lark.Token):
            follows = item.type == "IMPLIES" or (follows and item.type == "QUAD")
            continue
        values = [item]
        while position + 1 < len(found) and comma(found[position]) and bare(found[position + 1]):
            values.append(found[position + 1])
            position += 2
        if any(isinstance(value[0], Ellipsis) for value in values[1:]) and counted(item):
            yield Range(item[0], (item[2], *(value[0] for value in values[1:])), row, at=item[0].at)
            continue
        if len(values) > 1:
            raise Unreadable("a list is not a statement", values[1][0].at)
        if isinstance(item[0], lark.Token):  # it starts with its relation
            if last is None or position != 1:
                raise Unreadable("nothing stands left of the relation", item[0].start_pos)
            item = [last.right, *item]
            sources[id(last.right)] = last.written[1]
        if len(item) == 1:
            raise Unreadable("an expression is no statement: it has no relation such as `=`", item[0].at)
        relations = tuple(
            relation(left, mark, right, sources)
            for left, mark, right in zip(item[0:-2:2], item[1::2], item[2::2], strict=True)
        )
        start = 0
        signs = [r.sign for r in relations]
        for n, sign in enumerate(
            signs
        ):  # `A = B \\rightarrow C = D` is an implication, `w \\rightarrow w - ...` an update
            if sign == "update" and "equation" in signs[:n] and "equation" in signs[n + 1 :]:
                yield Clause(relations[start:n], row, follows)
                follows, start = True, n + 1
        yield Clause(relations[start:], row, follows)
        last, follows = relations[-1], False


def relation(left: Node, mark: lark.Token, right: Node, sources: dict[int, str]) -> Relation:
    written = (sources[id(left)], sources[id(right)])
    return Relation(SIGNS.get(str(mark), "other"), left, right, str(mark), written, at=left.at)


def written(found: list, text: str) -> dict[int, str]:
    """The source of each expression of a row: what stands between the relations and separators around it."""
    flat = [part for item in found for part in (item if isinstance(item, list) else [item])]
    sources: dict[int, str] = {}
    start = 0
    for n, part in enumerate(flat):
        if isinstance(part, lark.Token):
            start = part.end_pos or 0
        else:
            stop = flat[n + 1].start_pos if n + 1 < len(flat) else len(text)
            sources[id(part)] = " ".join(text[start:stop].split())
    return sources


def comma(item: object) -> bool:
    return isinstance(item, lark.Token) and item.type == "COMMA"


def bare(item: object) -> bool:
    return isinstance(item, list) and len(item) == 1


def counted(item: list) -> bool:
    return len(item) == 3 and isinstance(item[0], Name) and item[1] == "="


class Shape(lark.Transformer):
    """Lark's tree into nodes; a flat row of factors into products."""

    def __default__(self, data, children, meta):
        raise AssertionError(f"latex.lark has a rule that reader.py does not know: {data}")

    def start(self, items):
        return items

    def separator(self, items):
        return items[0]

    def clause(self, items):
        return list(items)

    continued = clause

    def expression(self, items):
        if len(items) == 1:
            return items[0]
        return self.signed([lark.Token("SIGN", "+"), *items])

    def signed(self, items):
        signs = [1 if sign == "+" else -1 for sign in items[0::2]]
        return Addition(tuple(zip(signs, items[1::2], strict=True)), at=items[1].at)

    def term(self, items):
        return term(items)

    def operator(self, items):
        return items[0]

    def sum(self, items):
        return items

    def scripted(self, items):
        base, *scripts = items
        sub = [n for kind, n in scripts if kind == "sub"]
        sup = [n for kind, n in scripts if kind == "sup"]
        for kind in (sub, sup):
            if len(kind) > 1:
                raise Unreadable("two scripts of one kind", first(kind[1]).at)
            if kind and isinstance(kind[0], Relation):
                raise Unreadable("a relation in a script", kind[0].at)
        primes = sum(n for kind, n in scripts if kind == "prime")
        below, above = (tuple(kind[0]) if kind else () for kind in (sub, sup))
        return Scripted(base, below, above, primes, at=base.at)

    def sub(self, items):
        return "sub", items[0]

    def sup(self, items):
        return "sup", items[0]

    def prime(self, items):
        return "prime", len(items)

    def argument(self, items):
        return items[0] if isinstance(items[0], list) else [i for i in items if isinstance(i, Node)]

    def limits(self, items):
        return Relation(SIGNS.get(str(items[1]), "other"), items[0], items[2], at=items[0].at)

    def short(self, items):
        token = items[0]
        if token.type == "NUMBER" and len(token) > 1:
            raise Unreadable("put a script of several digits in braces", token.start_pos)
        kinds = {"NUMBER": self.number, "TEXT": self.word, "WORD": self.word}
        return [kinds.get(token.type, self.letter)(items)]

    def differential(self, items):
        return Differential(items[-1], at=items[0].start_pos)

    def gradient(self, items):
        nabla, *scripts, of = items
        if len(scripts) > 1 or any(kind != "sub" or isinstance(n, Relation) or len(n) != 1 for kind, n in scripts):
            raise Unreadable(r"`\nabla` takes one subscript, what the gradient is taken by", nabla.start_pos)
        return Gradient(of, scripts[0][1][0] if scripts else None, at=nabla.start_pos)

    def number(self, items):
        try:
            return Number(Fraction(str(items[0])), at=items[0].start_pos)
        except ValueError:
            raise Unreadable("a number of too many digits", items[0].start_pos) from None

    def letter(self, items):
        text = str(items[0]).lstrip("\\")
        if len(text) == 1 and not text.isascii():  # a Greek letter typed as itself
            text = unicodedata.name(text).split()[-1].lower().replace("lamda", "lambda")
        name = {"top": "T", "intercal": "T", "varepsilon": "epsilon"}.get(text, text)
        return Name(name, at=items[0].start_pos)

    def word(self, items):
        token = items[0]
        text = token[token.index("{") + 1 : -1].strip() if "{" in token else str(token)
        if not text:
            raise Unreadable("an empty text", token.start_pos)
        if text == "delta":
            return Name("word delta", at=token.start_pos)
        return (Name if len(text) == 1 and text.isalpha() else Word)(text, at=token.start_pos)

    def ellipsis(self, items):
        return Ellipsis(at=items[0].start_pos)

    def round(self, items):
        return Group(items[0], "(", at=items[0].at)

    def square(self, items):
        return Group(items[0], "[", at=items[0].at)

    def curly(self, items):
        return Group(items[0], "{", at=items[0].at)

    def braces(self, items):
        """Braces only hold together: `{w}` is w, but `{a + b} c` must not become a + b c."""
        return items[0] if isinstance(items[0], Name | Number | Word) else Group(items[0], "", at=items[0].at)

    def styled(self, items):
        return self.braces(items[1:])

    def styled_letter(self, items):
        return self.number(items[1:]) if items[1].type == "NUMBER" else self.letter(items[1:])

    def accented(self, items):
        accent, name = str(items[0]).lstrip("\\"), self.letter(items[1:])
        return replace(name, text=f"{accent} {name.text}")

    def fraction(self, items):
        return quotient(bare_group(items[1]), bare_group(items[2]), items[0].start_pos)

    def digits_fraction(self, items):
        over, under = re.findall(r"\d", items[0])
        at = items[0].start_pos
        return quotient(Number(Fraction(over), at=at), Number(Fraction(under), at=at), at)

    def matrix(self, items):
        opening, *rows, closing = items
        rows = [r for r in rows if not isinstance(r, lark.Token)]
        if opening != closing:
            raise Unreadable(f"\\begin{{{opening}}} ended by \\end{{{closing}}}", closing.start_pos)
        if len({len(r) for r in rows}) != 1:
            raise Unreadable("a matrix whose rows differ in length", opening.start_pos)
        return Matrix(tuple(tuple(r) for r in rows), at=opening.start_pos)

    def row(self, items):
        return list(items)


def first(items: list | Relation) -> Node:
    return items.left if isinstance(items, Relation) else items[0]


def bare_group(node: Node) -> Node:
    return node.body if isinstance(node, Group) and node.bracket == "" else node


def quotient(over: Node, under: Node, at: int) -> Node:
    if isinstance(over, Differential) and isinstance(under, Differential):
        return Derivative(over.of, under.of, at=at)
    return Quotient(over, under, at=at)


def term(items: list) -> Node:
    """A flat row of factors, operators and sums."""
    for n, item in enumerate(items):
        if isinstance(item, list):  # a sum: it takes the rest
            if n + 1 == len(items):
                raise Unreadable("a sum of nothing", item[0].start_pos)
            return term([*items[:n], summation(item, term(items[n + 1 :]))])
    parts: list[list] = [[]]
    for item in items:
        if isinstance(item, lark.Token) and item.type == "ODOT":
            parts.append([])
        else:
            parts[-1].append(item)
    if any(not part for part in parts):
        at = next(i.start_pos for i in items if isinstance(i, lark.Token) and i.type == "ODOT")
        raise Unreadable("an elementwise product that lacks a side", at)
    shaped = [product(part) for part in parts]
    result = shaped[0]
    for factor in shaped[1:]:
        result = Hadamard(result, factor, at=result.at)
    return result


def product(items: list) -> Node:
    left: Any = None
    last: Any = None
    operator, divided = "", False
    queue = list(items)
    while queue:
        item = queue.pop(0)
        if isinstance(item, lark.Token):
            if left is None or operator or not queue or isinstance(queue[0], lark.Token):
                raise Unreadable(f"`{item}` lacks a side", item.start_pos)
            operator = str(item)
            continue
        if queue and is_function(item) and bracketed(queue[0]):
            item = application(item, queue.pop(0))
        if left is None:
            left = item
        elif operator == "/":
            if isinstance(last, Differential) and isinstance(item, Differential):
                item = Derivative(last.of, item.of, at=last.at)
                left = item if left is last else replace(left, right=item)
            else:
                left, divided = Quotient(left, item, at=left.at), True
        else:
            if divided and not operator and not isinstance(item, Summation | Quotient | Derivative | Group):
                clear = isinstance(item, Scripted) and isinstance(item.base, Group)
                if not clear:
                    raise Unreadable(r"what the slash divides by is not clear: write `\frac`", item.at)
            if isinstance(last, Number) and isinstance(item, Number) and not operator:
                raise Unreadable("two numbers side by side", item.at)
            left = Product(left, item, "*" if operator in ("*", r"\ast") else operator.lstrip("\\"), at=left.at)
        last, operator = item, ""
    assert left is not None
    return left


def is_function(node: Node) -> bool:
    base = node.base if isinstance(node, Scripted) and not node.sub and not node.sup else node
    return isinstance(base, Name) and base.text in FUNCTIONS


def bracketed(node: object) -> bool:
    inner = node.base if isinstance(node, Scripted) else node
    return isinstance(inner, Group) and inner.bracket != ""


def application(function: Node, argument: Node) -> Node:
    if isinstance(argument, Scripted):  # \sigma(z)^2 is the square of \sigma(z)
        assert isinstance(argument.base, Group)
        return replace(argument, base=Application(function, argument.base.body, at=function.at), at=function.at)
    assert isinstance(argument, Group)
    return Application(function, argument.body, at=function.at)


def summation(head: list, body: Node) -> Summation:
    sigma, *scripts = head
    under = [n for kind, n in scripts if kind == "sub"]
    over = [n for kind, n in scripts if kind == "sup"]
    if len(under) != 1 or len(over) > 1 or len(under) + len(over) != len(scripts):
        raise Unreadable(r"`\sum` takes one subscript, its index, and at most one superscript", sigma.start_pos)
    low = under[0].right if isinstance(under[0], Relation) else None
    names: list[Any] = [under[0].left] if isinstance(under[0], Relation) else under[0]
    if isinstance(under[0], Relation) and under[0].sign != "equation":
        raise Unreadable("a condition under a sum is not understood", under[0].at)
    if over and (isinstance(over[0], Relation) or len(over[0]) != 1):
        raise Unreadable("what stands over the sum is not understood", sigma.start_pos)
    if not all(isinstance(n, Name) for n in names):
        raise Unreadable("a sum's index must be a letter", names[0].at)
    return Summation(tuple(names), body, low, over[0][0] if over else None, at=sigma.start_pos)
