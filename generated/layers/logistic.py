"""Logistic function: a probability from any real number.

Forward equations:

    a[n, j] = 1/(1 + exp(-z[n, j]))

Derived from them:

    delta_z[n, j] = (1 - a[n, j])*a[n, j]*delta_a[n, j]

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import exp
from ..program import Kernel, span


def logistic_forward(z, a, first, last):
    r"""a[n, j] = {1/(1 + exp(-|z[n, j]|)) if z[n, j] >= 0; exp(-|z[n, j]|)/(1 + exp(-|z[n, j]|)) otherwise}

    Stable form of a[n, j] = 1/(1 + exp(-z[n, j])).
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        e = exp(-abs(z[i]))
        p = T(1) / (e + T(1))
        a[i] = p if z[i] >= T(0) else e * p


def logistic_input_sensitivity(a, delta_a, delta_z, first, last):
    r"""delta_z[n, j] = (1 - a[n, j])*a[n, j]*delta_a[n, j]

    From a[n, j] = 1/(1 + exp(-z[n, j])).
    Documents: P2 (conditional, all sizes).
    Shapes: a (N, J), delta_a (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        delta_z[i] = (T(1) - a[i]) * a[i] * delta_a[i]


LOGISTIC = Layer(
    name="logistic",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            logistic_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            logistic_input_sensitivity,
            arguments=("a[i]", "delta_a[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
