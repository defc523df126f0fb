r"""From what the grammar finds to nodes: each rule of latex.lark has its method; a flat row of factors gets its shape.

The conventions by which a row is shaped stand in reader.py.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import lark

from derive.audit.syntax.formula import (
    Addition,
    Application,
    Call,
    Cases,
    Derivative,
    Differential,
    Ellipsis,
    Extremum,
    Gradient,
    Group,
    Hadamard,
    Listing,
    Matrix,
    Name,
    Node,
    Norm,
    Number,
    Probability,
    Product,
    Quotient,
    Relation,
    Root,
    Scripted,
    Summation,
    Word,
)
from derive.audit.syntax.layout import Unreadable

TAKES_BRACKETS = frozenset({"sigma", "varphi", "phi", "f", "g"})  # letters: a factor where no brackets follow
TAKES_A_FACTOR = frozenset({"exp", "log", "ln", "tanh"})  # with or without brackets
NAMED = frozenset(
    {"rot180", "diag", "softmax", "ReLU", "sigmoid", "logistic", "softplus", "upsample", "sign", "tr", "vec"}
)
FUNCTIONS = {name.lower(): name for name in TAKES_A_FACTOR | NAMED | {"max", "min"}}
PROBABILITIES = frozenset({"P", "p", "mathbb P"})
SENTENCES = frozenset(
    {"if", "iff", "for", "for all", "when", "where", "unless", "otherwise", "else", "or", "and", "with", "so", "hence"}
)

SIGNS = {
    **dict.fromkeys(("=", ":=", r"\equiv", r"\triangleq", r"\coloneqq", "\u2261"), "equation"),
    **dict.fromkeys((r"\rightarrow", r"\to", "\u2192"), "update"),
    **dict.fromkeys((r"\leftarrow", r"\longleftarrow", r"\gets", "\u2190"), "reversed update"),
}
OPERATORS = {
    r"\ast": "*",
    "\u2217": "*",
    "\u00b7": "cdot",
    "\u22c5": "cdot",
    "\u00d7": "times",
    "\u22c6": "star",
    "\u2297": "otimes",
    "\u229b": "circledast",
}
SPELLED = {
    "top": "T",
    "intercal": "T",
    "varepsilon": "epsilon",
    "Pr": "P",
    "\u2113": "ell",
    "\u03d5": "phi",
    "\u03f5": "epsilon",
}


@dataclass(frozen=True)
class Event(Node):
    r"""`(t = 1 \mid z)`, which only a probability may have before it."""

    event: Relation
    given: Node | None


def sign(mark: str) -> str:
    return "equation" if mark.startswith((r"\stackrel", r"\overset")) else SIGNS.get(mark, "other")


class Shape(lark.Transformer):
    """The methods take what a rule has found, in order, and are called while it is parsed."""

    def start(self, items):
        return items

    line = start

    def separator(self, items):
        return items[0]

    def clause(self, items):
        return list(items)

    continued = chain = clause

    # -- rows of terms and factors --------------------------------------------------------------------------------

    def expression(self, items):
        if len(items) == 1:
            return items[0]
        return self.signed([lark.Token("SIGN", "+"), *items])

    def signed(self, items):
        signs = [1 if mark == "+" else -1 for mark in items[0::2]]
        return Addition(tuple(zip(signs, items[1::2], strict=True)), at=items[1].at)

    def term(self, items):
        return term(items)

    def operator(self, items):
        return items[0]

    def sum(self, items):
        return items

    extremum = sum

    def underset(self, items):
        _, *below, kind = items
        return [kind, ("sub", nodes(below))]

    # -- scripts --------------------------------------------------------------------------------------------------

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
        if isinstance(base, Norm):
            if below not in ((), (Number(Fraction(2)),)):
                raise Unreadable("only the Euclidean norm is understood", below[0].at)
            below = ()
        if not (below or above or primes):
            return base
        return Scripted(base, below, above, primes, at=base.at)

    def sub(self, items):
        return "sub", items[0]

    def sup(self, items):
        return "sup", items[0]

    def prime(self, items):
        return "prime", len(items)

    def argument(self, items):
        if isinstance(items[0], list):
            return items[0]
        found = nodes(self.short([i]) if isinstance(i, lark.Token) and i.type == "TRANSPOSE" else i for i in items)
        if len(found) == 1 and isinstance(found[0], Product) and not found[0].operator:
            left, right = found[0].left, found[0].right
            if isinstance(left, Group) and left.bracket in ("(", "[") and right == Name("T"):
                return [left, right]  # `^{(l)T}`: a layer and a transpose
        return found

    def limits(self, items):
        return relation(items)

    def styled_argument(self, items):
        return [self.styled(items)]

    def short(self, items):
        token = items[0]
        if token.type == "NUMBER" and len(token) > 1:
            raise Unreadable("put a script of several digits in braces", token.start_pos)
        kinds = {"NUMBER": self.number, "TEXT": self.word, "WORD": self.word}
        return [kinds.get(token.type, self.letter)(items)]

    # -- derivatives ----------------------------------------------------------------------------------------------

    def differential(self, items):
        partial, of = items[0], single(items[1])
        if isinstance(of, Differential | Gradient):
            raise Unreadable("a derivative of a derivative", of.at)
        return Differential(of, at=partial.start_pos)

    def gradient(self, items):
        nabla, *scripts, of = items
        if len(scripts) > 1 or any(kind != "sub" or isinstance(n, Relation) or len(n) != 1 for kind, n in scripts):
            raise Unreadable(r"`\nabla` takes one subscript, what the gradient is taken by", nabla.start_pos)
        of = single(of)
        if isinstance(of, Differential | Gradient):
            raise Unreadable("a derivative of a derivative", of.at)
        return Gradient(of, scripts[0][1][0] if scripts else None, at=nabla.start_pos)

    # -- symbols --------------------------------------------------------------------------------------------------

    def number(self, items):
        try:
            return Number(Fraction(str(items[0])), at=items[0].start_pos)
        except ValueError:
            raise Unreadable("a number of too many digits", items[0].start_pos) from None

    def power_of_ten(self, items):
        raise Unreadable(r"write a power of ten as `10^{...}`", items[0].start_pos)

    def letter(self, items):
        text = str(items[0]).lstrip("\\")
        text = SPELLED.get(text, text)
        if len(text) == 1 and not text.isascii():  # a Greek letter typed as itself
            name = unicodedata.name(text).split()[-1].lower().replace("lamda", "lambda")
            text = name if text.islower() else name.capitalize()
        return Name(text, at=items[0].start_pos)

    def word(self, items):
        token = items[0]
        text = token[token.index("{") + 1 : -1] if "{" in token else str(token)
        text = " ".join(re.sub(r"\A\s*\\rm\b|\\", "", text).split())
        if not text:
            raise Unreadable("an empty text", token.start_pos)
        if text == "delta":
            return Name("word delta", at=token.start_pos)
        if text.isascii() and text.isdigit():
            return self.number([lark.Token("NUMBER", text, start_pos=token.start_pos)])
        return (Name if len(text) == 1 and text.isalpha() and text.isascii() else Word)(text, at=token.start_pos)

    def rot180(self, items):
        return Name("rot180", at=items[0].start_pos)

    def ellipsis(self, items):
        return Ellipsis(at=items[0].start_pos)

    def accented(self, items):
        accent, inner = str(items[0]).lstrip("\\"), items[1]
        base = inner.base if isinstance(inner, Scripted) and not inner.primes else inner
        if not isinstance(base, Name):
            raise Unreadable("an accent over more than a letter", items[0].start_pos)
        name = replace(base, text=f"{accent} {base.text}", at=items[0].start_pos)
        return replace(inner, base=name, at=name.at) if isinstance(inner, Scripted) else name

    def accented_letter(self, items):
        return self.accented([items[0], self.letter(items[1:])])

    # -- brackets -------------------------------------------------------------------------------------------------

    def round(self, items):
        found = nodes(items)
        return Group(found[0], "(", at=found[0].at) if len(found) == 1 else Listing(tuple(found), at=found[0].at)

    def square(self, items):
        return self.bracketed(items, "[")

    def curly(self, items):
        return self.bracketed(items, "{")

    def bracketed(self, items, bracket):
        found = nodes(items)
        body = found[0] if len(found) == 1 else Listing(tuple(found), at=found[0].at)
        return Group(body, bracket, at=body.at)

    def event(self, items):
        given = nodes(items[4:])
        listed = Listing(tuple(given), at=given[0].at) if len(given) > 1 else given[0] if given else None
        return Event(relation(items[:3]), listed, at=items[0].at)

    def braces(self, items):
        """Braces only hold together: `{w}` is w, but `{a + b} c` must not become a + b c."""
        return items[0] if isinstance(items[0], Name | Number | Word | Group) else Group(items[0], "", at=items[0].at)

    def styled(self, items):
        if items[0] != r"\mathbb":
            return self.braces(items[1:])
        if not isinstance(items[1], Name):  # the indicator function, for one
            raise Unreadable(r"`\mathbb` around more than a letter", items[0].start_pos)
        return replace(items[1], text=f"mathbb {items[1].text}")

    def boxed(self, items):
        return self.braces(items[1:])

    def styled_letter(self, items):
        return self.styled([items[0], self.number(items[1:]) if items[1].type == "NUMBER" else self.letter(items[1:])])

    def norm(self, items):
        body = next(n for n in items if isinstance(n, Node))
        return Norm(body, at=items[0].start_pos)

    # -- fractions and roots --------------------------------------------------------------------------------------

    def under(self, items):
        return items[0][0] if isinstance(items[0], list) else items[0]

    def fraction(self, items):
        return quotient(self.under(items[1:]), items[2], items[0].start_pos)

    def digit_fraction(self, items):
        at = items[0].start_pos
        return quotient(Number(Fraction(items[0][-1]), at=at), items[1], at)

    def digits_fraction(self, items):
        over, under = re.findall(r"\d", items[0])
        at = items[0].start_pos
        return quotient(Number(Fraction(over), at=at), Number(Fraction(under), at=at), at)

    def root(self, items):
        return Root(bare(items[1]), at=items[0].start_pos)

    # -- matrices and cases ---------------------------------------------------------------------------------------

    def cell(self, items):
        return items

    def row(self, items):
        """The cells, an empty one where nothing stands between two `&`."""
        cells = [items[0]]
        for n, item in enumerate(items):
            if isinstance(item, lark.Token):
                cells.append(items[n + 1] if n + 1 < len(items) and isinstance(items[n + 1], list) else [])
        return cells

    def environment(self, items):
        opening, *found, closing = items
        name = re.findall(r"\w+", opening)[1]
        if name != re.findall(r"\w+", closing)[1]:
            raise Unreadable(f"\\begin{{{name}}} ended by {closing}", closing.start_pos)
        return name, [r for r in found if isinstance(r, list)], opening.start_pos

    def matrix_or_cases(self, items):
        name, found, at = items[0]
        return cases(found, at) if name in ("cases", "dcases") else matrix(found, at)

    def braced_cases(self, items):
        name, found, at = items[0]
        if name != "array":
            raise Unreadable(f"a brace that stays open before \\begin{{{name}}}", at)
        return cases(found, at)


def nodes(items: Iterable) -> list[Node]:
    """The nodes of a list, without the commas between them."""
    return [node for item in items for node in (item if isinstance(item, list) else [item]) if isinstance(node, Node)]


def relation(items: list) -> Relation:
    left, mark, right = items
    return Relation(sign(mark), left, right, str(mark), at=left.at)


def first(items: list | Relation) -> Node:
    return items.left if isinstance(items, Relation) else items[0]


def bare(node: Node) -> Node:
    return node.body if isinstance(node, Group) and node.bracket == "" else node


def quotient(over: Node, under: Node, at: int) -> Node:
    over, under = bare(over), bare(under)
    if isinstance(over, Differential) and isinstance(under, Differential):
        return Derivative(over.of, under.of, at=at)
    return Quotient(over, under, at=at)


def matrix(found: list[list[list]], at: int) -> Matrix:
    if len({len(row) for row in found}) != 1:
        raise Unreadable("a matrix whose rows differ in length", at)
    for cell in (cell for row in found for cell in row):
        if len(cell) != 1 or not isinstance(cell[0], Node):
            raise Unreadable("an entry of a matrix that is no expression", place(cell, at))
    return Matrix(tuple(tuple(cell[0] for cell in row) for row in found), at=at)


def cases(found: list[list[list]], at: int) -> Cases:
    return Cases(tuple(case(row, at) for row in found), at=at)


def case(row: list[list], at: int) -> tuple[Node, Relation | None]:
    """A value and its condition; commas between them, and words such as `if`, are layout."""
    value, *conditions = ([i for i in cell if not gap(i)] for cell in row)
    if len(value) != 1 or not isinstance(value[0], Node):
        raise Unreadable("a case begins with its value, and `&` before its condition", place(value, at))
    if len(conditions) > 1:
        raise Unreadable("a case of more than a value and a condition", place(conditions[1], at))
    condition = conditions[0] if conditions else []
    if condition and isinstance(condition[0], lark.Token) and condition[0].type == "CONDITION":
        condition = condition[1:]
        if not condition:
            raise Unreadable("a condition that says nothing", place(conditions[0], at))
    if not condition or (isinstance(condition[0], lark.Token) and condition[0].type == "OTHERWISE"):
        return value[0], None
    if len(condition) != 3:
        raise Unreadable("a case's condition must be one relation", place(condition, at))
    return value[0], relation(condition)


def gap(item: object) -> bool:
    return isinstance(item, lark.Token) and item.type in ("QUAD", "COMMA", "SEMICOLON", "STOP")


def place(cell: list, at: int) -> int:
    if not cell:
        return at
    return cell[0].at if isinstance(cell[0], Node) else cell[0].start_pos


# -- a flat row of factors, operators, sums and extrema -----------------------------------------------------------


def term(items: list) -> Node:
    """The shape of a row; a sum or an extremum takes the rest of it, so it is shaped from its end."""
    row = [single(item) for item in items]
    for n in range(len(row) - 1, -1, -1):
        if isinstance(row[n], list):
            head, rest = row[n], row[n + 1 :]
            if head[0].type == "EXTREMUM" and len(head) == 1:  # a function, or a label as in `z_{\\max}`
                row[n] = Word(extremal(head[0]), at=head[0].start_pos)
                continue
            if not rest:
                raise Unreadable(f"`{head[0]}` of nothing", head[0].start_pos)
            over = summation if head[0].type == "SUM" else extremum
            row[n:] = [over(head, factors(rest))]
    return factors(row)


def single(item: Any) -> Any:
    """Braces around one factor say nothing."""
    several = Addition | Product | Hadamard | Summation | Extremum
    return item.body if isinstance(item, Group) and not item.bracket and not isinstance(item.body, several) else item


def factors(row: list) -> Node:
    """Elementwise products of what stands side by side."""
    parts: list[list] = [[]]
    row = applied(row)
    for item in row:
        if isinstance(item, lark.Token) and item.type == "ODOT":
            parts.append([])
        else:
            parts[-1].append(item)
    if any(not part for part in parts):
        at = next(i.start_pos for i in row if isinstance(i, lark.Token) and i.type == "ODOT")
        raise Unreadable("an elementwise product that lacks a side", at)
    shaped = [product(part) for part in parts]
    result = shaped[0]
    for factor in shaped[1:]:
        result = Hadamard(result, factor, at=result.at)
    return result


def product(row: list) -> Node:
    left: Any = None
    last: Any = None
    operator, divided = "", False
    for n, item in enumerate(row):
        if isinstance(item, lark.Token):
            if left is None or operator or n + 1 == len(row) or isinstance(row[n + 1], lark.Token):
                raise Unreadable(f"`{item}` lacks a side", item.start_pos)
            operator = str(item)
            continue
        if isinstance(item, Word) and item.text.lower() in SENTENCES and len(row) > 1:
            raise Unreadable("a sentence in words", item.at)
        if left is None:
            left = item
        elif operator == "/":
            if isinstance(last, Differential) and isinstance(item, Differential):
                item = Derivative(last.of, item.of, at=last.at)
                left = item if left is last else replace(left, right=item)
            else:
                left, divided = Quotient(left, item, at=left.at), True
        else:
            if divided and not operator and not isinstance(item, Summation | Quotient | Derivative):
                inner = item.base if isinstance(item, Scripted) else item
                if not isinstance(inner, Group | Norm):
                    raise Unreadable(r"what the slash divides by is not clear: write `\frac`", item.at)
            if isinstance(last, Number) and isinstance(item, Number) and not operator:
                raise Unreadable("two numbers side by side", item.at)
            left = Product(left, item, OPERATORS.get(operator, operator.lstrip("\\")), at=left.at)
        last, operator = item, ""
    assert left is not None
    return left


# -- functions and what they take ---------------------------------------------------------------------------------


def applied(row: list) -> list:
    """The row with each function and what it takes made one; from the right, for `\\log \\sigma(z)`."""
    found: list = []  # in reverse
    for item in reversed(row):
        if isinstance(item, lark.Token):
            found.append(item)
            continue
        following = found[-1] if found and isinstance(found[-1], Node) else None
        taken = take(item, following) if following is not None else None
        if taken is not None:
            found[-1] = taken
        elif takes_a_factor(item, alone=len(row) == 1):
            if following is None:
                raise Unreadable("a function of nothing", item.at)
            beyond = found[-2] if len(found) > 1 else None
            unclear = isinstance(beyond, lark.Token) and beyond.type != "ODOT"
            if unclear or (isinstance(beyond, Node) and not isinstance(beyond, Application)):
                at = beyond.at if isinstance(beyond, Node) else beyond.start_pos  # type: ignore[union-attr]
                raise Unreadable("where what the function takes ends is not clear: write brackets", at)
            found[-1] = Application(function(item), following, at=item.at)  # type: ignore[arg-type]
        else:
            found.append(item)
    for item in found:
        if isinstance(item, Event) or (isinstance(item, Scripted) and isinstance(item.base, Event)):
            raise Unreadable("a relation in brackets", item.at)
    for item, following in zip(found[1:], found, strict=False):
        if isinstance(following, Node) and function_word(item):
            raise Unreadable("what the function takes must stand in brackets right behind it", item.at)
        if isinstance(following, Group) and following.bracket == "(" and isinstance(item, Gradient):
            raise Unreadable("whether the gradient's function or the gradient takes the brackets is not clear", item.at)
    if Name("rot180") in found:
        raise Unreadable("a rotation of nothing", found[found.index(Name("rot180"))].at)
    return found[::-1]


def take(item: Node, following: Node) -> Node | None:
    """A function with the brackets behind it; None if it takes none. `\\sigma(z)^2` is the square of `\\sigma(z)`."""
    if isinstance(item, Differential | Gradient):
        inner = take(item.of, following)
        return replace(item, of=inner) if inner is not None else None
    brackets = bare(following.base if isinstance(following, Scripted) else following)
    found: Node | None = None
    if isinstance(brackets, Event):
        if isinstance(item, Name) and item.text in PROBABILITIES:
            found = Probability(brackets.event, brackets.given, at=item.at)
    elif isinstance(brackets, Listing):
        called = function(item) or (item if is_name(item) else None)
        found = Call(called, brackets.items, at=item.at) if called else None
    elif isinstance(brackets, Group) and (called := function(item)):
        if not isinstance(brackets.body, Listing):
            found = Application(called, brackets.body, at=item.at)
        elif called in (Name("max"), Name("min")):
            found = Call(called, brackets.body.items, at=item.at)
    if found is not None and isinstance(following, Scripted):
        return replace(following, base=found, at=item.at)
    return found


def is_name(node: Node) -> bool:
    base = node.base if isinstance(node, Scripted) else node
    return isinstance(base, Name | Word)


def function(node: Node) -> Node | None:
    r"""The function that a name is, if it is one; `\dot{\sigma}` is `\sigma'`."""
    primes = node.primes if isinstance(node, Scripted) else 0
    base = node.base if isinstance(node, Scripted) and not node.sub and not node.sup else node
    if not isinstance(base, Name | Word):
        return None
    text = FUNCTIONS.get(base.text.lower()) if isinstance(base, Word) or len(base.text) > 1 else None
    text = text or base.text
    if text.startswith("dot ") and text.removeprefix("dot ") in TAKES_BRACKETS:
        text, primes = text.removeprefix("dot "), primes + 1
    if text not in TAKES_BRACKETS and text not in FUNCTIONS.values():
        return None
    name = Name(text, at=base.at)
    return Scripted(name, primes=primes, at=base.at) if primes else name


def function_word(item: object) -> bool:
    base = item.base if isinstance(item, Scripted) else item
    return isinstance(base, Word) and base.text.lower() in FUNCTIONS


def takes_a_factor(node: Node, alone: bool) -> bool:
    base = node.base if isinstance(node, Scripted) else node
    if alone and isinstance(base, Word):  # a label
        return False
    if not isinstance(base, Name | Word) or FUNCTIONS.get(base.text.lower()) not in TAKES_A_FACTOR:
        return False
    if isinstance(node, Scripted) and (node.sub or node.sup):
        raise Unreadable("scripts between a function and what it takes", node.at)
    return True


# -- sums and extrema ---------------------------------------------------------------------------------------------


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


def extremum(head: list, body: Node) -> Extremum:
    mark, *scripts = head
    if len(scripts) != 1 or scripts[0][0] != "sub" or isinstance(scripts[0][1], Relation):
        raise Unreadable(f"`{mark}` takes one subscript, its indices", mark.start_pos)
    names = scripts[0][1]
    if not all(isinstance(n, Name) for n in names):
        raise Unreadable(f"an index of `{mark}` must be a letter", names[0].at)
    return Extremum(extremal(mark), tuple(names), body, at=mark.start_pos)


def extremal(mark: str) -> str:
    return ("arg" if "arg" in mark else "") + ("max" if "max" in mark else "min")
