"""Piecewise linear logistic function, as in Darknet: slope 1/8 from -4 to 4, both included, and 1/100 beyond.

Forward equations:

    a[n, j] = {1/25 + z[n, j]/100 if z[n, j] < -4; 24/25 + z[n, j]/100 if z[n, j] > 4; 1/2 + z[n, j]/8 otherwise}

Derived from them:

    delta_z[n, j] = {1/100 if (z[n, j] > 4) | (z[n, j] < -4); 1/8 otherwise}*delta_a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def plse_forward(z, a, first, last):
    r"""a[n, j] = {(4 + z[n, j])/100 if z[n, j] < -4; (96 + z[n, j])/100 if z[n, j] > 4; (4 + z[n, j])/8 otherwise}

    Stable form of a[n, j] = {1/25 + z[n, j]/100 if z[n, j] < -4; 24/25 + z[n, j]/100 if z[n, j] > 4; 1/2 + z[n,
        j]/8 otherwise}.
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        e = z[i] + T(4)
        a[i] = T(0.01) * e if z[i] < T(-4) else T(0.01) * (z[i] + T(96)) if z[i] > T(4) else T(0.125) * e


def plse_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {1/100 if (z[n, j] > 4) | (z[n, j] < -4); 1/8 otherwise}*delta_a[n, j]

    From a[n, j] = {1/25 + z[n, j]/100 if z[n, j] < -4; 24/25 + z[n, j]/100 if z[n, j] > 4; 1/2 + z[n, j]/8
        otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = (T(0.01) if (z[i] < T(-4)) or (z[i] > T(4)) else T(0.125)) * delta_a[i]


PLSE = Layer(
    name="plse",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            plse_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            plse_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
