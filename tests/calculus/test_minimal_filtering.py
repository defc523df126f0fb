"""Minimal filtering: matrices, proofs that hold and proofs that fail, gradients by the calculus, points, growth."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.calculus.filtering import (
    MAGNITUDES,
    Filtering,
    ProofError,
    derivations,
    evaluated,
    filtering,
    growth,
    interpolated,
    proved,
    proved_nested,
    shares,
    transposed,
)  # fmt: skip
from derive.calculus.text import equation_text

REQUIRED = [(2, 3), (4, 3), (6, 3), (2, 5), (3, 2), (2, 2)]
LAVIN = tuple(map(Fraction, (0, 1, -1, 2, -2)))  # the points of F(4, 3) in arXiv:1509.09308
RATIONALS = st.fractions(-3, 3, max_denominator=4)


def times(matrix, vector):
    return [sum(c * x for c, x in zip(row, vector, strict=True)) for row in matrix]


def filtered(f: Filtering, d, g):
    return times(f.outputs, [u * v for u, v in zip(times(f.filters, g), times(f.data, d), strict=True)])


@pytest.mark.parametrize(("m", "r"), REQUIRED)
def test_each_is_proved_with_its_gradients(m, r):
    f = filtering(m, r)
    assert proved(f) is f and len(f.points) == f.n - 1
    direct, tile = evaluated(f)
    assert {x.base.name for x in direct} == {"y", "delta_d", "nabla_g"} and len(direct) == m + f.n + r
    assert all(sp.expand(tile[x] - value) == 0 for x, value in direct.items())


@pytest.mark.parametrize(("m", "r"), REQUIRED)
def test_each_is_the_correlation_of_unit_vectors(m, r):
    f = filtering(m, r)
    for i, j in product(range(f.n), range(r)):
        d, g = [Fraction(i == p) for p in range(f.n)], [Fraction(j == q) for q in range(r)]
        assert filtered(f, d, g) == [Fraction(i == k + j) for k in range(m)]


@pytest.mark.parametrize(
    ("one", "other"), [*((pair, pair) for pair in REQUIRED), ((4, 3), (1, 1)), ((1, 1), (4, 3)), ((2, 3), (2, 5)), ((3, 2), (2, 2))]
)  # fmt: skip
def test_nested_for_two_dimensions_each_is_proved(one, other):
    assert proved_nested(filtering(*one), filtering(*other)) == (filtering(*one), filtering(*other))


@st.composite
def drawn(draw):
    m, r = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return interpolated(m, r, draw(st.lists(RATIONALS, min_size=m + r - 2, max_size=m + r - 2, unique=True)))


@settings(max_examples=20, deadline=None)
@given(drawn(), st.data())
def test_any_different_points_give_any_m_and_r(f, data):
    assert proved(f) is f
    d = data.draw(st.lists(RATIONALS, min_size=f.n, max_size=f.n))
    g = data.draw(st.lists(RATIONALS, min_size=f.r, max_size=f.r))
    assert filtered(f, d, g) == [sum(g[j] * d[k + j] for j in range(f.r)) for k in range(f.m)]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(REQUIRED[:1] + REQUIRED[3:]), st.sampled_from(["outputs", "filters", "data"]), st.data())
def test_with_any_coefficient_wrong_no_proof_stands(pair, name, data):
    f = filtering(*pair)
    rows = [list(row) for row in getattr(f, name)]
    i = data.draw(st.integers(0, len(rows) - 1))
    k = data.draw(st.integers(0, len(rows[0]) - 1))
    rows[i][k] += data.draw(RATIONALS.filter(bool))
    wrong = replace(f, **{name: tuple(map(tuple, rows))})
    with pytest.raises(ProofError, match=rf"F\({f.m}, {f.r}\): .* is not the correlation's: .* too much"):
        proved(wrong)
    with pytest.raises(ProofError, match="is not the correlation's"):
        proved_nested(wrong, filtering(1, 1))


@pytest.mark.parametrize("points", [(1, 1), (1,), (0, 1, -1)])
def test_points_that_are_equal_too_few_or_too_many_are_refused(points):
    with pytest.raises(ValueError, match=r"F\(2, 2\) needs 2 different points, not "):
        interpolated(2, 2, tuple(map(Fraction, points)))


def test_the_calculus_derives_both_gradients_for_every_size():
    correlation, tile = derivations()
    assert [equation_text(e) for e in tile.adjoints] == [
        "delta_x[e] = sum_k A[k, e]*delta_y[k]",
        "delta_u[e] = delta_x[e]*v[e]",
        "delta_v[e] = delta_x[e]*u[e]",
        "nabla_g[j] = sum_e G[e, j]*delta_u[e]",
        "delta_d[i] = sum_e B[e, i]*delta_v[e]",
    ]
    assert "nabla_g[j] = sum_k d[j + k]*delta_y[k]" in [equation_text(e) for e in correlation.adjoints]


@pytest.mark.parametrize(("m", "r"), REQUIRED)
def test_the_matrices_of_the_gradient_are_what_reverse_accumulation_says(m, r):
    f = filtering(m, r)
    assert f.sensitivities == transposed(f.outputs) and f.gradients == transposed(f.filters)
    d, g, delta = (sp.symbols(f"{name}:{size}") for name, size in (("d", f.n), ("g", r), ("delta", m)))
    objective = sum(delta[k] * g[j] * d[k + j] for k in range(m) for j in range(r))
    products = [x * v for x, v in zip(times(f.sensitivities, delta), times(f.data, d), strict=True)]
    for j, value in enumerate(times(f.gradients, products)):
        assert sp.expand(value - sp.diff(objective, g[j])) == 0
    products = [x * u for x, u in zip(times(f.sensitivities, delta), times(f.filters, g), strict=True)]
    for i, value in enumerate(times(transposed(f.data), products)):
        assert sp.expand(value - sp.diff(objective, d[i])) == 0


def test_the_points_of_the_literature_give_the_matrices_of_the_literature():
    f = interpolated(4, 3, LAVIN)
    assert f.outputs == ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
    assert f.data[0] == (4, 0, -5, 0, 1, 0) and f.data[5] == (0, 4, 0, -5, 0, 1)
    assert f.filters[3] == (Fraction(1, 24), Fraction(1, 12), Fraction(1, 6))


@pytest.mark.parametrize(("m", "r"), REQUIRED)
def test_no_other_pairs_of_points_grow_errors_less(m, r):
    f = filtering(m, r)
    assert {abs(p) for p in f.points} <= {Fraction(0), *MAGNITUDES}
    pairs = [(Fraction(0), a, -a, b, -b)[: f.n - 1] for a in MAGNITUDES for b in MAGNITUDES if a != b]
    for points in (p for p in pairs if len(p) == f.n - 1):
        assert max(1.0, growth(f)) <= max(1.0, growth(interpolated(m, r, points)))


def test_growth_is_what_the_matrices_say():
    # By hand: |A|^2 = 1, 2, 2, 1, |G|^2 = 1, 3/4, 3/4, 1 and |B|^2 = 2: of two outputs 2 + 3 + 3 + 2, beside 2 times 3^2.
    assert math.isclose(growth(filtering(2, 3)), math.sqrt(10 / 18))
    assert growth(filtering(1, 1)) == 1
    for m, r in REQUIRED:
        f = filtering(m, r)
        assert math.isclose(math.sqrt(sum(shares(f))) / r, growth(f))


def test_the_points_chosen_for_f_4_3_keep_the_growth_below_two_in_two_dimensions():
    assert growth(filtering(4, 3)) ** 2 < 1.6 < 3.5 < growth(interpolated(4, 3, LAVIN)) ** 2


@pytest.mark.parametrize(("m", "r", "said"), [(0, 3, "1 or more"), (3, 0, "1 or more"), (40, 3, "no 41 points")])
def test_what_there_is_none_of_is_said_in_one_line(m, r, said):
    with pytest.raises(ValueError, match=said):
        filtering(m, r)
