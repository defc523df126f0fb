"""Numbers, vectors and matrices in components, and what goes wrong with them."""

from dataclasses import dataclass

import sympy as sp

from derive.audit.network import units


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
    """A number, a column (row), a row vector (col), or a matrix: its component at the indices of its axes."""

    body: sp.Expr
    row: Axis | None = None
    col: Axis | None = None

    @property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(axis for axis in (self.row, self.col) if axis)

    @property
    def shape(self) -> tuple[sp.Expr, ...]:
        return tuple(axis[1] if axis else sp.Integer(1) for axis in (self.row, self.col)) if self.axes else ()

    def at(self, row: sp.Expr | None = None, col: sp.Expr | None = None) -> sp.Expr:
        change = {axis[0]: i for axis, i in ((self.row, row), (self.col, col)) if axis and i is not None}
        return self.body.xreplace(change)


def size_name(size: sp.Expr) -> str:
    if isinstance(size, units):
        return f"n_{{{sp.sstr(size.args[0])}}}".replace(" ", "")
    return sp.sstr(size)
