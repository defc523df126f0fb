"""Minimal filtering F(m, r): m outputs of a correlation with r taps by n = m + r - 1 multiplications instead of m r.

    y[k] = sum_j g[j] d[k + j]  =  A^T [(G g) o (B^T d)]

Toom-Cook's interpolation in exact rationals (Winograd, "Arithmetic complexity of computations", 1980; Lavin & Gray,
arXiv:1509.09308): the product of two polynomials of degrees m - 1 and r - 1 is evaluated at n - 1 finite points and at
infinity, and the interpolation is transposed. Both sides are systems of index equations, and reverse accumulation derives
the gradients of both. Nothing leaves this module unless outputs and gradients are proved equal for all d, g and delta_y.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from itertools import combinations, product
from math import prod, sqrt

import sympy as sp
from sympy.polys.rings import PolyElement, ring

from derive.calculus.derivation import Derivation, derive
from derive.calculus.equation import Equation, size_of, tensor
from derive.calculus.system import System

MAGNITUDES = tuple(
    Fraction(*ratio)
    for ratio in ((1, 1), (1, 2), (2, 1), (3, 2), (3, 4), (1, 4), (4, 1), (5, 4), (5, 2), (5, 8), (3, 1), (3, 8))
)
"""What points may be beside 0, with either sign: binary fractions, which with their powers are exact in float32."""

Matrix = tuple[tuple[Fraction, ...], ...]


class ProofError(ValueError):
    """What was to be proved does not hold."""


# Both sides as systems -----------------------------------------------------------------------------------------------


def _systems() -> tuple[System, System]:
    e, i, j, k = sp.symbols("e i j k", integer=True)
    d, g, y, u, v, x = map(tensor, ("d", "g", "y", "u", "v", "x"))
    a, b, c = tensor("A")[k, e], tensor("B")[e, i], tensor("G")[e, j]

    def total(body: sp.Expr, index: sp.Symbol) -> sp.Expr:
        return sp.Sum(body, (index, 0, size_of(index) - 1))

    correlation = System(
        "correlation", (d[i],), (g[j],), (y[k],), sizes={size_of(k): size_of(i) - size_of(j) + 1},
        doc="Outputs of a filter with J taps, in its direct form.", source=f"{__file__}:correlation",
    )  # fmt: skip
    with correlation:
        correlation.y[k] = total(g[j] * d[k + j], j)
    tile = System(
        "minimal_filtering", (d[i],), (g[j],), (y[k],), constants=(a, c, b),
        doc="The same outputs as A^T [(G g) o (B^T d)].", source=f"{__file__}:minimal_filtering",
    )  # fmt: skip
    with tile:
        tile.v[e] = total(b * d[i], i)
        tile.u[e] = total(c * g[j], j)
        tile.x[e] = u[e] * v[e]
        tile.y[k] = total(a * x[e], e)
    return correlation, tile


@cache
def derivations() -> tuple[Derivation, Derivation]:
    """The correlation's and the tile's, for every size: the gradients by d and by g of each."""
    correlation, tile = _systems()
    return derive(correlation), derive(tile)


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
        """F(m, r)."""
        return f"F({self.m}, {self.r})"

    @cached_property
    def sensitivities(self) -> Matrix:
        """What takes delta_y to delta_x, n x m, as reverse accumulation says."""
        return self._derived("delta_x")

    @cached_property
    def gradients(self) -> Matrix:
        """What takes delta_u to the gradient by g, r x n, as reverse accumulation says."""
        return self._derived("nabla_g")

    def _derived(self, name: str) -> Matrix:
        """The matrix of a derived equation that is linear in one tensor, the constants aside."""
        (equation,) = (e for e in derivations()[1].adjoints if e.name == name)
        rows = components(equation, self.sizes, self.constants).values()
        (read,) = equation.reads() - {x.base.name for x in self.constants}
        size = {"delta_y": self.m, "delta_u": self.n}[read]
        return _matrix([[row.coeff(tensor(read)[column]) for column in range(size)] for row in rows])

    @property
    def sizes(self) -> dict[sp.Symbol, int]:
        """What sizes of the systems are here."""
        values = {"E": self.n, "I": self.n, "J": self.r, "K": self.m}
        return {sp.Symbol(size, integer=True, positive=True): value for size, value in values.items()}

    @property
    def constants(self) -> dict[sp.Basic, sp.Basic]:
        """The components of A, B and G."""
        matrices = {"A": self.outputs, "B": self.data, "G": self.filters}
        return {
            tensor(name)[row, column]: sp.Rational(c.numerator, c.denominator)
            for name, matrix in matrices.items() for row, line in enumerate(matrix) for column, c in enumerate(line)
        }  # fmt: skip


@cache
def filtering(m: int, r: int) -> Filtering:
    """F(m, r) at the points where rounding errors grow least, proved.

    Raises ValueError unless m and r are 1 or more and there are points enough.
    """
    return proved(interpolated(m, r, best_points(m, r)))


def interpolated(m: int, r: int, points: Sequence[Fraction]) -> Filtering:
    """The matrices for these finite points and infinity; G's first column is not negative.

    Raises ValueError unless there are m + r - 2 of them, all different.
    """
    if len(points) != m + r - 2 or len(set(points)) != len(points):
        raise ValueError(f"F({m}, {r}) needs {m + r - 2} different points, not {', '.join(map(str, points)) or 'none'}")
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


def _matrix(rows: Sequence[Sequence[Fraction | int | sp.Rational]]) -> Matrix:
    return tuple(tuple(Fraction(int(c.numerator), int(c.denominator)) for c in row) for row in rows)


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
    """The same, if A^T [(G g) o (B^T d)] and its gradients by d and g are the correlation's, for all d, g and delta_y.

    Raises ProofError, naming a component that is not, and by how much.
    """
    direct, tile = evaluated(f)
    for x in direct:
        if (gap := sp.expand(tile[x] - direct[x])) != 0:
            raise ProofError(f"{f.name}: {x} is not the correlation's: {gap} too much")
    return f


def evaluated(f: Filtering) -> tuple[dict[sp.Indexed, sp.Expr], dict[sp.Indexed, sp.Expr]]:
    """Every component, forward and backward, in those of d, g and delta_y: of the correlation, and of the tile."""
    direct, tile = (_evaluated(derivation, f) for derivation in derivations())
    return direct, tile


def _evaluated(derivation: Derivation, f: Filtering) -> dict[sp.Indexed, sp.Expr]:
    found: dict[sp.Indexed, sp.Expr] = {}
    for equation in (*derivation.defined, *derivation.adjoints):
        found |= components(equation, f.sizes, {**f.constants, **found})
    return found


def components(
    equation: Equation, sizes: Mapping[sp.Symbol, int], known: Mapping[sp.Basic, sp.Basic]
) -> dict[sp.Indexed, sp.Expr]:
    """Each component of an equation's target in numbers and in components that are not `known`."""
    right, found = equation.expression().subs(sizes), {}
    for at in product(*(range(sizes[size_of(index)]) for index in equation.target.indices)):
        value = right.subs(dict(zip(equation.target.indices, at, strict=True))).doit()
        found[equation.target.base[at]] = sp.expand(value.xreplace(known))
    return found


def proved_nested(f: Filtering, other: Filtering) -> tuple[Filtering, Filtering]:
    """The same two, if f along the rows' axis and the other along the columns' give the correlation in two dimensions:

    y[k, l] = sum_i sum_j g[i, j] d[k + i, l + j] = A^T [(G g G'^T) o (B^T d B')] A', for all d and g.

    Raises ProofError.
    """
    places = [*product(range(f.n), range(other.n))], [*product(range(f.r), range(other.r))]
    names = [f"{name}{i}_{j}" for name, at in zip("dg", places, strict=True) for i, j in at]
    _, *symbols = ring(names, sp.QQ)
    d = dict(zip(places[0], symbols, strict=False))
    g = dict(zip(places[1], symbols[len(d) :], strict=True))
    u, v = _both_sides(f.filters, g, other.filters), _both_sides(f.data, d, other.data)
    y = _both_sides(f.outputs, {at: u[at] * v[at] for at in u}, other.outputs)
    for (k, column), value in y.items():
        if value != sum(g[i, j] * d[k + i, column + j] for i, j in g):
            raise ProofError(f"{f.name} beside {other.name}: y[{k}, {column}] is not the correlation's")
    return f, other


def _both_sides(left: Matrix, inside: Mapping, right: Matrix) -> dict[tuple[int, int], PolyElement]:
    """left inside right^T."""
    half = {
        (i, q): sum(_exact(c) * inside[p, q] for p, c in enumerate(row) if c)
        for i, row in enumerate(left) for q in range(len(right[0]))
    }  # fmt: skip
    return {
        (i, j): sum(_exact(c) * half[i, q] for q, c in enumerate(row) if c)
        for i in range(len(left)) for j, row in enumerate(right)
    }  # fmt: skip


def _exact(c: Fraction) -> object:
    return sp.QQ(c.numerator, c.denominator)


# Points --------------------------------------------------------------------------------------------------------------


@cache
def best_points(m: int, r: int) -> tuple[Fraction, ...]:
    """The m + r - 2 finite points where rounding errors grow least, among 0 and MAGNITUDES with either sign.

    Points come in pairs +-p, whose transforms share their sums; where the count asks for it there is a single one. Of
    sets that are no worse than the direct sum, the one with the fewest factors is taken.
    """
    if m < 1 or r < 1:
        raise ValueError(f"F({m}, {r}): outputs and taps must be 1 or more")
    sets = [interpolated(m, r, points) for points in _candidates(m + r - 2)]
    if not sets:
        raise ValueError(f"F({m}, {r}): there are no {m + r - 2} points to interpolate at")
    return min(sets, key=lambda f: (max(1.0, growth(f)), _factors(f))).points


def _factors(f: Filtering) -> int:
    """How many coefficients are to be multiplied by."""
    return sum(abs(c) not in (0, 1) for matrix in (f.data, f.filters, f.outputs) for row in matrix for c in row)


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
    """The rms rounding error of y as a multiple of the direct sum's, where many channels are summed up.

    To the first order, as in Barabasz, Anderson, Soodhalter & Gregg, "Error analysis and improving the accuracy of Winograd
    convolution for deep neural networks" (ACM TOMS 46, 2020; arXiv:1803.10986), but in the mean square and not at worst:
    all d and g are independent, of mean 0 and variance 1; each operation, a sum or a fused multiply-add, adds an
    error of the same variance relative to its result's. The s-th step of a chain of C products of variance p so adds
    s p, all of them p C^2 / 2: for the direct sum of r taps r^2 C^2 / 2, for the point e |G_e|^2 |B_e|^2 C^2 / 2, which
    reaches y by A_e. What the transforms themselves round is as C, and lost beside it: `derive.lowering.rounding` has it.
    """
    return sqrt(sum(shares(f))) / f.r


def shares(f: Filtering) -> list[Fraction]:
    """What each point, infinity last, adds to (r growth)^2: |A_e|^2 |G_e|^2 |B_e|^2 / m, of the mean output."""
    a, b, g = (map(power, matrix) for matrix in (transposed(f.outputs), f.data, f.filters))
    return [x * y * z / f.m for x, y, z in zip(a, b, g, strict=True)]


def power(row: Sequence[Fraction]) -> Fraction:
    """The sum of squares."""
    return sum((c * c for c in row), Fraction(0))
