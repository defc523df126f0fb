"""Cross-entropy of a target distribution t over classes (shares that add up to one) and the predicted one.

Forward equations:

    C[n] = sum_j (-log(a[n, j])*t[n, j])

Derived from them:

    delta_a[n, j] = -t[n, j]/(N*a[n, j])

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Cost
from ..functions import log
from ..program import Kernel


def softmax_cross_entropy_cost(a, t, C, first, last):
    r"""C[n] = sum_j t[n, j]*(-log(a[n, j]))

    Stable form of C[n] = sum_j (-log(a[n, j])*t[n, j]).
    Shapes: a (N, J), t (N, J), C (N,); float32 or float64, C-contiguous.
    """
    T = C.dtype.type
    J = t.shape[1]
    for n in range(first, last):
        total = T(0)
        for j in range(J):
            e = log(a[n, j])
            total += T(0) if t[n, j] == T(0) else -e * t[n, j]
        C[n] = total


def softmax_cross_entropy_output_sensitivity(a, t, delta_a, first, last):
    r"""delta_a[n, j] = t[n, j]*(-1/(N*a[n, j]))

    From C[n] = sum_j (-log(a[n, j])*t[n, j]).
    Shapes: a (N, J), t (N, J), delta_a (N, J); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    J = delta_a.shape[1]
    N = delta_a.shape[0]
    for n in range(first, last):
        for j in range(J):
            delta_a[n, j] = T(0) if t[n, j] == T(0) else -t[n, j] / (T(N) * a[n, j])


SOFTMAX_CROSS_ENTROPY = Cost(
    name="softmax_cross_entropy",
    inputs=("a[n, j]",),
    targets=("t[n, j]",),
    outputs=("C[n]",),
    totals={"j": 1.0},
    forward=(
        Kernel(
            softmax_cross_entropy_cost,
            arguments=("a[n, j]", "t[n, j]", "C[n]"),
            split="n",
            writes=("C",),
        ),
    ),
    backward=(
        Kernel(
            softmax_cross_entropy_output_sensitivity,
            arguments=("a[n, j]", "t[n, j]", "delta_a[n, j]"),
            split="n",
            writes=("delta_a",),
        ),
    ),
)
