"""Quadratic cost of a sample: half the squared distance between target and output.

Forward equations:

    C[n] = sum_j (y[n, j] - a[n, j])**2/2

Derived from them:

    delta_a[n, j] = (a[n, j] - y[n, j])/N

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Cost
from ..program import Kernel


def quadratic_cost(a, y, C, first, last):
    r"""C[n] = sum_j (y[n, j] - a[n, j])**2/2

    Shapes: a (N, J), y (N, J), C (N,); float32 or float64, C-contiguous.
    """
    T = C.dtype.type
    J = y.shape[1]
    for n in range(first, last):
        total = T(0)
        for j in range(J):
            e = y[n, j] - a[n, j]
            total += T(0.5) * e * e
        C[n] = total


def quadratic_output_sensitivity(a, y, delta_a, first, last):
    r"""delta_a[n, j] = (a[n, j] - y[n, j])/N

    From C[n] = sum_j (y[n, j] - a[n, j])**2/2.
    Shapes: a (N, J), y (N, J), delta_a (N, J); float32 or float64, C-contiguous.
    """
    T = delta_a.dtype.type
    J = delta_a.shape[1]
    N = delta_a.shape[0]
    for n in range(first, last):
        for j in range(J):
            delta_a[n, j] = (a[n, j] - y[n, j]) / T(N)


QUADRATIC = Cost(
    name="quadratic",
    inputs=("a[n, j]",),
    targets=("y[n, j]",),
    outputs=("C[n]",),
    forward=(
        Kernel(
            quadratic_cost,
            arguments=("a[n, j]", "y[n, j]", "C[n]"),
            split="n",
            writes=("C",),
        ),
    ),
    backward=(
        Kernel(
            quadratic_output_sensitivity,
            arguments=("a[n, j]", "y[n, j]", "delta_a[n, j]"),
            split="n",
            writes=("delta_a",),
        ),
    ),
)
