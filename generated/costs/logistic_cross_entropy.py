"""Cross-entropy of independent yes-or-no targets t in [0, 1], each with its own predicted probability a.

Forward equations:

    C[n] = sum_j (-(1 - t[n, j])*log(1 - a[n, j]) - log(a[n, j])*t[n, j])

Derived from them:

    delta_a[n, j] = (t[n, j] - a[n, j])/(N*a[n, j]**2 - N*a[n, j])

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Cost
from ..functions import log, log1p
from ..program import Kernel


def logistic_cross_entropy_cost(a, t, C, first, last):
    r"""C[n] = sum_j ((1 - t[n, j])*(-log1p(-a[n, j])) + t[n, j]*(-log(a[n, j])))

    Stable form of C[n] = sum_j (-(1 - t[n, j])*log(1 - a[n, j]) - log(a[n, j])*t[n, j]).
    Shapes: a (N, J), t (N, J), C (N,); float32 or float64, C-contiguous.
    """
    T = C.dtype.type
    J = t.shape[1]
    for n in range(first, last):
        total = T(0)
        for j in range(J):
            e = log(a[n, j])
            p = log1p(-a[n, j])
            total += (T(0) if t[n, j] == T(1) else -p * (T(1) - t[n, j])) + (T(0) if t[n, j] == T(0) else -e * t[n, j])
        C[n] = total


def logistic_cross_entropy_output_sensitivity(a, t, delta_a, first, last):
    r"""delta_a[n, j] = (1 - t[n, j])*(1/(N*(1 - a[n, j]))) + t[n, j]*(-1/(N*a[n, j]))

    From C[n] = sum_j (-(1 - t[n, j])*log(1 - a[n, j]) - log(a[n, j])*t[n, j]).
    Shapes: a (N, J), t (N, J), delta_a (N, J); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    J = delta_a.shape[1]
    N = delta_a.shape[0]
    for n in range(first, last):
        for j in range(J):
            e = T(1) / T(N)
            delta_a[n, j] = (T(0) if t[n, j] == T(1) else e * (T(1) - t[n, j]) / (T(1) - a[n, j])) + (
                T(0) if t[n, j] == T(0) else -e * t[n, j] / a[n, j]
            )


LOGISTIC_CROSS_ENTROPY = Cost(
    name="logistic_cross_entropy",
    inputs=("a[n, j]",),
    targets=("t[n, j]",),
    outputs=("C[n]",),
    forward=(
        Kernel(
            logistic_cross_entropy_cost,
            arguments=("a[n, j]", "t[n, j]", "C[n]"),
            split="n",
            writes=("C",),
        ),
    ),
    backward=(
        Kernel(
            logistic_cross_entropy_output_sensitivity,
            arguments=("a[n, j]", "t[n, j]", "delta_a[n, j]"),
            split="n",
            writes=("delta_a",),
        ),
    ),
)
