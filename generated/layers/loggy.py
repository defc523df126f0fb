"""Logistic function between -1 and 1, as in Darknet: the hyperbolic tangent of half the input.

Forward equations:

    a[n, j] = 2/(1 + exp(-z[n, j])) - 1

Derived from them:

    delta_z[n, j] = (1 - a[n, j]**2)*delta_a[n, j]/2

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import exp, expm1
from ..program import Kernel, span


def loggy_forward(z, a, first, last):
    r"""a[n, j] = {-expm1(-|z[n, j]|)/(1 + exp(-|z[n, j]|)) if z[n, j] >= 0; expm1(-|z[n, j]|)/(1 + exp(-|z[n, j]|))
        otherwise}

    Stable form of a[n, j] = 2/(1 + exp(-z[n, j])) - 1.
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        q = -abs(z[i])
        e = exp(q)
        p = expm1(q)
        r = p / (e + T(1))
        a[i] = -r if z[i] >= T(0) else r


def loggy_input_sensitivity(a, delta_a, delta_z, first, last):
    r"""delta_z[n, j] = (1 - a[n, j]**2)*delta_a[n, j]/2

    From a[n, j] = 2/(1 + exp(-z[n, j])) - 1.
    Documents: P2 (conditional, all sizes).
    Shapes: a (N, J), delta_a (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = T(0.5) * (T(1) - a[i] * a[i]) * delta_a[i]


LOGGY = Layer(
    name="loggy",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            loggy_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            loggy_input_sensitivity,
            arguments=("a[i]", "delta_a[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
