"""Softplus: a smooth rectifier, whose slope is the logistic function.

Forward equations:

    a[n, j] = log(1 + exp(z[n, j]))

Derived from them:

    delta_z[n, j] = exp(z[n, j])*delta_a[n, j]/(1 + exp(z[n, j]))

Written by ``derive generate``; change the definition, not this file.
"""

from ..definition import Layer
from ..functions import exp, log1p
from ..program import Kernel, span


def softplus_forward(z, a, first, last):
    r"""a[n, j] = Max(0, z[n, j]) + log1p(exp(-|z[n, j]|))

    Stable form of a[n, j] = log(1 + exp(z[n, j])).
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    for i in span(first, last):
        a[i] = max(z[i], T(0)) + log1p(exp(-abs(z[i])))


def softplus_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = {1/(1 + exp(-|z[n, j]|)) if z[n, j] >= 0; exp(-|z[n, j]|)/(1 + exp(-|z[n, j]|))
        otherwise}*delta_a[n, j]

    From a[n, j] = log(1 + exp(z[n, j])).
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    for i in span(first, last):
        e = exp(-abs(z[i]))
        p = T(1) / (e + T(1))
        delta_z[i] = (p if z[i] >= T(0) else e * p) * delta_a[i]


SOFTPLUS = Layer(
    name="softplus",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            softplus_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            softplus_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
