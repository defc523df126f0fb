"""Rectified linear unit; its slope at 0 is 0.

Forward equations:

    a[n, j] = {z[n, j] if z[n, j] > 0; 0 otherwise}

Derived from them:

    delta_z[n, j] = {delta_a[n, j] if z[n, j] > 0; 0 otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def relu_forward(z, a, first, last):
    r"""a[n, j] = {z[n, j] if z[n, j] > 0; 0 otherwise}

    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        a[i] = z[i] if z[i] > T(0) else T(0)


def relu_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {delta_a[n, j] if z[n, j] > 0; 0 otherwise}

    From a[n, j] = {z[n, j] if z[n, j] > 0; 0 otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = delta_a[i] if z[i] > T(0) else T(0)


RELU = Layer(
    name="relu",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            relu_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            relu_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
