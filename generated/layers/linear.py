"""Linear (identity) activation.

Forward equations:

    a[n, j] = z[n, j]

Derived from them:

    delta_z[n, j] = delta_a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def linear_forward(z, a, first, last):
    r"""a[n, j] = z[n, j]

    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    for i in span(first, last):
        a[i] = z[i]


def linear_input_sensitivity(delta_a, delta_z, first, last):
    r"""delta_z[n, j] = delta_a[n, j]

    From a[n, j] = z[n, j].
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    for i in span(first, last):
        delta_z[i] = delta_a[i]


LINEAR = Layer(
    name="linear",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            linear_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            linear_input_sensitivity,
            arguments=("delta_a[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
