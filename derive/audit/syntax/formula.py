"""What a formula says, as a small syntax tree: symbols and operations as written, nothing interpreted yet.

Every node keeps `at`, the offset in the formula's text of what it was read from; it takes no part in comparisons.
"""

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True)
class Node:
    at: int = field(compare=False, repr=False, kw_only=True, default=0)


@dataclass(frozen=True)
class Number(Node):
    value: Fraction


@dataclass(frozen=True)
class Name(Node):
    """One letter (`w`, `L`) or a Greek one by its LaTeX name (`delta`); an accent stands in front (`hat z`)."""

    text: str


@dataclass(frozen=True)
class Word(Node):
    r"""A word set upright (`\text{in}`) or one of the field's words (`output`, `new`)."""

    text: str


@dataclass(frozen=True)
class Ellipsis(Node):
    pass


@dataclass(frozen=True)
class Group(Node):
    """An expression in brackets; the brackets are kept, for `(l)` may be a layer and `(...)_j` a component."""

    body: Node
    bracket: str


@dataclass(frozen=True)
class Scripted(Node):
    r"""A base with subscripts, superscripts and primes: `w_{jk}^{l-1}`, `\sigma'`, `(s \odot t)_j`."""

    base: Node
    sub: tuple[Node, ...] = ()
    sup: tuple[Node, ...] = ()
    primes: int = 0


@dataclass(frozen=True)
class Addition(Node):
    """Terms with their signs, +1 or -1."""

    terms: tuple[tuple[int, Node], ...]


@dataclass(frozen=True)
class Product(Node):
    r"""Two factors; `operator` is what stands between them.

    It is "" side by side, "*" for `*` and `\ast`, else the command's name: cdot, times, star, otimes, circledast.
    """

    left: Node
    right: Node
    operator: str = ""


@dataclass(frozen=True)
class Hadamard(Node):
    left: Node
    right: Node


@dataclass(frozen=True)
class Quotient(Node):
    over: Node
    under: Node


@dataclass(frozen=True)
class Summation(Node):
    r"""`\sum_{index=low}^{high} body`; low and high are None where they are not written."""

    indices: tuple[Name, ...]
    body: Node
    low: Node | None = None
    high: Node | None = None


@dataclass(frozen=True)
class Extremum(Node):
    r"""`\max_{u,v} body`, `\arg\max_k body`: kind is max, min, argmax or argmin. It extends over the rest of its term."""

    kind: str
    indices: tuple[Name, ...]
    body: Node


@dataclass(frozen=True)
class Root(Node):
    radicand: Node


@dataclass(frozen=True)
class Norm(Node):
    r"""`\lVert x \rVert`, the Euclidean one."""

    body: Node


@dataclass(frozen=True)
class Application(Node):
    """A function of one argument; the function is a Name, with its primes a Scripted one."""

    function: Node
    argument: Node


@dataclass(frozen=True)
class Call(Node):
    r"""A name before a bracketed list of two or more: `\xi(t, y)`, `\max(0, z)`."""

    function: Node
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Listing(Node):
    """A bracketed list that no function's name precedes: `(u, v)`. One in other brackets stands in a Group of them."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Differential(Node):
    r"""`\partial x`, half of a derivative."""

    of: Node


@dataclass(frozen=True)
class Derivative(Node):
    of: Node
    by: Node


@dataclass(frozen=True)
class Gradient(Node):
    r"""`\nabla_{by} of`; by is None where it is not written."""

    of: Node
    by: Node | None = None


@dataclass(frozen=True)
class Matrix(Node):
    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Relation(Node):
    """left = right, or an update: `sign` is equation, update, reversed update or other, `mark` how it is written."""

    sign: str
    left: Node
    right: Node
    mark: str = "="
    written: tuple[str, str] = field(default=("", ""), compare=False)  # both sides' LaTeX; only of a statement

    @property
    def source(self) -> str:
        return f"{self.written[0]} {self.mark} {self.written[1]}"


@dataclass(frozen=True)
class Probability(Node):
    r"""`P(t = 1 \mid z)`: that the event holds, given something or nothing."""

    event: Relation
    given: Node | None = None


@dataclass(frozen=True)
class Cases(Node):
    """Values with the conditions under which they hold; None is `otherwise`."""

    rows: tuple[tuple[Node, Relation | None], ...]


@dataclass(frozen=True)
class Clause:
    r"""One statement of a formula: a chain of relations; `follows` the one before it (`\longrightarrow`)."""

    relations: tuple[Relation, ...]
    row: int
    follows: bool = False


@dataclass(frozen=True)
class Range:
    r"""`l = 2, 3, \dots, L`: the values an index takes, as written."""

    index: Name
    values: tuple[Node, ...]
    row: int
    at: int = field(default=0, compare=False)
