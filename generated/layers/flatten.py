"""Flattening: of planes that lie with their channels c last, behind the places r, one row with the channels first.

In it the units stand as elsewhere outside: channel by channel, row by row.

Forward equations:

    a[n, c, r] = z[n, r, c]

Derived from them:

    delta_z[n, r, c] = delta_a[n, c, r]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..program import Kernel


def flatten_forward(z, a, first, last):
    r"""a[n, c, r] = z[n, r, c]

    Shapes: z (N, R, C), a (N, C, R); float32 or float64, C-contiguous.
    """
    C = a.shape[1]
    R = a.shape[2]
    for n in range(first, last):
        for c in range(C):
            for r in range(R):
                a[n, c, r] = z[n, r, c]


def flatten_input_sensitivity(delta_a, delta_z, first, last):
    r"""delta_z[n, r, c] = delta_a[n, c, r]

    From a[n, c, r] = z[n, r, c].
    Shapes: delta_a (N, C, R), delta_z (N, R, C); float32 or float64, C-contiguous.
    """
    C = delta_z.shape[2]
    R = delta_z.shape[1]
    for n in range(first, last):
        for r in range(R):
            for c in range(C):
                delta_z[n, r, c] = delta_a[n, c, r]


FLATTEN = Layer(
    name="flatten",
    inputs=("z[n, r, c]",),
    outputs=("a[n, c, r]",),
    forward=(
        Kernel(
            flatten_forward,
            arguments=("z[n, r, c]", "a[n, c, r]"),
            split="n",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            flatten_input_sensitivity,
            arguments=("delta_a[n, c, r]", "delta_z[n, r, c]"),
            split="n",
            writes=("delta_z",),
        ),
    ),
)
