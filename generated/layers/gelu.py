"""Gaussian error linear unit (Hendrycks & Gimpel 2016): the input weighed by the normal distribution below it.

Forward equations:

    a[n, j] = (1 + erf(sqrt(2)*z[n, j]/2))*z[n, j]/2

Derived from them:

    delta_z[n, j] = (1 + sqrt(2)*exp(-z[n, j]**2/2)*z[n, j]/sqrt(pi) + erf(sqrt(2)*z[n, j]/2))*delta_a[n, j]/2

Written by ``derive generate``; change the definition, not this file.
"""

from numpy import sqrt

from ..definition import Layer
from ..functions import erfc, exp
from ..program import Kernel, span


def gelu_forward(z, a, first, last):
    r"""a[n, j] = erfc(-sqrt(2)*z[n, j]/2)*z[n, j]/2

    Stable form of a[n, j] = (1 + erf(sqrt(2)*z[n, j]/2))*z[n, j]/2.
    Shapes: z (N, J), a (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = a.dtype.type
    c1 = T(-(1 / 2) * sqrt(2))
    for i in span(first, last):
        a[i] = T(0.5) * erfc(c1 * z[i]) * z[i]


def gelu_input_sensitivity(delta_a, z, delta_z, first, last):
    r"""delta_z[n, j] = (sqrt(2)*exp(-z[n, j]**2/2)*z[n, j]/sqrt(pi) + erfc(-sqrt(2)*z[n, j]/2))*delta_a[n, j]/2

    From a[n, j] = (1 + erf(sqrt(2)*z[n, j]/2))*z[n, j]/2.
    Documents: P2 (conditional, all sizes).
    Shapes: delta_a (N, J), z (N, J), delta_z (N, J) (all as one row); float32 or float64, C-contiguous.
    """
    T = delta_z.dtype.type
    c1 = T(sqrt(2) / sqrt(3.141592653589793))
    c2 = T(-(1 / 2) * sqrt(2))
    for i in span(first, last):
        delta_z[i] = T(0.5) * (c1 * exp(-T(0.5) * z[i] * z[i]) * z[i] + erfc(c2 * z[i])) * delta_a[i]


GELU = Layer(
    name="gelu",
    inputs=("z[n, j]",),
    outputs=("a[n, j]",),
    forward=(
        Kernel(
            gelu_forward,
            arguments=("z[i]", "a[i]"),
            split="i",
            writes=("a",),
        ),
    ),
    backward=(
        Kernel(
            gelu_input_sensitivity,
            arguments=("delta_a[i]", "z[i]", "delta_z[i]"),
            split="i",
            writes=("delta_z",),
        ),
    ),
)
