"""Leaky hard hyperbolic tangent, as in Darknet: the identity between 0 and 1, of slope 1/1000 there and beyond.

Forward equations:

    a[n, j] = {z[n, j]/1000 if z[n, j] <= 0; 999/1000 + z[n, j]/1000 if z[n, j] >= 1; z[n, j] otherwise}

Derived from them:

    delta_z[n, j] = {delta_a[n, j]/1000 if (z[n, j] >= 1) | (z[n, j] <= 0); delta_a[n, j] otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def lhtan_forward(z, a, first, last):
    r"""a[n, j] = {z[n, j]/1000 if z[n, j] <= 0; (999 + z[n, j])/1000 if z[n, j] >= 1; z[n, j] otherwise}

    Stable form of a[n, j] = {z[n, j]/1000 if z[n, j] <= 0; 999/1000 + z[n, j]/1000 if z[n, j] >= 1; z[n, j]
        otherwise}.
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        a[i] = T(0.001) * z[i] if z[i] <= T(0) else T(0.001) * (z[i] + T(999)) if z[i] >= T(1) else z[i]


def lhtan_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {delta_a[n, j]/1000 if (z[n, j] >= 1) | (z[n, j] <= 0); delta_a[n, j] otherwise}

    From a[n, j] = {z[n, j]/1000 if z[n, j] <= 0; 999/1000 + z[n, j]/1000 if z[n, j] >= 1; z[n, j] otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = T(0.001) * delta_a[i] if (z[i] <= T(0)) or (z[i] >= T(1)) else delta_a[i]


LHTAN = Layer(
    name="lhtan",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            lhtan_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            lhtan_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
