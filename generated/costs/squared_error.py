"""Squared error of a sample: the squared distance between output and target.

Forward equations:

    C[n] = sum_j (a[n, j] - y[n, j])**2

Derived from them:

    delta_a[n, j] = 2*(a[n, j] - y[n, j])/N

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Cost
from ..program import Kernel


def squared_error_cost(a, y, C, first, last):
    r"""C[n] = sum_j (a[n, j] - y[n, j])**2

    Shapes: a (N, J), y (N, J), C (N,); float32 or float64, C-contiguous.
    """
    T = C.dtype.type
    J = y.shape[1]
    for n in range(first, last):
        total = T(0)
        for j in range(J):
            e = a[n, j] - y[n, j]
            total += e * e
        C[n] = total


def squared_error_output_sensitivity(a, y, delta_a, first, last):
    r"""delta_a[n, j] = 2*(a[n, j] - y[n, j])/N

    From C[n] = sum_j (a[n, j] - y[n, j])**2.
    Shapes: a (N, J), y (N, J), delta_a (N, J); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    J = delta_a.shape[1]
    N = delta_a.shape[0]
    for n in range(first, last):
        for j in range(J):
            delta_a[n, j] = T(2) * (a[n, j] - y[n, j]) / T(N)


SQUARED_ERROR = Cost(
    name="squared_error",
    inputs=("a[n, j]",),
    targets=("y[n, j]",),
    outputs=("C[n]",),
    forward=(
        Kernel(
            squared_error_cost,
            arguments=("a[n, j]", "y[n, j]", "C[n]"),
            split="n",
            writes=("C",),
        ),
    ),
    backward=(
        Kernel(
            squared_error_output_sensitivity,
            arguments=("a[n, j]", "y[n, j]", "delta_a[n, j]"),
            split="n",
            writes=("delta_a",),
        ),
    ),
)
