"""Numbers, vectors, matrices and planes in components, and what goes wrong with them."""

from dataclasses import dataclass, field

import sympy as sp


class Unbindable(ValueError):
    """A symbol or construction that has no meaning here, and where it stands."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at


class Misshapen(ValueError):
    """Sides or operands whose shapes do not go together; `why` says how, a shape is a tuple of sizes."""

    def __init__(self, why: str, left: tuple[sp.Expr, ...], right: tuple[sp.Expr, ...]) -> None:
        super().__init__(why)
        self.why, self.left, self.right = why, left, right


Axis = tuple[sp.Symbol, sp.Expr]  # an index and its size


@dataclass(frozen=True)
class Value:
    """A number, a column (row), a row vector (col), or a matrix: its component at the indices of its axes.

    In a convolutional layer rows and columns are the places of a plane, and there is one plane for each of the
    `channels`. `lead` is the index of what is differentiated, where a vector is differentiated by a matrix.
    """

    body: sp.Expr
    row: Axis | None = None
    col: Axis | None = None
    channels: tuple[Axis, ...] = ()
    lead: Axis | None = None

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (*self.channels, *(axis for axis in (self.lead, self.row, self.col) if axis))

    @property
    def places(self) -> tuple[Axis, ...]:
        """The axes within one channel."""
        return tuple(axis for axis in (self.row, self.col) if axis)

    @property
    def shape(self) -> tuple[sp.Expr, ...]:
        return tuple(axis[1] if axis else sp.Integer(1) for axis in (self.row, self.col)) if self.places else ()

    def at(self, row: sp.Expr | None = None, col: sp.Expr | None = None) -> sp.Expr:
        change = {axis[0]: i for axis, i in ((self.row, row), (self.col, col)) if axis and i is not None}
        return self.body.xreplace(change)


@dataclass
class Bound:
    """A relation in components: left = right for all values of the free indices, provided that the sizes agree."""

    left: sp.Expr
    right: sp.Expr
    free: dict[sp.Symbol, sp.Expr]
    mismatches: list[tuple[sp.Expr, sp.Expr]] = field(default_factory=list)
    defines: bool = False  # whether it says what a cost is
    batch: int | None = None  # the number of samples, where the reading fixes it
    fixed: dict[sp.Expr, sp.Expr] = field(default_factory=dict)  # sizes that a figure shows
    written: dict[sp.Basic, str] = field(default_factory=dict)  # how the document writes symbols and components
    turned: bool = False  # whether the document's weights have their indices in the other order, from and to
    derived: dict[str, sp.Expr] = field(default_factory=dict)  # what a counterexample also gives, though it follows


class nonnegative(sp.Function):
    """One where its argument, an integer, is at least zero, else zero: a bound of a sum as a factor."""

    @classmethod
    def eval(cls, e: sp.Expr) -> sp.Expr | None:
        if e.is_Integer:
            return sp.S.One if int(e) >= 0 else sp.S.Zero
        expanded = sp.expand(e)
        return None if expanded == e else cls(expanded)


def within(e: sp.Expr, size: sp.Expr) -> sp.Expr:
    """One where 0 <= e < size, else zero."""
    return nonnegative(e) * nonnegative(size - 1 - e)


def size_name(size: sp.Expr) -> str:
    """`n_{l+1}` for the units of layer l + 1; of planes `c` channels, `r` rows, `q` columns, `h` and `k` of filters."""
    if isinstance(size, sp.Add):
        return sp.sstr(size.replace(lambda f: isinstance(f, sp.Function), lambda f: sp.Symbol(size_name(f))))
    if isinstance(size, sp.Function):
        letter = {"units": "n", "channels": "c", "rows": "r", "columns": "q", "height": "h", "breadth": "k"}
        return f"{letter.get(type(size).__name__, type(size).__name__)}_{{{sp.sstr(size.args[0])}}}".replace(" ", "")
    return sp.sstr(size)
