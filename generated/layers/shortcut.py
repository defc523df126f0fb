"""Shortcut (He et al. 2016): the sum of two layers' outputs.

Where they differ in size, as in Darknet: channels that b lacks are zero, those that it has too many are left out,
and of
larger planes each `stride`-th row and column is taken.

Forward equations:

    z[n, j] = a[n, j] + b[n, j]

Derived from them:

    delta_a[n, j] = delta_z[n, j]
    delta_b[n, j] = delta_z[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel, span


def shortcut_forward(a, b, z, first, last):
    r"""z[n, j] = a[n, j] + b[n, j]

    Shapes: a (N, J), b (N, J), z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    for i in span(first, last):
        z[i] = a[i] + b[i]


def shortcut_a_sensitivity(delta_z, delta_a, first, last):
    r"""delta_a[n, j] = delta_z[n, j]

    From z[n, j] = a[n, j] + b[n, j].
    Shapes: delta_z (N, J), delta_a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    for i in span(first, last):
        delta_a[i] = delta_z[i]


def shortcut_b_sensitivity(delta_z, delta_b, first, last):
    r"""delta_b[n, j] = delta_z[n, j]

    From z[n, j] = a[n, j] + b[n, j].
    Shapes: delta_z (N, J), delta_b (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    for i in span(first, last):
        delta_b[i] = delta_z[i]


SHORTCUT = Layer(
    name="shortcut",
    inputs=("a[n, j]", "b[n, j]"),
    outputs=("z[n, j]",),
    forms=("shortcut_unequal",),
    forward=(
        Kernel(
            shortcut_forward,
            arguments=("a[i]", "b[i]", "z[i]"),
            split="i",
            writes=("z",),
        ),
    ),
    backward=(
        Kernel(
            shortcut_a_sensitivity,
            arguments=("delta_z[i]", "delta_a[i]"),
            split="i",
            writes=("delta_a",),
        ),
        Kernel(
            shortcut_b_sensitivity,
            arguments=("delta_z[i]", "delta_b[i]"),
            split="i",
            writes=("delta_b",),
        ),
    ),
)
