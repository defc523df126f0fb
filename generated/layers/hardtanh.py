"""Hard hyperbolic tangent, Darknet's hardtan: the identity cut off at -1 and 1, of slope 0 there and beyond.

Forward equations:

    a[n, j] = {-1 if z[n, j] <= -1; 1 if z[n, j] >= 1; z[n, j] otherwise}

Derived from them:

    delta_z[n, j] = {0 if (z[n, j] >= 1) | (z[n, j] <= -1); delta_a[n, j] otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def hardtanh_forward(z, a, first, last):
    r"""a[n, j] = {-1 if z[n, j] <= -1; 1 if z[n, j] >= 1; z[n, j] otherwise}

    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        a[i] = T(-1) if z[i] <= T(-1) else T(1) if z[i] >= T(1) else z[i]


def hardtanh_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {0 if (z[n, j] >= 1) | (z[n, j] <= -1); delta_a[n, j] otherwise}

    From a[n, j] = {-1 if z[n, j] <= -1; 1 if z[n, j] >= 1; z[n, j] otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = T(0) if (z[i] <= T(-1)) or (z[i] >= T(1)) else delta_a[i]


HARDTANH = Layer(
    name="hardtanh",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            hardtanh_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            hardtanh_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
