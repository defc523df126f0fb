"""How rounding errors of minimal filtering grow beside the direct sum's, the transforms' own errors among them.

The model is that of `derive.calculus.filtering.growth`, carried through the straight lines as they are generated: every
operation but an exact one, a multiple by a power of two, adds an error of the same relative variance to its result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from operator import add, mul

from derive.calculus.filtering import Filtering
from derive.lowering.filtering import Transform, transforms
from derive.lowering.straight import Program

Square = list[list[Fraction]]


@dataclass(frozen=True)
class Rounding:
    """Of a mean output that C addends are summed up for (channels; for the gradient by g, tiles), in variances of one
    rounding: the error's is sums C (C + 1) / 2 + transforms C, and the direct sum's, of taps C products, is
    taps C (taps C + 1) / 2. The runtime has the same in floats, with what follows from it.
    """

    taps: Fraction
    sums: Fraction
    transforms: Fraction


@cache
def rounding(f: Filtering) -> tuple[Rounding, Rounding]:
    """Of the outputs, and of the gradient by g."""
    data, filters, outputs, sensitivities, gradients = transforms(f)
    return _through(data, filters, outputs), _through(data, sensitivities, gradients)


def _through(first: Transform, second: Transform, last: Transform) -> Rounding:
    """Of last [(first a) o (second b)]."""
    one, other, end = (_Lines.of(t.program) for t in (first, second, last))
    (value, error), (other_value, other_error) = (
        lines.through(_unit(columns, columns))
        for lines, columns in ((one, len(first.matrix[0])), (other, len(second.matrix[0])))
    )
    products = _entrywise(mul, value, other_value)  # the covariance of x, per channel
    alone = [[c if i == j else Fraction(0) for j, c in enumerate(row)] for i, row in enumerate(products)]
    cross = _entrywise(add, _entrywise(mul, value, other_error), _entrywise(mul, error, other_value))
    made, lost = end.through(products)
    rows = len(end.results)
    sums, transforms = _trace(_sandwich(end.results, alone)), _trace(_sandwich(end.results, cross)) + _trace(lost)
    return Rounding(_trace(made) / rows, sums / rows, transforms / rows)


@dataclass(frozen=True)
class _Lines:
    """Straight lines as matrices: of all operations and of the results by what is read; how operations reach results."""

    operations: list[list[Fraction]]
    results: list[list[Fraction]]
    reached: list[list[Fraction]]

    @classmethod
    def of(cls, program: Program) -> "_Lines":
        """Each name as a row: its coefficients of what is read, then of the operations' errors."""
        reads, count = len(program.reads), len(program.operations)
        rows = dict(zip(program.reads, _unit(reads, reads + count), strict=True))
        operations = []
        for number, o in enumerate(program.operations, reads):
            row = [o.factor * c for c in rows[o.first]]
            if o.sign:
                row = [c + o.sign * other for c, other in zip(row, rows[o.second], strict=True)]
            operations.append(row[:reads])
            row[number] += o.rounds
            rows[o.target] = row
        found = [rows[name] for name in program.results]
        return cls(operations, [row[:reads] for row in found], [row[reads:] for row in found])

    def through(self, covariance: Square) -> tuple[Square, Square]:
        """The results' covariance, and that of their errors, for what is read of this covariance."""
        variances = [_sandwich([row], covariance)[0][0] for row in self.operations]
        weighed = [[c * v for c, v in zip(row, variances, strict=True)] for row in self.reached]
        errors = [[_dot(row, other) for other in self.reached] for row in weighed]
        return _sandwich(self.results, covariance), errors


def _unit(rows: int, columns: int) -> Square:
    return [[Fraction(i == j) for j in range(columns)] for i in range(rows)]


def _dot(row: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(row, other, strict=True)), Fraction(0))


def _sandwich(matrix: Square, inside: Square) -> Square:
    """matrix inside matrix^T, for a symmetric one inside."""
    half = [[_dot(row, column) for column in inside] for row in matrix]
    return [[_dot(row, other) for other in matrix] for row in half]


def _entrywise(of: Callable[[Fraction, Fraction], Fraction], one: Square, other: Square) -> Square:
    return [[of(a, b) for a, b in zip(row, others, strict=True)] for row, others in zip(one, other, strict=True)]


def _trace(square: Square) -> Fraction:
    return sum((row[i] for i, row in enumerate(square)), Fraction(0))
