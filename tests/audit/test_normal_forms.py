"""The normal form takes equal sums for equal at every size, and no others."""

import pytest
import sympy as sp

from derive.audit.equality import equal
from derive.audit.network import sigma, slope

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
