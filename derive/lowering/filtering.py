"""The five transforms of minimal filtering F(m, r) as straight lines: what `templates/filtering.py.j2` writes down."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from derive.calculus.filtering import Filtering, Matrix
from derive.lowering.straight import Program, product

FILTERINGS = ((1, 1), (2, 2), (2, 3), (2, 5), (3, 2), (4, 3), (6, 3))
"""(m, r) of the modules that are generated, for the windows of convolutions; F(1, 1) is for an axis with one tap."""


@dataclass(frozen=True)
class Transform:
    """A function of the module: its matrix by the name that it has in formulas, the vector it reads, its straight lines."""

    name: str
    symbol: str
    reads: str
    matrix: Matrix
    program: Program

    @property
    def rows(self) -> list[str]:
        """The matrix as text, in columns."""
        return aligned(self.matrix)


@cache
def transforms(f: Filtering) -> tuple[Transform, ...]:
    """Those of F(m, r), and what the calculus makes of two of them for the gradient by g."""
    made = (
        ("data", "B^T", "d", "v", f.data),
        ("filters", "G", "g", "u", f.filters),
        ("outputs", "A^T", "x", "y", f.outputs),
        ("sensitivities", "A", "y", "x", f.sensitivities),
        ("gradients", "G^T", "x", "g", f.gradients),
    )
    return tuple(Transform(name, symbol, read, of, product(of, read, made)) for name, symbol, read, made, of in made)


def aligned(matrix: Sequence[Sequence[Fraction]]) -> list[str]:
    """Rows of text whose columns are flush right."""
    texts = [[str(c) for c in row] for row in matrix]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in texts]


def points_text(f: Filtering) -> str:
    """The points that it is interpolated at, infinity among them."""
    return ", ".join([*map(str, f.points), "infinity"])


def counted(count: int, what: str) -> str:
    """`1 tap`, `3 taps`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
