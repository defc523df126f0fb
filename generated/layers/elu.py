"""Exponential linear unit (Clevert et al. 2015) with alpha = 1.

Forward equations:

    a[n, j] = {z[n, j] if z[n, j] > 0; exp(z[n, j]) - 1 otherwise}

Derived from them:

    delta_z[n, j] = {delta_a[n, j] if z[n, j] > 0; (1 + a[n, j])*delta_a[n, j] otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import expm1
from ..program import Kernel, span


def elu_forward(z, a, first, last):
    r"""a[n, j] = {z[n, j] if z[n, j] > 0; expm1(z[n, j]) otherwise}

    Stable form of a[n, j] = {z[n, j] if z[n, j] > 0; exp(z[n, j]) - 1 otherwise}.
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        e = expm1(z[i])
        a[i] = z[i] if z[i] > T(0) else e


def elu_input_sensitivity(a, delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {delta_a[n, j] if z[n, j] > 0; (1 + a[n, j])*delta_a[n, j] otherwise}

    From a[n, j] = {z[n, j] if z[n, j] > 0; exp(z[n, j]) - 1 otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: a (N, J), delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = delta_a[i] if z[i] > T(0) else (a[i] + T(1)) * delta_a[i]


ELU = Layer(
    name="elu",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            elu_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            elu_input_sensitivity,
            arguments=("a[i]", "delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
