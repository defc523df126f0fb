"""Minimal filtering F(m, r): m outputs of a correlation with r taps by n = m + r - 1 multiplications instead of m r.

    y[k] = sum_j g[j] d[k + j]  =  A^T [(G g) o (B^T d)]

Toom-Cook's interpolation in exact rationals (Winograd, "Arithmetic complexity of computations", 1980; Lavin & Gray,
arXiv:1509.09308): the product of two polynomials of degrees m - 1 and r - 1 is evaluated at n - 1 finite points and at
infinity, and the interpolation is transposed. Nothing leaves this module unless it is proved for all d and g.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import prod, sqrt

import sympy as sp

MAGNITUDES = tuple(
    Fraction(*ratio)
    for ratio in ((1, 1), (1, 2), (2, 1), (3, 2), (3, 4), (1, 4), (4, 1), (5, 4), (5, 2), (5, 8), (3, 1), (3, 8))
)
"""What points may be beside 0, with either sign: binary fractions, which with their powers are exact in float32."""

Matrix = tuple[tuple[Fraction, ...], ...]


class ProofError(ValueError):
    """What was to be proved does not hold."""


@dataclass(frozen=True)
class Filtering:
    """The matrices of F(m, r), for the finite `points` and infinity.

    outputs: A^T, m x n; filters: G, n x r; data: B^T, n x n.
    """

    m: int
    r: int
    points: tuple[Fraction, ...]
    outputs: Matrix
    filters: Matrix
    data: Matrix

    @property
    def n(self) -> int:
        """Its multiplications: m + r - 1."""
        return self.m + self.r - 1

    @property
    def name(self) -> str:
        return f"F({self.m}, {self.r})"


@cache
def filtering(m: int, r: int) -> Filtering:
    """F(m, r) at the points where rounding errors grow least, proved.

    Raises ValueError unless m and r are 1 or more and there are points enough.
    """
    return proved(interpolated(m, r, best_points(m, r)))


def interpolated(m: int, r: int, points: Sequence[Fraction]) -> Filtering:
    """The matrices for these m + r - 2 finite points, each another, and infinity. The signs make G's first column positive."""
    outputs, filters, data = [], [], []
    for p in points:
        others = [q for q in points if q != p]
        divisor = prod((p - q for q in others), start=Fraction(1))
        sign = 1 if divisor > 0 else -1
        outputs.append([p**k for k in range(m)])
        filters.append([p**j / abs(divisor) for j in range(r)])
        data.append([sign * c for c in (*_monic(others), Fraction(0))])
    outputs.append([Fraction(k == m - 1) for k in range(m)])
    filters.append([Fraction(j == r - 1) for j in range(r)])
    data.append(_monic(points))
    return Filtering(m, r, tuple(points), transposed(_matrix(outputs)), _matrix(filters), _matrix(data))


def _matrix(rows: Sequence[Sequence[Fraction | int]]) -> Matrix:
    return tuple(tuple(map(Fraction, row)) for row in rows)


def transposed(matrix: Matrix) -> Matrix:
    """Rows as columns."""
    return tuple(zip(*matrix, strict=True))


def _monic(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of all x - root, the lowest power first."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


# Proofs --------------------------------------------------------------------------------------------------------------


def proved(f: Filtering) -> Filtering:
    """The same, if A^T [(G g) o (B^T d)] is the correlation of d with g for all d and g; else raises ProofError."""
    d, g = sp.Matrix(sp.symbols(f"d:{f.n}")), sp.Matrix(sp.symbols(f"g:{f.r}"))
    product = (sp.Matrix(f.filters) * g).multiply_elementwise(sp.Matrix(f.data) * d)
    found = sp.Matrix(f.outputs) * product
    for k in range(f.m):
        wanted = sum(g[j] * d[k + j] for j in range(f.r))
        if (gap := sp.expand(found[k] - wanted)) != 0:
            raise ProofError(f"{f.name}: y[{k}] is not the correlation of d with g: {gap} too much")
    return f


# Points --------------------------------------------------------------------------------------------------------------


@cache
def best_points(m: int, r: int) -> tuple[Fraction, ...]:
    """The m + r - 2 finite points where rounding errors grow least, among 0 and pairs of MAGNITUDES with both signs.

    Points come in pairs +-p, whose transforms share their sums; where the count asks for it there is a single one.
    """
    if m < 1 or r < 1:
        raise ValueError(f"F({m}, {r}): outputs and taps must be 1 or more")
    sets = list(_candidates(m + r - 2))
    if not sets:
        raise ValueError(f"F({m}, {r}): there are no {m + r - 2} points to interpolate at")
    return min(sets, key=lambda points: _cost(interpolated(m, r, points)))


def _cost(f: Filtering) -> tuple[float, int]:
    """Its growth, of which less than the direct sum's is not asked, then how many coefficients are to be multiplied by."""
    factors = [c for matrix in (f.data, f.filters, f.outputs) for row in matrix for c in row if abs(c) not in (0, 1)]
    return max(1.0, growth(f)), len(factors)


def _candidates(count: int) -> Iterator[tuple[Fraction, ...]]:
    zero = Fraction(0)
    if count == 0:
        yield ()
    elif count % 2:
        yield from ((zero, *_both(pairs)) for pairs in combinations(MAGNITUDES, count // 2))
    else:
        yield from (_both(pairs) for pairs in combinations(MAGNITUDES, count // 2))
        for pairs in combinations(MAGNITUDES, count // 2 - 1):
            yield from ((zero, *_both(pairs), p) for p in MAGNITUDES if p not in pairs)


def _both(magnitudes: Sequence[Fraction]) -> tuple[Fraction, ...]:
    return tuple(signed for p in magnitudes for signed in (p, -p))


# Rounding errors -----------------------------------------------------------------------------------------------------


def growth(f: Filtering) -> float:
    """PROVISIONAL"""
    return sqrt(sum(point_shares(f)))


def point_shares(f: Filtering) -> list[Fraction]:
    u, v = ([sum((c * c for c in row), Fraction(0)) for row in matrix] for matrix in (f.filters, f.data))
    a = [sum((c * c for c in column), Fraction(0)) for column in transposed(f.outputs)]
    return [a[e] * u[e] * v[e] / (f.m * f.r**2) for e in range(f.n)]
