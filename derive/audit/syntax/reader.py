r"""Read a formula's LaTeX into a syntax tree, or refuse it with the reason and the place.

The grammar is latex.lark. What is layout is taken out before (layout.py), and what the grammar finds becomes nodes
(shape.py), by these conventions:

- side by side binds closer than `\odot`: `w^T \delta \odot s` is `(w^T \delta) \odot s`; `*`, `\star`, `\cdot` and
  their kin bind as if side by side;
- `\sum` and `\max_k` extend over the rest of their term, up to the next plus or minus;
- a function's name takes the brackets that follow it; every other name before brackets is a factor, but before a list,
  as in `\xi(t, y)`, it is a function too;
- `\log`, `\ln`, `\exp` and `\tanh` without brackets take the next factor; where more follows, it is refused;
- a slash divides what stands left of it by the one factor right of it; where that could be misread, it is refused.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import cast

import lark

from derive.audit.syntax.formula import Clause, Ellipsis, Name, Node, Range, Relation
from derive.audit.syntax.layout import Unreadable, guard, plain, rows
from derive.audit.syntax.shape import Shape, sign

__all__ = ["Unreadable", "parser", "read"]

DEEPEST = 100  # nodes in nodes: what reads the tree calls itself


def read(latex: str) -> tuple[Clause | Range, ...]:
    """The statements of a formula, in order; raises Unreadable."""
    guard(latex)
    text = rows(latex)
    try:
        parsed = cast(list, parser().parse(plain(text)))
    except lark.exceptions.UnexpectedInput as error:
        raise refusal(error, text) from None
    statements: list[Clause | Range] = []
    last: Relation | None = None
    number, start = 0, 0
    stops = [mark.start_pos for mark in parsed[1::2]]  # the rows, with the marks that part them between
    for row, stop in zip(parsed[0::2], [*stops, len(text)], strict=True):
        for clause in clauses(row, number, last, written(row, text, start, stop)):
            statements.append(clause)
            last = clause.relations[-1] if isinstance(clause, Clause) else last
        number += bool(row)
        start = stop + 1
    if not statements:
        raise Unreadable("there is nothing in it", 0)
    return tuple(statements)


@cache
def parser() -> lark.Lark:
    grammar = (files("derive.audit.syntax") / "latex.lark").read_text(encoding="utf-8")
    return lark.Lark(grammar, parser="lalr", transformer=Shape(), maybe_placeholders=False)


def refusal(error: lark.exceptions.UnexpectedInput, text: str) -> Unreadable:
    at = error.pos_in_stream or 0
    if isinstance(error, lark.exceptions.UnexpectedToken) and error.token.type in ("$END", "BREAK"):
        end = len(text) if error.token.type == "$END" else at
        return Unreadable("it ends too early", len(text[:end].rstrip()))
    piece = re.match(r"\\[a-zA-Z]+(\s*\{\w*\*?\})?|\\.|.", text[at:], re.DOTALL)
    shown = piece[0] if piece else text[at:]
    known = isinstance(error, lark.exceptions.UnexpectedToken)
    return Unreadable(f"`{shown}` is not expected here" if known else f"`{shown}` is not understood", at)


def clauses(found: list, row: int, last: Relation | None, sources: dict[int, str]) -> Iterator[Clause | Range]:
    """Chains into relations, `l = 2, 3, ..., L` into a range; a row may go on from the last one's right side."""
    position, follows = 0, False
    opening = True  # nothing but space has come yet
    while position < len(found):
        item = found[position]
        position += 1
        if isinstance(item, lark.Token):
            follows = item.type == "IMPLIES" or (follows and item.type in ("QUAD", "BOX", "OPEN"))
            opening = opening and item.type == "QUAD"
            continue
        values = [item]
        while position + 1 < len(found) and comma(found[position]) and bare(found[position + 1]):
            values.append(found[position + 1])
            position += 2
        if any(isinstance(value[0], Ellipsis) for value in values[1:]) and counted(item):
            yield Range(item[0], (item[2], *(value[0] for value in values[1:])), row, at=item[0].at)
            opening = False
            continue
        if len(values) > 1:
            raise Unreadable("a list is not a statement", values[1][0].at)
        if isinstance(item[0], lark.Token):  # it starts with its relation
            if last is None or not opening:
                raise Unreadable("nothing stands left of the relation", item[0].start_pos)
            item = [last.right, *item]
            sources[id(last.right)] = last.written[1]
        if len(item) == 1:
            raise Unreadable("an expression is no statement: it has no relation such as `=`", item[0].at)
        relations = tuple(
            relation(left, mark, right, sources)
            for left, mark, right in zip(item[0:-2:2], item[1::2], item[2::2], strict=True)
        )
        equations = [n for n, r in enumerate(relations) if r.sign == "equation"]
        start = 0
        for n, r in enumerate(relations):
            # `A = B \rightarrow C = D` is an implication, `w \rightarrow w - ...` an update
            if r.sign == "update" and equations and equations[0] < n < equations[-1]:
                yield Clause(relations[start:n], row, follows)
                follows, start = True, n + 1
        yield Clause(relations[start:], row, follows)
        last, follows, opening = relations[-1], False, False


def relation(left: Node, mark: lark.Token, right: Node, sources: dict[int, str]) -> Relation:
    return Relation(sign(mark), left, right, str(mark), (sources[id(left)], sources[id(right)]), at=left.at)


def written(found: list, text: str, start: int, stop: int) -> dict[int, str]:
    """The source of each expression of a row: what stands between the relations and separators around it."""
    flat = [part for item in found for part in (item if isinstance(item, list) else [item])]
    sources: dict[int, str] = {}
    for part, following in pairwise([*flat, None]):
        if isinstance(part, lark.Token):
            start = part.end_pos or 0
        else:
            shallow(part)
            source = text[start : following.start_pos if following else stop].strip()
            while source.endswith("\\"):  # of a space, `\ `
                source = source[:-1].rstrip()
            sources[id(part)] = " ".join(source.split())
    return sources


def shallow(expression: Node) -> None:
    """Refuse a tree so deep that those who call themselves to read it would not come back."""
    pending: list[tuple[object, int]] = [(expression, 1)]
    while pending:
        part, depth = pending.pop()
        if isinstance(part, tuple):
            pending += [(each, depth) for each in part]
        elif isinstance(part, Node):
            if depth > DEEPEST:
                raise Unreadable(f"its factors and brackets are nested deeper than {DEEPEST}", part.at)
            pending += [(each, depth + 1) for each in vars(part).values()]


def comma(item: object) -> bool:
    return isinstance(item, lark.Token) and item.type == "COMMA"


def bare(item: object) -> bool:
    return isinstance(item, list) and len(item) == 1


def counted(item: list) -> bool:
    return len(item) == 3 and isinstance(item[0], Name) and item[1] == "="
