"""Rectifier on a ramp: slope 0.1 where the input is not positive, 1.1 where it is, as in Darknet.

Forward equations:

    a[n, j] = {11*z[n, j]/10 if z[n, j] > 0; z[n, j]/10 otherwise}

Derived from them:

    delta_z[n, j] = {11/10 if z[n, j] > 0; 1/10 otherwise}*delta_a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def ramp_forward(z, a, first, last):
    r"""a[n, j] = {11*z[n, j]/10 if z[n, j] > 0; z[n, j]/10 otherwise}

    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        a[i] = T(1.1) * z[i] if z[i] > T(0) else T(0.1) * z[i]


def ramp_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {11/10 if z[n, j] > 0; 1/10 otherwise}*delta_a[n, j]

    From a[n, j] = {11*z[n, j]/10 if z[n, j] > 0; z[n, j]/10 otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = (T(1.1) if z[i] > T(0) else T(0.1)) * delta_a[i]


RAMP = Layer(
    name="ramp",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            ramp_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            ramp_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
