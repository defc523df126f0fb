"""Rectifier that leaks a hundredth where the input is not positive, as in Darknet.

Forward equations:

    a[n, j] = {z[n, j] if z[n, j] > 0; z[n, j]/100 otherwise}

Derived from them:

    delta_z[n, j] = {delta_a[n, j] if z[n, j] > 0; delta_a[n, j]/100 otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def relie_forward(z, a, first, last):
    r"""a[n, j] = {z[n, j] if z[n, j] > 0; z[n, j]/100 otherwise}

    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        a[i] = z[i] if z[i] > T(0) else T(0.01) * z[i]


def relie_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {delta_a[n, j] if z[n, j] > 0; delta_a[n, j]/100 otherwise}

    From a[n, j] = {z[n, j] if z[n, j] > 0; z[n, j]/100 otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = delta_a[i] if z[i] > T(0) else T(0.01) * delta_a[i]


RELIE = Layer(
    name="relie",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            relie_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            relie_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
