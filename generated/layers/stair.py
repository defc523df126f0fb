"""Stairs, as in Darknet: flat from each even number to the next odd one, of slope 1 from there on; of slope 0 at
integers.

With ``n = floor(z)`` Darknet's ramps are ``z - n + floor(n / 2)`` for an odd n; that is ``z + floor(floor(-z) /
2)``,
which loses nothing where z is near 0, and is above the flat part nowhere else.

Forward equations:

    a[n, j] = {z[n, j] + floor(floor(-z[n, j])/2) if z[n, j] + floor(floor(-z[n, j])/2) > floor(floor(z[n, j])/2);
        floor(floor(z[n, j])/2) otherwise}

Derived from them:

    delta_z[n, j] = {delta_a[n, j] if floor(floor(z[n, j])/2) < z[n, j] + floor(floor(-z[n, j])/2); 0 otherwise}

Written by ``derive generate``; change the definition, not this file.
"""

from numpy import floor

from ..definition import Layer
from ..program import Kernel, span


def stair_forward(z, a, first, last):
    r"""a[n, j] = {z[n, j] + floor(floor(-z[n, j])/2) if z[n, j] + floor(floor(-z[n, j])/2) > floor(floor(z[n, j])/2);
        floor(floor(z[n, j])/2) otherwise}

    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        e = floor(T(0.5) * floor(z[i]))
        p = z[i] + floor(T(0.5) * floor(-z[i]))
        a[i] = p if e < p else e


def stair_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {delta_a[n, j] if floor(floor(z[n, j])/2) < z[n, j] + floor(floor(-z[n, j])/2); 0 otherwise}

    From a[n, j] = {z[n, j] + floor(floor(-z[n, j])/2) if z[n, j] + floor(floor(-z[n, j])/2) > floor(floor(z[n,
        j])/2); floor(floor(z[n, j])/2) otherwise}.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        e = floor(T(0.5) * floor(z[i]))
        p = z[i] + floor(T(0.5) * floor(-z[i]))
        delta_z[i] = delta_a[i] if e < p else T(0)


STAIR = Layer(
    name="stair",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            stair_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            stair_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
