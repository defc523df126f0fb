"""The normal form takes equal sums for equal at every size, and no others."""

import pytest
import sympy as sp

from derive.audit.judging.equality import equal
from derive.audit.meaning.network import sigma, slope
from derive.audit.meaning.values import nonnegative

i, j, k, n, x = sp.symbols("i j k n x", integer=True)
J, K, M = sp.symbols("J K M", integer=True, positive=True)
w, a, d = (sp.IndexedBase(name, real=True) for name in "wad")
RANGES = {j: J, k: K, n: M, x: M}


def Sum(body, index, size):
    return sp.Sum(body, (index, 0, size - 1))


MEAN = Sum(a[n, k], n, M) / M

CASES = [
    ("summed indices have no names", Sum(w[i, k] * d[n, i], i, J), Sum(d[n, j] * w[j, k], j, J), True),
    ("a transpose is not the matrix", Sum(w[i, k] * d[n, i], i, J), Sum(w[k, i] * d[n, i], i, J), False),
    ("a delta leaves one term", Sum(a[n, k] * sp.KroneckerDelta(n, x), n, M), a[x, k], True),
    ("a delta of another range does not", Sum(w[i, k] * sp.KroneckerDelta(i, n), i, J), w[n, k], False),
    ("a constant is summed as often as there are terms", Sum(a[x, k], n, M), M * a[x, k], True),
    ("deviations from the mean add up to nothing", Sum(a[x, k] - MEAN, x, M), sp.Integer(0), True),
    ("variance", Sum((a[x, k] - MEAN) ** 2, x, M) / M, Sum(a[x, k] ** 2, x, M) / M - MEAN**2, True),
    ("variance over M - 1", Sum((a[x, k] - MEAN) ** 2, x, M) / (M - 1), Sum(a[x, k] ** 2, x, M) / M - MEAN**2, False),
    ("a sum of squares is not the square of the sum", Sum(a[x, k] ** 2, x, M), Sum(a[x, k], x, M) ** 2, False),
    ("sums inside functions", sigma(Sum(w[j, k] * a[n, k], k, K)), sigma(Sum(a[n, i] * w[j, i], i, K)), True),
    ("a slope is not the function", sigma(a[n, k]), slope(a[n, k]), False),
    (
        "outer indices inside inner sums",
        Sum(w[j, k] * sigma(Sum(w[k, i] * a[n, i], i, K)), k, K),
        Sum(w[j, i] * sigma(Sum(w[i, k] * a[n, k], k, K)), i, K),
        True,
    ),
    (
        "an inner index taken for the outer one",
        Sum(w[j, k] * sigma(Sum(w[k, i] * a[n, i], i, K)), k, K),
        Sum(w[j, i] * sigma(Sum(w[k, i] * a[n, k], k, K)), i, K),
        False,
    ),
    ("another size", Sum(w[j, k], k, K), Sum(w[j, k], k, J), False),
    ("a denominator", a[n, k] / (1 + a[x, k]) - a[n, k] / (a[x, k] + 1), sp.Integer(0), True),
    ("powers of operands", a[n, k] ** 2 * a[n, k], a[n, k] ** 3, True),
]


@pytest.mark.parametrize(("left", "right", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_normal_forms_decide(left, right, expected):
    assert equal(left, right, RANGES) is expected


# -- planes: a tensor is zero outside its sizes --------------------------------------------------------------------

o, c, p, q, u, v = sp.symbols("o c p q u v", integer=True)
D, C, U, V, S = sp.symbols("D C U V S", integer=True, positive=True)
PLANES = {"w": (D, C, U, V), "d": (D, J, K), "a": (C, J + U - 1, K + V - 1)}
PLACES = {p: J + U - 1, q: K + V - 1, c: C, o: D}
BACK = sp.Sum(w[o, c, u, v] * d[o, p - u, q - v], (o, 0, D - 1), (u, 0, U - 1), (v, 0, V - 1))
TURNED = sp.Sum(
    w[o, c, U - 1 - i, V - 1 - j] * d[o, p + i - U + 1, q + j - V + 1], (i, 0, U - 1), (o, 0, D - 1), (j, 0, V - 1)
)
OUTPUTS = sp.Sum(w[o, c, p - i, q - j] * d[o, i, j], (o, 0, D - 1), (i, 0, J - 1), (j, 0, K - 1))
FORWARD = sp.Sum(w[o, c, u, v] * a[c, j + u, k + v], (c, 0, C - 1), (u, 0, U - 1), (v, 0, V - 1))

OF_PLANES = [
    ("a full convolution with the filter turned is the sum over its taps", BACK, TURNED, True),
    ("or over the outputs", BACK, OUTPUTS, True),
    ("not with the filter as it is", BACK, TURNED.xreplace({w[o, c, U - 1 - i, V - 1 - j]: w[o, c, i, j]}), False),
    (
        "nor turned in one direction",
        BACK,
        TURNED.xreplace({w[o, c, U - 1 - i, V - 1 - j]: w[o, c, i, V - 1 - j]}),
        False,
    ),
    ("nor one output short", OUTPUTS, OUTPUTS.xreplace({sp.Tuple(i, 0, J - 1): sp.Tuple(i, 0, J - 2)}), False),
    ("a bound that an operand implies says nothing", nonnegative(p - 1) * a[c, p - 1, q], a[c, p - 1, q], True),
    ("another does", nonnegative(p - 2) * a[c, p - 1, q], a[c, p - 1, q], False),
    ("outside of a function it does", nonnegative(p - 1) * sigma(a[c, p - 1, q]), sigma(a[c, p - 1, q]), False),
]


@pytest.mark.parametrize(("left", "right", "expected"), [e[1:] for e in OF_PLANES], ids=[e[0] for e in OF_PLANES])
def test_normal_forms_decide_of_planes(left, right, expected):
    assert equal(left, right, PLACES, lambda x: PLANES[x.base.name]) is expected


@pytest.mark.parametrize(("remainders", "expected"), [(S, True), (S + 1, False), (U, False)])
def test_a_division_has_one_quotient_where_its_remainder_is_below_the_divisor(remainders, expected):
    gap = S * i + u - S * k
    right = sp.Sum(d[o, k, q] * nonnegative(gap) * nonnegative(S - 1 - gap), (k, 0, J - 1))
    found = equal(right, d[o, i, q], {o: D, q: K, i: J, u: remainders}, lambda x: PLANES[x.base.name])
    assert found is expected


def test_two_indices_of_one_name_are_not_taken_for_one():
    one, other = sp.Dummy("c", integer=True), sp.Dummy("c", integer=True)
    assert not equal(a[one, p, q], a[other, p, q], {one: C, other: C, p: J, q: K})
    assert not equal(a[one, p, q] * a[other, p, q], a[one, p, q] ** 2, {one: C, other: C, p: J, q: K})


z, y, t = sp.symbols("z y t", real=True)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (sp.exp(-z) / (1 + sp.exp(-z)), 1 - 1 / (1 + sp.exp(-z)), True),
        (sp.exp(-z) / (1 + sp.exp(-z)), 1 / (1 + sp.exp(-z)), False),
        (sp.exp(2 * z) - 1, (sp.exp(z) - 1) * (sp.exp(z) + 1), True),
        (sp.exp(z + y), sp.exp(z) * sp.exp(y), True),
        (sp.exp(z + y), sp.exp(z) + sp.exp(y), False),
        (sp.log(1 / (1 + sp.exp(-z))), -sp.log(1 + sp.exp(-z)), True),
        (sp.log(1 + sp.exp(z)), sp.log(1 + sp.exp(-z)), False),
        (y * (1 - y) * (y - t) / (y * (1 - y)), y - t, True),
        (y * (1 - y) * (y - t) / (y * (1 + y)), y - t, False),
        (sp.log(y) * (1 - t) + t * sp.log(y), sp.log(y), True),
        (sp.log(1 - y), -sp.log(y), False),
    ],
)
def test_what_has_no_sums_is_compared_as_a_rational_function(left, right, expected):
    assert equal(left, right, {}) is expected


def test_a_root_and_its_powers_are_one_quantity():
    root = sp.sqrt(w[j, k] + S)
    assert equal(root ** (-1) / (w[j, k] + S), (S + w[j, k]) ** sp.Rational(-3, 2), RANGES)
    assert equal(Sum(a[n, k] / root, k, K), Sum(a[n, k] * (S + w[j, k]) ** sp.Rational(-1, 2), k, K), RANGES)
    assert not equal(Sum(a[n, k] / root, k, K), Sum(a[n, k] / root**3, k, K), RANGES)
