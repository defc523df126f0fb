"""Hyperbolic tangent.

Forward equations:

    a[n, j] = tanh(z[n, j])

Derived from them:

    delta_z[n, j] = (1 - a[n, j]**2)*delta_a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import tanh
from ..program import Kernel, span


def tanh_forward(z, a, first, last):
    r"""a[n, j] = tanh(z[n, j])

    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    for i in span(first, last):
        a[i] = tanh(z[i])


def tanh_input_sensitivity(a, delta_a, delta_z, first, last):
    r"""delta_z[n, j] = (1 - a[n, j]**2)*delta_a[n, j]

    From a[n, j] = tanh(z[n, j]).
    Documents: P2 (conditional, all sizes).
    Shapes: a (N, J), delta_a (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = (T(1) - a[i] * a[i]) * delta_a[i]


TANH = Layer(
    name="tanh",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            tanh_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            tanh_input_sensitivity,
            arguments=("a[i]", "delta_a[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
